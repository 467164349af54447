# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot and without a login, every layer is still enforced, also on a hardened container, and the recorder saw its start."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Verification
from reboot import Playbook, RecordedReboot, reboot_recorded
from rootless import HARDENED, OPTIONS, assert_all_enforced, assert_hardened
from testinfra.host import Host

READY = "docker -H unix:///run/user/$(id -u rootless)/docker.sock info"


@pytest.fixture(scope="module", autouse=True)
def rebooted(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> RecordedReboot:
    done = playbook("containers", *OPTIONS, *HARDENED)
    assert done.returncode == 0, done.stdout[-4000:]
    return reboot_recorded(host, READY, "bulkhead-good", playbook, tmp_path_factory.mktemp("recordings"), *OPTIONS, *HARDENED)


def test_the_recorder_saw_the_start_at_boot(rebooted: RecordedReboot) -> None:
    rebooted.check()


def test_all_layers_are_enforced_without_a_rootful_engine(verify: Callable[..., Verification], host: Host) -> None:
    verification = verify(*OPTIONS, *HARDENED)
    assert_all_enforced(verification)
    assert_hardened(verification)
    assert [(engine["kind"], engine["user"], engine["judged"]) for engine in verification.report["verification"]["engines"]] == [
        ("rootless", "rootless", True)
    ]
