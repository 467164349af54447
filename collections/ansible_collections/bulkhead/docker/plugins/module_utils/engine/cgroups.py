# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of running containers, and containers that run and that their engine does not know."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from ..host.cgroup import CGROUPFS, parse_container_group
from ..host.process_status import read_id_map
from ..host.root import Host
from .api import Engine, EngineError
from .instance import ROOTFUL, Instance

# Groups with containers of other engines: of users' managers (rootless), of LXC and nspawn.
_OTHERS = ("user@", "lxc", "machine-")


def select_own_groups(cgroup_file: str, identifier: str) -> str:
    """Return the text of a /proc/PID/cgroup with paths cut after the container's own control groups, which the engine created.

    The container may create groups below them with any limits, but none above. A hierarchy without such a group is left out.
    """
    lines = []
    for line in cgroup_file.splitlines():
        names = line.split("/")
        own = next((at for at, name in enumerate(names) if (parse_container_group(name) or " ")[0] == identifier), None)
        if own is not None:
            lines.append("/".join(names[: own + 1]))
    return "\n".join(lines)


def list_container_cgroups(host: Host, instance: Instance = ROOTFUL) -> Iterator[tuple[str, str]]:
    """Yield full ID and control group path of each running container of an engine, once, with either cgroup driver and below any parent.

    Containers of a rootless engine are below its user's manager. A group that names no engine counts if a shim of this one is in charge of it.
    """
    yielded = set()  # on cgroup v1 each container has a group per hierarchy
    for folder, folders, unused in os.walk(host.path(instance.manager_cgroup if instance.rootless else CGROUPFS)):
        if not instance.rootless:
            folders[:] = [name for name in folders if not name.startswith(_OTHERS)]
        for name in list(folders):
            if group := parse_container_group(name, os.path.basename(folder)):
                folders.remove(name)  # groups below are the container's own, whatever engine it has
                identifier, engine = group
                if identifier not in yielded and (engine == "docker" or (not engine and _has_shim(host, f"{folder}/{name}"))):
                    yielded.add(identifier)
                    yield identifier, f"{folder}/{name}".removeprefix(str(host.root).rstrip("/"))


def list_container_ids(host: Host, instance: Instance = ROOTFUL) -> list[str]:
    """Return the full IDs of the running containers of an engine."""
    return [identifier for identifier, _path in list_container_cgroups(host, instance)]


def list_processes(host: Host, cgroup: str) -> list[int]:
    """Return the processes of a control group and of those below."""
    pids = []
    for folder, unused, files in os.walk(host.path(cgroup)):
        if "cgroup.procs" in files:
            try:
                with open(f"{folder}/cgroup.procs") as handle:
                    pids += [int(line) for line in handle]
            except OSError:  # removed meanwhile, or a threaded cgroup, which lists none
                continue
    return pids


def _has_shim(host: Host, folder: str) -> bool:
    """Return whether the parent of a process there is containerd's shim in an engine's namespace: `moby`, or `moby-UID.GID` since 29."""
    for pid in list_processes(host, folder.removeprefix(str(host.root).rstrip("/"))):
        try:
            parent = re.search(r"^PPid:\s*(\d+)", host.read(f"/proc/{pid}/status") or "", re.MULTILINE)
            words = (host.read(f"/proc/{parent[1]}/cmdline") or "").split("\0") if parent else []
        except OSError:  # it has ended
            continue
        if "-namespace" in words[:-1] and words[words.index("-namespace") + 1].split("-")[0] == "moby":
            return True
    return False


def find_orphans(host: Host, engine: Engine | None, known: set[str], instance: Instance = ROOTFUL) -> list[dict[str, Any]]:
    """Return ID, cgroup, pids and uid_map of each container that runs and that the engine does not know.

    known: full IDs that the engine lists. The engine (None: it is stopped) is asked about every other one, which may have started since.
    live-restore leaves orphans running when the data root changes. Raises EngineUnreachable.
    """
    found = []
    for identifier, path in list_container_cgroups(host, instance):
        if identifier in known or not list_processes(host, path) or _is_known(engine, identifier):
            continue
        pids = list_processes(host, path)
        if pids:  # otherwise it has ended meanwhile
            found.append({"id": identifier, "cgroup": path, "pids": pids, "uid_map": _read_uid_map(host, pids[0])})
    return found


def _is_known(engine: Engine | None, identifier: str) -> bool:
    if engine is None:
        return False
    try:
        engine.get(f"/containers/{identifier}/json")
    except EngineError as error:
        return error.status != 404
    return True


def _read_uid_map(host: Host, pid: int) -> list[list[int]]:
    try:
        return read_id_map(host, pid)
    except (OSError, ValueError):  # it has ended
        return []
