# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers for the tests of rootless engines."""

from __future__ import annotations

import json
from typing import Any

from conftest import REPOSITORY, Verification
from testinfra.host import Host

VARIABLES = ("-e", f"@{REPOSITORY}/inventory/group_vars/rootless.yml")
# The same, with what converge.yml of scenario rootless adds. The other scenarios have the default, slirp4netns.
OPTIONS = (*VARIABLES, "-e", "rootless_docker_network=pasta", "-e", "rootless_docker_first_port=80")
# A container of role hardened_container, from the image that rootless/inspect_engine.py builds; sleep ends only on SIGKILL.
HARDENED = ("-e", json.dumps({"hardened_container_list": [{"name": "good", "image": "testimage", "stop_signal": "SIGKILL"}]}))
USER = "rootless"
LAYERS = ("pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities", "rootless")
CONFINED = "bulkhead-rootless (enforce)"


def inspect_engine(host: Host, *words: str, user: str = USER) -> dict[str, Any]:
    """Run rootless/inspect_engine.py on the host. One connection reads everything, because each costs seconds."""
    program = (REPOSITORY / "molecule/shared/rootless/inspect_engine.py").read_text()
    done = host.run(f"python3 - {user} {' '.join(words)} <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM")
    assert done.rc == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_all_enforced(verification: Verification) -> None:
    status = verification.status()
    assert verification.code == 0, verification.output
    assert {name: status[name] for name in LAYERS} == dict.fromkeys(LAYERS, "enforced"), verification.output


def assert_hardened(verification: Verification) -> None:
    """The kernel enforces every setting of role hardened_container."""
    settings = {setting["setting"]: setting["status"] for setting in verification.container("good")["settings"]}
    assert len(settings) == 10 and set(settings.values()) == {"enforced"}, settings


def assert_confined(seen: dict[str, Any]) -> None:
    """Every layer is enforced on a container without security options, as `inspect_engine` found it."""
    uid, plain = seen["uid"], seen["plain"]
    shown = {name: plain[name] for name in ("Uid", "NoNewPrivs", "Seccomp", "label", "exec", "stopped")}
    assert shown == {"Uid": uid, "NoNewPrivs": "1", "Seccomp": "2", "label": CONFINED, "exec": CONFINED, "stopped": "7"}, seen
    assert plain["uid_map"][0] == ["0", uid, "1"]
    assert plain["cgroup"].startswith(f"/user.slice/user-{uid}.slice/user@{uid}.service/")
    assert plain["limits"] == {"pids.max": "512", "memory.max": str(64 << 20), "cpu.max": "50000 100000", "cpuset.cpus": "0"}
