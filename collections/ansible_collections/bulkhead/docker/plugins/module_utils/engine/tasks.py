# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the state of every process and thread of a container from its control group; equal states are kept once."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from ..host.process import Process, open_process, read_label, read_start_ticks, read_state
from ..host.process_status import parse_status
from ..host.root import Host
from .cgroups import list_processes, select_own_groups

# For one container; what is beyond is reported as not read.
MAX_TASKS, MAX_SECONDS = 20000, 60.0
# How long a runtime's process may take to become the program that `docker exec` or a health check starts. Until then it is in the container's
# control group, and not yet confined (runc libcontainer/setns_init_linux.go). The name is not evidence: after that time it is judged as it is.
SETTLE_SECONDS = 5.0
_STARTING = re.compile(r"^Name:\s+(runc|crun|youki)", re.MULTILINE)
# The lines of /proc/PID/status that judging uses; the others differ for each task.
_SECURITY = re.compile(r"^(?:TracerPid|Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp\w*):.*$", re.MULTILINE)


@dataclass
class Tasks:
    """The tasks of one container.

    states: the distinct states, with `tasks` (how many have it) and `started` (clock ticks since boot); the first process's comes first.
    processes, threads: how many were read. unread: what could not be read, one message each. mountinfo: its text by mount namespace.
    commands: names of the processes.
    """

    states: list[dict[str, Any]] = field(default_factory=list)
    processes: int = 0
    threads: int = 0
    unread: list[str] = field(default_factory=list)
    mountinfo: dict[str, str] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)


def read_tasks(host: Host, identifier: str, first: Process, folder: str | None) -> Tasks:
    """Return the tasks of a container. first: its first process. folder: of its control group; None without one.

    Raises OSError when that process has ended. A process that ends meanwhile, and a zombie, which executes nothing, is left out.
    """
    found, shared = Tasks(), dict[str, Any]()
    known: dict[Any, dict[str, Any]] = {}
    settled = time.monotonic() + SETTLE_SECONDS
    _add_process(found, known, shared, first, _wait_for_program(first, settled))
    if not found.states:
        raise ProcessLookupError(3, "is a zombie", f"/proc/{first.pid}")
    deadline = time.monotonic() + MAX_SECONDS
    pids = [pid for pid in dict.fromkeys(list_processes(host, folder)) if pid != first.pid] if folder else []
    if not folder:
        found.unread.append("it has no control group of its own, so only its first process was read")
    for number, pid in enumerate(pids):
        if found.threads > MAX_TASKS or time.monotonic() > deadline:
            found.unread.append(f"{len(pids) - number} of its {len(pids) + 1} processes were not read: they are too many")
            break
        try:
            with open_process(host, pid) as process:
                # Read after the process was opened: a process that has its PID since is in another control group.
                if select_own_groups(process.read("cgroup"), identifier):
                    _add_process(found, known, shared, process, _wait_for_program(process, settled))
        except OSError:  # it has ended
            continue
    found.mountinfo = {key.partition(" ")[2]: text for key, text in shared.items() if key.startswith("mountinfo ")}
    return found


def _wait_for_program(process: Process, deadline: float) -> str:
    """Return the text of `status` once the process is not a runtime's that starts one, at the latest at the deadline. Raises OSError."""
    status = process.read("status")
    while _STARTING.search(status) and time.monotonic() < deadline:
        time.sleep(0.05)
        status = process.read("status")
    return status


def _add_process(found: Tasks, known: dict[Any, dict[str, Any]], shared: dict[str, Any], process: Process, status: str) -> None:
    state = parse_status(status)
    if state.get("state") in ("Z", "X"):
        return
    state = read_state(process, shared, status)
    state["started"] = read_start_ticks(process)
    found.processes += 1
    found.commands.add(state.get("command", ""))
    about = (state["label"], *state["namespaces"].values())
    own = tuple(_SECURITY.findall(status))
    _add_state(found, known, (own, about), state)
    threads = state.get("threads", 1)
    found.threads += threads
    if threads > 1 and found.threads <= MAX_TASKS:
        for thread in process.list_threads():
            try:
                text = process.read(f"task/{thread}/status") if thread != process.pid else status
                security = tuple(_SECURITY.findall(text))
                if security != own:
                    label = read_label(process, f"task/{thread}/")
                    _add_state(found, known, (security, label, about), {**state, **parse_status(text), "label": label, "tid": thread})
            except OSError:  # it has ended
                continue
    elif threads > 1:
        found.unread.append(f"the threads of process {process.pid} ({state.get('command')}) were not read: they are too many")


def _add_state(found: Tasks, known: dict[Any, dict[str, Any]], key: Any, state: dict[str, Any]) -> None:
    if key in known and not state["unreadable"]:
        known[key]["tasks"] += 1
        return
    state["tasks"] = 1
    known.setdefault(key, state)
    found.states.append(state)
