# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the state of one process from /proc/PID and its cgroup. Nothing is traced."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import cgroup
from .root import Host

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def parse_status(text: str) -> dict[str, Any]:
    """Return the security fields of /proc/PID/status (man 5 proc_pid_status): IDs as [real, effective, saved, fs], capability sets as numbers."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found: dict[str, Any] = {}
    if "Uid" in fields and "Gid" in fields:
        found["uid"] = [int(n) for n in fields["Uid"].split()]
        found["gid"] = [int(n) for n in fields["Gid"].split()]
    caps = {key[3:].lower(): int(value, 16) for key, value in fields.items() if key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    if caps:
        found["cap"] = caps
    for field, key in (("NoNewPrivs", "no_new_privs"), ("Seccomp", "seccomp"), ("Seccomp_filters", "seccomp_filters")):
        if field in fields:
            found[key] = int(fields[field])
    return found


def parse_id_map(text: str) -> list[list[int]]:
    """Return the rows of /proc/PID/uid_map: [first ID inside, first ID outside, count] (man 7 user_namespaces)."""
    return [[int(n) for n in line.split()] for line in text.splitlines() if line.strip()]


def map_to_inside(outside: int, id_map: list[list[int]]) -> int | None:
    """Return the ID inside a user namespace with this map of an ID on the host; None if the map has none."""
    for first_inside, first_outside, count in id_map:
        if first_outside <= outside < first_outside + count:
            return first_inside + outside - first_outside
    return None


def parse_root_read_only(mountinfo: str) -> bool | None:
    """Return whether the / of a process is mounted read-only; None when no mount of / is listed (man 5 proc_pid_mountinfo)."""
    read_only = None
    for line in mountinfo.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[4] == "/":
            read_only = "ro" in fields[5].split(",")  # the last mount on / is the one on top
    return read_only


def read_process(host: Host, pid: int, groups: Callable[[str], str] = str) -> dict[str, Any]:
    """Return everything that judging needs of a process. What could not be read is in `unreadable`: source → error.

    groups: selects the control groups whose limits are read from the text of /proc/PID/cgroup (engine/cgroups.py: select_own_groups).
    """
    proc = f"/proc/{pid}"
    found: dict[str, Any] = {"pid": pid, "unreadable": {}}

    def read(name: str, use: Callable[[str], Any]) -> None:
        source = f"{proc}/{name}"
        try:
            use(host.path(source).read_text("utf-8", "surrogateescape"))
        except (OSError, ValueError) as error:
            found["unreadable"][source] = str(error)

    read("status", lambda text: found.update(parse_status(text)))
    read("uid_map", lambda text: found.update(uid_map=parse_id_map(text)))
    read("gid_map", lambda text: found.update(gid_map=parse_id_map(text)))
    read("mountinfo", lambda text: found.update(root_read_only=parse_root_read_only(text)))
    read("cgroup", lambda text: found.update(cgroup=text.strip()))
    read("cgroup", lambda text: found.update(pids=_read_pids(host, groups(text))))
    # Without an LSM that labels processes, the file exists and reading it fails with EINVAL: no label, not an error.
    try:
        found["label"] = host.path(f"{proc}/attr/current").read_text().strip("\0\n") or None
    except OSError as error:
        found["label"] = None
        if error.errno not in (22, 2):
            found["unreadable"][f"{proc}/attr/current"] = str(error)
    found["namespaces"] = {}
    for name in NAMESPACES:
        try:
            found["namespaces"][name] = os.readlink(host.path(f"{proc}/ns/{name}"))
        except OSError as error:
            found["unreadable"][f"{proc}/ns/{name}"] = str(error)
    return found


def _read_pids(host: Host, cgroup_file: str) -> dict[str, Any]:
    folder = cgroup.find_pids_folder(cgroup_file)
    if not folder:
        raise ValueError("has no control group of this container with a PIDs limit")
    return cgroup.read_pids(host, folder)
