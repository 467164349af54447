# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened rootful host becomes a rootless one, and every layer holds there as well. Comes last: the machine is another one afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import Proof
from rootless import VARIABLES, assert_all_hold, assert_confined, look
from testinfra.host import Host


def test_the_host_turns_rootless_and_its_user_finds_every_layer(
    host: Host, playbook: Callable[..., Any], prove: Callable[..., Proof]
) -> None:
    done = playbook("harden", *VARIABLES, "-e", "rootless_docker_stop_containers=true", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-4000:]
    assert_all_hold(prove(*VARIABLES))
    assert_confined(look(host, "brief"))
