# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the /proc and cgroup files of containers below a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.host.process import NAMESPACES

STATUS = {
    "Name": "sleep", "State": "S (sleeping)", "TracerPid": "0", "Uid": "0 0 0 0", "Gid": "0 0 0 0", "Groups": "", "Threads": "1", "PPid": "1",
    "CapInh": "0", "CapPrm": "a80425fb", "CapEff": "a80425fb", "CapBnd": "a80425fb", "CapAmb": "0", "NoNewPrivs": "1", "Seccomp": "2",
    "Seccomp_filters": "1",
}  # fmt: skip


def write_status(path: Path, **fields: str) -> None:
    """Write a `status` file. fields: replace those of STATUS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}:\t{value}\n" for key, value in {**STATUS, **fields}.items()))


def add_process(
    root: Path, pid: int, cgroup: str, namespaces: dict[str, str] | None = None, label: str = "docker-default (enforce)", **status: str
) -> None:
    """Add a process to /proc and to a control group such as `/system.slice/docker-ID.scope`."""
    proc = root / f"proc/{pid}"
    for folder in ("attr", "ns", f"task/{pid}"):
        (proc / folder).mkdir(parents=True)
    write_status(proc / "status", **status)
    for name, text in {
        "stat": f"{pid} (a b) S {' '.join(str(n) for n in range(4, 30))}",
        "uid_map": "0 231072 65536\n",
        "gid_map": "0 231072 65536\n",
        "mountinfo": "600 500 0:50 / / ro,relatime - overlay overlay rw\n",
        "cgroup": f"0::{cgroup}\n",
        "attr/current": f"{label}\n",
    }.items():
        (proc / name).write_text(text)
    for name in NAMESPACES:
        (proc / "ns" / name).symlink_to(f"{name}:[{(namespaces or {}).get(name, '7')}]")
    folder = root / f"sys/fs/cgroup{cgroup}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cgroup.procs").open("a") as handle:
        handle.write(f"{pid}\n")
    if not (folder / "pids.max").exists():
        (folder / "pids.max").write_text("100\n")


class FakeEngine:
    """Answers GET from a table; an exception is raised, a missing path is a 404."""

    timeout = 60.0

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.alive = True

    def get(self, path: str, **_query: Any) -> Any:
        answer = self.answers.get(path, EngineError(404, "no such container"))
        if (
            isinstance(answer, list)
            and answer
            and isinstance(answer[0], Exception | dict)
            and path.endswith("/json")
            and path.count("/") == 3
        ):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_within(self, _patience: float, path: str) -> Any:
        return self.get(path)

    def is_up(self) -> bool:
        return self.alive


def inspect(identifier: str, pid: int, name: str = "web", **host_config: Any) -> dict[str, Any]:
    """Return an inspection of a running container."""
    return {"Id": identifier, "Name": f"/{name}", "State": {"Pid": pid}, "Config": {"Image": "i"}, "HostConfig": host_config, "Mounts": []}


def list_entry(identifier: str, name: str = "web") -> dict[str, Any]:
    """Return an entry of /containers/json."""
    return {"Id": identifier, "Names": [f"/{name}"], "Image": "i"}


SILENT = EngineUnreachable("the answer takes too long")
