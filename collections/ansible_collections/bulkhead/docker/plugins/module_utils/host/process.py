# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the state of one process or thread from /proc/PID. Nothing is traced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .process_status import parse_status, relate_id_map
from .root import Host

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


class Process:
    """An open /proc/PID. It stays that of one process: after its end, reads fail, even when another process has its PID (fs/proc/base.c)."""

    def __init__(self, host: Host, pid: int) -> None:
        self.pid = pid
        self.host = host
        self._folder = os.open(host.path(f"/proc/{pid}"), os.O_PATH | os.O_DIRECTORY)

    def read(self, name: str) -> str:
        """Return the text of a file such as `status` or `task/7/status`. Raises OSError."""
        with open(os.open(name, os.O_RDONLY, dir_fd=self._folder), "rb", buffering=0) as handle:
            return handle.readall().decode("utf-8", "surrogateescape")

    def read_link(self, name: str) -> str:
        """Return the target of a link such as `ns/user`. Raises OSError."""
        return os.readlink(name, dir_fd=self._folder)

    def list_threads(self) -> list[int]:
        """Return the IDs of its threads. Raises OSError."""
        folder = os.open("task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._folder)
        try:
            return sorted(int(name) for name in os.listdir(folder))
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._folder)


@contextmanager
def open_process(host: Host, pid: int) -> Iterator[Process]:
    """Yield the open process. Raises FileNotFoundError when it does not exist."""
    process = Process(host, pid)
    try:
        yield process
    finally:
        process.close()


def read_start_ticks(process: Process) -> int:
    """Return when the process started, in clock ticks since boot (man 5 proc_pid_stat: starttime, field 22). Raises OSError."""
    return int(process.read("stat").rsplit(")", 1)[1].split()[19])


def read_state(process: Process, shared: dict[str, Any], status: str | None = None) -> dict[str, Any]:
    """Return everything that judging needs of a process. What could not be read is in `unreadable`: source → error.

    shared: what processes of one namespace have in common, by the namespace; kept by the caller, so that it is read once.
    status: the text of its `status`, if it was read before.
    """
    found: dict[str, Any] = {"pid": process.pid, "unreadable": {}}

    def read(name: str, use: Callable[[str], Any], text: str | None = None) -> None:
        try:
            use(process.read(name) if text is None else text)
        except (OSError, ValueError, IndexError) as error:
            found["unreadable"][f"/proc/{process.pid}/{name}"] = str(error)

    def read_once(name: str, namespace: str, use: Callable[[str], Any]) -> None:
        key = f"{name} {found['namespaces'].get(namespace, process.pid)}"
        if key not in shared:
            read(name, lambda text: shared.update({key: text}))
        if key in shared:
            read(name, use, shared[key])

    read("status", lambda text: found.update(parse_status(text)), status)
    found["namespaces"] = {}
    for name in NAMESPACES:
        try:
            found["namespaces"][name] = process.read_link(f"ns/{name}")
        except OSError as error:
            if name != "time" or error.errno != 2:  # a kernel without namespaces for clocks (before Linux 5.6)
                found["unreadable"][f"/proc/{process.pid}/ns/{name}"] = str(error)
    users = found["namespaces"].get("user"), process.host.read_link("/proc/1/ns/user")
    read_once("uid_map", "user", lambda text: found.update(uid_map=relate_id_map(text, *users)))
    read_once("gid_map", "user", lambda text: found.update(gid_map=relate_id_map(text, *users)))
    read_once("mountinfo", "mnt", lambda text: found.update(root_read_only=parse_root_read_only(text)))
    found["label"] = None
    try:
        found["label"] = read_label(process)
    except OSError as error:
        found["unreadable"][f"/proc/{process.pid}/attr/current"] = str(error)
    return found


def read_label(process: Process, task: str = "") -> str | None:
    """Return the text of attr/current; None without a label. task: `task/TID/` for a thread. Raises OSError.

    Without an LSM that labels processes, the file exists and reading it fails with EINVAL: no label, not an error.
    """
    try:
        return process.read(f"{task}attr/current").strip("\0\n") or None
    except OSError as error:
        if error.errno in (22, 2):
            return None
        raise


def parse_root_read_only(mountinfo: str) -> bool | None:
    """Return whether the / of a process is mounted read-only; None when no mount of / is listed (man 5 proc_pid_mountinfo)."""
    read_only = None
    for line in mountinfo.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[4] == "/":
            read_only = "ro" in fields[5].split(",")  # the last mount on / is the one on top
    return read_only
