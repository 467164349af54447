# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of rootless engines share: the user's own client, and playbooks for a host of the group `rootless`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from conftest import MAKE_IMAGE, REPOSITORY, Proof
from testinfra.host import Host

VARIABLES = ("-e", f"@{REPOSITORY}/inventory/group_vars/rootless.yml")
USER = "rootless"
LAYERS = ("pids_limit", "no_new_privileges", "seccomp", "apparmor", "capabilities", "rootless")
PROFILE = "bulkhead-rootless"


class User:
    """The engine's user, at a login shell, with the docker client that everybody has."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.uid = int(host.check_output(f"id -u {USER}"))

    def run(self, command: str) -> Any:
        return self.host.run(f"su - {USER} -c {shlex.quote(command)}")

    def output(self, command: str) -> str:
        done = self.run(command)
        assert done.rc == 0, f"{command}: {done.stdout}{done.stderr}"
        return str(done.stdout).rstrip("\n\0")

    def image(self) -> None:
        self.output(f"bash -c {shlex.quote(MAKE_IMAGE)}")

    def pid(self, name: str) -> int:
        return int(self.output(f"docker inspect -f '{{{{.State.Pid}}}}' {name}"))

    def systemctl(self, words: str) -> str:
        environment = f"XDG_RUNTIME_DIR=/run/user/{self.uid} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{self.uid}/bus"
        return self.output(f"{environment} systemctl --user {words}")


def assert_all_hold(proof: Proof) -> None:
    status = proof.status()
    assert proof.code == 0, proof.output
    assert {name: status[name] for name in LAYERS} == dict.fromkeys(LAYERS, "enforced"), proof.output


def label(host: Host, pid: int) -> str:
    return str(host.check_output(f"cat /proc/{pid}/attr/current")).strip("\0\n ")


def confinement(host: Host, pid: int) -> dict[str, str]:
    """What the kernel does to a process, looked at by other means than the project's own module."""
    fields = host.check_output(f"grep -E '^(Uid|NoNewPrivs|Seccomp):' /proc/{pid}/status")
    found = {line.split()[0].rstrip(":"): line.split()[1] for line in fields.splitlines()}
    cgroup = host.check_output(f"cut -d: -f3 /proc/{pid}/cgroup")
    found["cgroup"] = cgroup
    found["pids.max"] = host.check_output(f"cat /sys/fs/cgroup{cgroup}/pids.max")
    found["label"] = label(host, pid)
    found["uid_map"] = " ".join(host.check_output(f"cat /proc/{pid}/uid_map").split())
    return found


Playbook = Callable[..., Any]
