# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot and without a login, every layer is still enforced, also on a hardened container."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from conftest import Verification
from rootless import HARDENED, OPTIONS, assert_all_enforced, assert_hardened
from testinfra.host import Host


@pytest.fixture(scope="module", autouse=True)
def _rebooted(host: Host, playbook: Callable[..., Any]) -> None:
    done = playbook("containers", *OPTIONS, *HARDENED)
    assert done.returncode == 0, done.stdout[-4000:]
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    with suppress(RuntimeError):  # the connection may close before the answer
        host.run("systemctl reboot")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        time.sleep(3)
        with suppress(RuntimeError, AssertionError):  # ssh itself fails: sshd does not run, or it is stopping
            now = host.check_output("cat /proc/sys/kernel/random/boot_id")
            if now not in ("", boot) and host.run("docker -H unix:///run/user/$(id -u rootless)/docker.sock info").rc == 0:
                return
    pytest.fail("the machine and its rootless engine were not reachable within 600 s")


def test_all_layers_are_enforced_without_a_rootful_engine(verify: Callable[..., Verification], host: Host) -> None:
    verification = verify(*OPTIONS, *HARDENED)
    assert_all_enforced(verification)
    assert_hardened(verification)
    assert [(engine["kind"], engine["user"], engine["judged"]) for engine in verification.report["verification"]["engines"]] == [
        ("rootless", "rootless", True)
    ]
