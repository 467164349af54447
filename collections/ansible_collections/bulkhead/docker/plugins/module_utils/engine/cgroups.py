# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of running containers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..host.cgroup import CGROUPFS
from ..host.root import Host
from .instance import ROOTFUL, Instance

_UNIT = re.compile(r"docker-([0-9a-f]{64})\.scope")
_FOLDER = re.compile(r"[0-9a-f]{64}")


def parse_scope_name(unit: str) -> str | None:
    """Return the full ID of the container whose scope this unit is; None for any other unit."""
    match = _UNIT.fullmatch(unit)
    return match[1] if match else None


def select_own_groups(cgroup_file: str, identifier: str) -> str:
    """Return the text of a /proc/PID/cgroup with paths cut after the container's own control groups, which the engine created.

    The container may create groups below them (systemd in a container does) with any limits, but none above, so the first one of its name is
    the engine's. A hierarchy without such a group is left out.
    """
    lines = []
    for line in cgroup_file.splitlines():
        names = line.split("/")
        own = next((at for at, name in enumerate(names) if identifier in (name, parse_scope_name(name))), None)
        if own is not None:
            lines.append("/".join(names[: own + 1]))
    return "\n".join(lines)


def has_container_group(cgroup_file: str) -> bool:
    """Return whether a process with this /proc/PID/cgroup is in a container of Docker, containerd or Podman."""
    names = (re.sub(r"^[a-z-]+-|\.scope$", "", name) for line in cgroup_file.splitlines() for name in line.split("/"))
    return any(_FOLDER.fullmatch(name) for name in names)


def list_container_cgroups(host: Host, instance: Instance = ROOTFUL) -> Iterator[tuple[str, str]]:
    """Yield full ID and control group path of each running container of an engine, once, with either cgroup driver and below any parent.

    A folder that is only named like a container counts if a shim of the engine started a process in it; containers of other engines have such
    names too. Those of a rootless engine are below its user's manager.
    """
    yielded = set()  # on cgroup v1 each container has a group per hierarchy
    for folder, folders, unused in os.walk(host.path(instance.manager_cgroup if instance.rootless else CGROUPFS)):
        if not instance.rootless:
            folders[:] = [name for name in folders if not name.startswith("user@")]
        for name in list(folders):
            identifier = parse_scope_name(name)
            if not identifier and _FOLDER.fullmatch(name) and (os.path.basename(folder) == "docker" or _has_shim(host, f"{folder}/{name}")):
                identifier = name
            if identifier:
                folders.remove(name)  # groups below are the container's own
                if identifier not in yielded:
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
    for pid in list_processes(host, folder.removeprefix(str(host.root).rstrip("/")))[:8]:
        try:
            parent = re.search(r"^PPid:\s*(\d+)", host.read(f"/proc/{pid}/status") or "", re.MULTILINE)
            words = (host.read(f"/proc/{parent[1]}/cmdline") or "").split("\0") if parent else []
        except OSError:  # it has ended
            continue
        if "-namespace" in words[:-1] and words[words.index("-namespace") + 1].split("-")[0] == "moby":
            return True
    return False
