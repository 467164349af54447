# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot everything still holds."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from conftest import wait_for_engine
from test_layers import *  # noqa: F403  (the same questions, asked again)
from testinfra.host import Host


@pytest.fixture(scope="module", autouse=True)
def _rebooted(host: Host) -> None:
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    with suppress(RuntimeError):  # the connection may go before the answer comes
        host.run("systemctl reboot")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        time.sleep(3)
        try:
            now = host.check_output("cat /proc/sys/kernel/random/boot_id")
        except (RuntimeError, AssertionError):  # ssh's own failure: no sshd, or one that is going down
            continue
        if now not in ("", boot):
            wait_for_engine(host, 180)
            return
    pytest.fail("the machine did not come back within 600 s")
