# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened rootful host becomes a rootless one with every layer enforced. This file runs last, because it changes the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import Verification
from rootless import VARIABLES, assert_all_enforced, assert_confined, inspect_engine
from testinfra.host import Host


def test_a_rootful_host_becomes_rootless_with_every_layer(
    host: Host, playbook: Callable[..., Any], verify: Callable[..., Verification]
) -> None:
    done = playbook("harden", *VARIABLES, "-e", "rootless_docker_stop_containers=true", "-e", "bulkhead_verify=false")
    assert done.returncode == 0, done.stdout[-4000:]
    assert_all_enforced(verify(*VARIABLES))
    assert_confined(inspect_engine(host, "brief"))
