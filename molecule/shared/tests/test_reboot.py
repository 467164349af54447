# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot every layer is still enforced."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from conftest import wait_for_engine
from test_layers import *  # noqa: F403  (the same tests again)
from testinfra.host import Host


@pytest.fixture(scope="module", autouse=True)
def _rebooted(host: Host) -> None:
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    with suppress(RuntimeError):  # the connection may close before the answer
        host.run("systemctl reboot")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        time.sleep(3)
        try:
            now = host.check_output("cat /proc/sys/kernel/random/boot_id")
        except (RuntimeError, AssertionError):  # ssh itself fails: sshd does not run, or it is stopping
            continue
        if now not in ("", boot):
            wait_for_engine(host, 180)
            return
    pytest.fail("the machine was not reachable within 600 s")
