# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot every layer is still enforced. The recorder was armed before it, and recorded the start of a container at boot."""

from __future__ import annotations

import pytest
from conftest import MAKE_IMAGE
from reboot import Playbook, RecordedReboot, reboot_recorded
from test_layers import *  # noqa: F403  (the same tests again)
from testinfra.host import Host

RESTARTED = "restarted"


@pytest.fixture(scope="module", autouse=True)
def rebooted(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> RecordedReboot:
    host.check_output(MAKE_IMAGE)
    host.check_output(f"docker run -d --restart=always --network=none --name {RESTARTED} testimage")
    recorded = reboot_recorded(host, "docker info", RESTARTED, playbook, tmp_path_factory.mktemp("recordings"))
    host.check_output(f"docker rm -f {RESTARTED}")
    return recorded


def test_the_recorder_saw_the_start_at_boot(rebooted: RecordedReboot) -> None:
    rebooted.check()


def test_every_call_is_counted_while_tasks_are_interrupted(rebooted: RecordedReboot) -> None:
    rebooted.check_counts()
