# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot and without a login, every layer is still enforced, also on a hardened container."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Verification
from reboot import Playbook, reboot
from rootless import HARDENED, OPTIONS, assert_all_enforced, assert_hardened
from testinfra.host import Host

READY = "docker -H unix:///run/user/$(id -u rootless)/docker.sock info"


@pytest.fixture(scope="module", autouse=True)
def _rebooted(host: Host, playbook: Playbook) -> None:
    done = playbook("containers", *OPTIONS, *HARDENED)
    assert done.returncode == 0, done.stdout[-4000:]
    reboot(host, READY)


def test_all_layers_are_enforced_without_a_rootful_engine(verify: Callable[..., Verification], host: Host) -> None:
    verification = verify(*OPTIONS, *HARDENED)
    assert_all_enforced(verification)
    assert_hardened(verification)
    assert [(engine["kind"], engine["user"], engine["judged"]) for engine in verification.report["verification"]["engines"]] == [
        ("rootless", "rootless", True)
    ]
