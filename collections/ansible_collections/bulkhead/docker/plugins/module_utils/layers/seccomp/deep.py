# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps the seccomp filters of running containers: of none, of one per profile, or of all. A dump stops a process for some milliseconds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ...engine.cgroups import select_own_groups
from ...engine.instance import Instance
from ...host.cgroup import CGROUPFS
from ...host.process_status import parse_status, read_id_map
from ...host.root import Host
from ...seccomp import dump
from .options import is_opted_out, read_option

NONE, PROFILES, ALL = "none", "profiles", "all"
DEEP = (NONE, PROFILES, ALL)


def dump_containers(host: Host, containers: Sequence[dict[str, Any]], always: Collection[str], deep: str, instance: Instance) -> None:
    """Add the filters of processes to the evidence on containers.

    seccomp_filter: filters of the first process, as texts. covers: names of other containers for which they were read too; dumped_from:
    `name` and `pid` of the container whose filters these are. dumped_states: with `all`, the states whose number of filters differs, each
    with `filters`. not_dumped: why filters could not be read.
    always: names of containers whose filters are read with every value of `deep`.
    """
    groups: dict[Any, list[dict[str, Any]]] = {}
    for container in containers:
        if not _is_dumpable(container):
            continue
        alone = deep == ALL or container["name"] in always
        if alone or deep == PROFILES:
            groups.setdefault(container["id"] if alone else _identify_profile(container), []).append(container)
    waiting = [(members, list(members)) for members in groups.values()]
    while waiting:
        tried = [untried.pop(0) for unused, untried in waiting]
        answers = _dump(host, instance, [(container, container["kernel"]) for container in tried])
        for container, answer, (members, untried) in zip(tried, answers, waiting, strict=True):
            if isinstance(answer, str):
                container["not_dumped"] = answer
                continue
            untried.clear()
            container["seccomp_filter"] = answer
            container["covers"] = [other["name"] for other in members if other is not container]
            for other in members:
                if other is not container:
                    other.update(seccomp_filter=answer, dumped_from={"name": container["name"], "pid": container["pid"]})
        waiting = [(members, untried) for members, untried in waiting if untried]
    if deep == ALL:
        _dump_states(host, instance, [members[0] for members in groups.values()])


def explain_untraceable(host: Host, instance: Instance, identifier: str, pid: int) -> str | None:
    """Return why root must not trace a process that an engine names; None if it may.

    An engine could name any process of the host, which root would stop. A user's engine is believed only for processes that the user controls
    anyway: in the container's control group below the user's manager, and in a user namespace without the host's root.
    """
    try:
        groups = select_own_groups(host.read(f"/proc/{pid}/cgroup") or "", identifier)
        if not groups:
            return f"process {pid} is not in the control group of the container, so it is not traced"
        if not instance.rootless:
            return None
        manager = instance.manager_cgroup.removeprefix(CGROUPFS) + "/"
        if not all(line.split(":", 2)[2].startswith(manager) for line in groups.splitlines()):
            return f"process {pid} is not below the control group of the manager of {instance.user}, so it is not traced"
        maps = [read_id_map(host, pid, name) for name in ("uid_map", "gid_map")]
        status = parse_status(host.read(f"/proc/{pid}/status") or "")
    except (OSError, ValueError) as error:
        return f"process {pid} is not traced: {error}"
    if not all(maps) or any(first == 0 for rows in maps for unused, first, count in rows) or 0 in status.get("uid", [0]):
        return f"process {pid} is not in a user namespace without the host's root, so it is not traced for {instance.user}"
    return None


def _is_dumpable(container: dict[str, Any]) -> bool:
    """Return whether a container has a filter of the engine in this kernel. What a program installed itself does not count."""
    if container.get("error") or not container.get("runtime", {}).get("shares_kernel", True):
        return False
    return bool(container["kernel"].get("seccomp")) and not is_opted_out(container["inspect"]["HostConfig"])


def _identify_profile(container: dict[str, Any]) -> tuple[Any, ...]:
    """Return what decides which filter the engine gives a container, and how many filters its first process has."""
    kernel, config = container["kernel"], container["inspect"]["HostConfig"]
    return (
        read_option(config), kernel.get("cap", {}).get("bnd"), bool(config.get("Privileged")), kernel.get("seccomp"),
        kernel.get("seccomp_filters"),
    )  # fmt: skip


def _dump_states(host: Host, instance: Instance, containers: Sequence[dict[str, Any]]) -> None:
    targets = []
    for container in containers:
        counts = {container["kernel"].get("seccomp_filters")}
        for state in container.get("states") or ():
            if state.get("seccomp") and state.get("seccomp_filters") not in counts:
                counts.add(state.get("seccomp_filters"))
                targets.append((container, state))
    for (container, state), answer in zip(targets, _dump(host, instance, targets), strict=True):
        if isinstance(answer, str):
            container["not_dumped"] = "; ".join(filter(None, (container.get("not_dumped"), answer)))
        else:
            container.setdefault("dumped_states", []).append({**state, "filters": answer})


def _dump(host: Host, instance: Instance, targets: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[list[str] | str]:
    """Return per container and state the filters, or why they were not read."""
    found: dict[int, list[str] | str] = {}
    allowed: dict[int, int | None] = {}
    for container, state in targets:
        pid = state.get("tid") or state["pid"]
        reason = explain_untraceable(host, instance, container["id"], pid)
        if reason:
            found[pid] = reason
        else:
            allowed[pid] = state.get("started")
    try:
        found.update(zip(allowed, dump.dump_filters(list(allowed.items())), strict=True))
    except OSError as error:  # no more processes or pipes
        found.update(dict.fromkeys(allowed, str(error)))
    return [found[state.get("tid") or state["pid"]] for unused, state in targets]
