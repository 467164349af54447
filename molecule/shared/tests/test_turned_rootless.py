# SPDX-License-Identifier: GPL-3.0-or-later
"""A hardened rootful host becomes a rootless one, and every layer holds there as well. Comes last: the machine is another one afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conftest import Proof
from rootless import PROFILE, VARIABLES, User, assert_all_hold, confinement
from testinfra.host import Host


def test_the_host_turns_rootless(host: Host, playbook: Callable[..., Any], prove: Callable[..., Proof]) -> None:
    host.run("docker ps -aq | xargs -r docker rm -f")
    done = playbook("harden", *VARIABLES, "-e", "prove=false")
    assert done.returncode == 0, done.stdout[-4000:]
    assert_all_hold(prove(*VARIABLES))


def test_its_user_finds_every_layer(host: Host) -> None:
    user = User(host)
    user.image()
    user.output("docker run -d --network none --name plain testimage sh -c 'trap \"exit 7\" TERM; while :; do sleep 0.1; done'")
    seen = confinement(host, user.pid("plain"))
    assert (seen["NoNewPrivs"], seen["Seccomp"], seen["pids.max"], seen["label"]) == ("1", "2", "100", f"{PROFILE} (enforce)")
    assert user.output("docker exec plain cat /proc/self/attr/current") == f"{PROFILE} (enforce)"
    user.output("docker stop -t 20 plain")
    assert user.output("docker inspect -f '{{.State.ExitCode}}' plain") == "7"
