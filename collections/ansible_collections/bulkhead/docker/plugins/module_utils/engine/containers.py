# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence on running containers: what the engine reports, and what the kernel shows of all their tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..host import cgroup, limits
from ..host.cgroup_events import read_events
from ..host.process import open_process
from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .cgroups import select_own_groups
from .inspection import get_first_pid, get_listed_name, inspect_container, inspect_containers
from .tasks import Tasks, read_tasks

# What judging needs of `docker inspect`; the rest, such as environment variables, stays on the host.
# Programs and shims whose containers are processes of the host's kernel; Bulkhead's wrapper for rootless engines is named runc too.
_SHARES = re.compile(
    r"runc|docker-runc|crun|youki|sysbox-runc|nvidia-container-runtime(\.\w+)?|io\.containerd\.runc\.v[12]|io\.containerd\.runtime\.v1\.linux"
)
# gVisor has a kernel of its own, the others are virtual machines.
_ISOLATES = re.compile(r"runsc|gvisor|kata|firecracker|runhcs", re.IGNORECASE)

_HOST_CONFIG = (
    "AutoRemove", "CapAdd", "CapDrop", "CgroupParent", "CgroupnsMode", "DeviceCgroupRules", "Devices", "IpcMode", "MaskedPaths", "Memory",
    "MemorySwap", "NanoCpus", "NetworkMode", "PidMode", "PidsLimit", "Privileged", "ReadonlyPaths", "ReadonlyRootfs",
    "RestartPolicy", "Runtime", "SecurityOpt", "UTSMode", "Ulimits", "UsernsMode",
)  # fmt: skip
SECRET_NAME = re.compile(r".*(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL).*|.*_(KEY|PASS)", re.IGNORECASE)
_ATTEMPTS = 3  # a container with a restart policy may be restarted while it is read


def read_containers(host: Host, engine: Engine, listed: Iterable[Mapping[str, Any]], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the evidence on those of the listed containers that run, sorted by name.

    listed: entries of `/containers/json`. info: the engine's `/info`. A container that cannot be inspected has an `error`.
    """
    found = []
    for entry, inspect, error in inspect_containers(engine, listed):
        if error:
            found.append(_build_evidence({"Id": entry["Id"], "Name": get_listed_name(entry)}, entry.get("Image", ""), error=error))
        elif inspect:
            evidence = read_container(host, engine, inspect, info)
            found += [evidence] if evidence else []
    return sorted(found, key=lambda c: c["name"])


def read_container(host: Host, engine: Engine, inspect: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the evidence on one container from its inspection; None when it has ended meanwhile.

    The evidence of a process is that of one process: /proc/PID stays open while it is read, and its control group has to be the container's.
    """
    image = (inspect.get("Config") or {}).get("Image", "")
    runtime = describe_runtime((inspect.get("HostConfig") or {}).get("Runtime") or "", info.get("Runtimes") or {})
    if not runtime["shares_kernel"]:
        text = f"its runtime {runtime['name']} has a kernel of its own, or is not known: what this kernel shows is not the container's"
        return _build_evidence(inspect, image, runtime=runtime, error=text)
    error = ""
    for _attempt in range(_ATTEMPTS):
        pid, identifier = get_first_pid(inspect), inspect["Id"]
        try:
            with open_process(host, pid) as process:
                cgroup_file = process.read("cgroup")
                groups = select_own_groups(cgroup_file, identifier)
                # Without the driver for them, a rootless engine gives containers no control groups (moby: cgroup driver `none`).
                if not groups and info.get("CgroupDriver") != "none":
                    error = f"the engine reports process {pid}, which is not in a control group of this container"
                else:
                    folder = cgroup.find_pids_folder(groups)
                    tasks = read_tasks(host, identifier, process, folder)
                    # While the process runs, no file system that it has mounted gives its device number to another one.
                    host_mountinfo = host.read("/proc/1/mountinfo") or ""
                    process.read("stat")  # it still runs, so nothing is left out because it has ended
                    evidence = _build_evidence(inspect, image, tasks, runtime, _read_groups(host, cgroup_file, groups, folder))
                    return {**evidence, "host_mountinfo": host_mountinfo}
        except (OSError, ValueError) as problem:
            error = f"process {pid} could not be read: {problem}"
        try:
            again = inspect_container(engine, identifier)
        except (EngineError, EngineUnreachable) as problem:
            error = str(problem)
            break
        if again is None:
            return None
        inspect = again
    return _build_evidence(inspect, image, runtime=runtime, error=error)


def _read_groups(host: Host, cgroup_file: str, groups: str, folder: str | None) -> dict[str, Any]:
    """Return `cgroup` (text), `cgroup_folder`, and `pids`, `limits` and `events`, or why they are `unreadable`.

    groups: the container's own control groups. folder: the one with its PIDs limit.
    """
    found: dict[str, Any] = {"cgroup": cgroup_file.strip(), "cgroup_folder": folder or "", "unreadable": {}}
    try:
        if not folder:
            raise ValueError("has no control group of this container with a PIDs limit")
        found["pids"] = cgroup.read_pids(host, folder)
        found["limits"] = limits.read_limits(host, groups)
        found["events"] = read_events(host, folder, groups)
    except (OSError, ValueError) as error:
        found["unreadable"][folder or "cgroup"] = str(error)
    return found


def _build_evidence(
    inspect: Mapping[str, Any],
    image: str,
    tasks: Tasks | None = None,
    runtime: Mapping[str, Any] | None = None,
    groups: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    pid = get_first_pid(inspect)
    states = tasks.states if tasks else [{"pid": pid, "unreadable": {}, "namespaces": {}, "label": None}]
    if groups:
        states[0].update({key: value for key, value in groups.items() if key != "unreadable"})
        states[0]["unreadable"].update(groups["unreadable"])
    return {
        "name": inspect["Name"].lstrip("/"),
        "id": inspect["Id"],
        "pid": pid,
        "image": image,
        "error": error,
        "runtime": dict(runtime or {}),
        "inspect": trim_inspect(inspect),
        "kernel": states[0],
        "states": states,
        "processes": tasks.processes if tasks else 0,
        "commands": sorted(tasks.commands) if tasks else [],
        "unread": tasks.unread if tasks else [],
        "mountinfo": tasks.mountinfo if tasks else {},
        "seccomp_filter": None,
    }


def trim_inspect(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an inspection that describes the confinement. Of the environment only a number remains."""
    config = inspect.get("HostConfig", {})
    names = [entry.partition("=")[0] for entry in inspect.get("Config", {}).get("Env") or ()]
    return {
        "AppArmorProfile": inspect.get("AppArmorProfile", ""),
        "User": inspect.get("Config", {}).get("User", ""),
        "HostConfig": {key: config[key] for key in _HOST_CONFIG if key in config},
        "Mounts": [{key: m.get(key) for key in ("Type", "Source", "Destination", "RW")} for m in inspect.get("Mounts") or ()],
        "Ports": (inspect.get("NetworkSettings") or {}).get("Ports") or {},
        "SecretNames": sum(bool(SECRET_NAME.fullmatch(name)) for name in names),
        "StartedAt": inspect.get("State", {}).get("StartedAt"),
    }


def describe_runtime(name: str, runtimes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `name` and `shares_kernel` of a container's runtime.

    name: from its inspection; empty for the engine's default. runtimes: of the engine's `/info`, name → its `path` or `runtimeType`.
    A runtime of another name is known by its program. One that is not known counts as one with a kernel of its own.
    """
    entry = runtimes.get(name) or {}
    program = str(entry.get("runtimeType") or entry.get("path") or name)
    shares = not name or bool(_SHARES.fullmatch(program.rpartition("/")[2]))
    return {"name": name, "shares_kernel": shares and not _ISOLATES.search(f"{name} {program}")}
