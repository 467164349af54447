# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of rootless engines share."""

from __future__ import annotations

import json
from typing import Any

from conftest import REPOSITORY, Proof
from testinfra.host import Host

VARIABLES = ("-e", f"@{REPOSITORY}/inventory/group_vars/rootless.yml")
# The same, with what converge.yml of scenario rootless adds; the other suites have the default, slirp4netns.
OPTIONS = (*VARIABLES, "-e", "rootless_docker_network=pasta", "-e", "rootless_docker_first_port=80")
# A container of role hardened_container, from the image that rootless/look.py makes; sleep heeds no other signal.
HARDENED = ("-e", json.dumps({"hardened_container_list": [{"name": "good", "image": "testimage", "stop_signal": "SIGKILL"}]}))
USER = "rootless"
LAYERS = ("pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities", "rootless")
CONFINED = "bulkhead-rootless (enforce)"


def look(host: Host, *words: str, user: str = USER) -> dict[str, Any]:
    """Run rootless/look.py on the host: everything in one visit, as each costs seconds."""
    program = (REPOSITORY / "molecule/shared/rootless/look.py").read_text()
    done = host.run(f"python3 - {user} {' '.join(words)} <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM")
    assert done.rc == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_all_hold(proof: Proof) -> None:
    status = proof.status()
    assert proof.code == 0, proof.output
    assert {name: status[name] for name in LAYERS} == dict.fromkeys(LAYERS, "enforced"), proof.output


def assert_hardened(proof: Proof) -> None:
    """All that role hardened_container gave it, by the kernel's word."""
    demands = {demand["setting"]: demand["status"] for demand in proof.container("good")["demands"]}
    assert len(demands) == 10 and set(demands.values()) == {"enforced"}, demands


def assert_confined(seen: dict[str, Any]) -> None:
    """A container that asks for no security option, as `look` found it."""
    uid, plain = seen["uid"], seen["plain"]
    shown = {name: plain[name] for name in ("Uid", "NoNewPrivs", "Seccomp", "label", "exec", "stopped")}
    assert shown == {"Uid": uid, "NoNewPrivs": "1", "Seccomp": "2", "label": CONFINED, "exec": CONFINED, "stopped": "7"}, seen
    assert plain["uid_map"][0] == ["0", uid, "1"]
    assert plain["cgroup"].startswith(f"/user.slice/user-{uid}.slice/user@{uid}.service/")
    assert plain["limits"] == {"pids.max": "100", "memory.max": str(64 << 20), "cpu.max": "50000 100000", "cpuset.cpus": "0"}
