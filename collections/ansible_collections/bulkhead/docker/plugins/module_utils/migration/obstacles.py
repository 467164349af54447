# SPDX-License-Identifier: GPL-3.0-or-later
"""Why data cannot be migrated, and which containers do not start afterwards. Pure: for the plan, and checked again by the migration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import layout
from .ids import IdMaps, UnmappedId

# New folders and links need space in addition to the data.
_SPARE = 1.05
_MAX_LISTED = 5
# IDs of a host are 32-bit numbers, and the last one is invalid (man 7 user_namespaces).
_LAST_ID = 0xFFFFFFFE
_WITH_IDS = ("--user", "--group-add", "--tmpfs")


def find_engine_obstacles(info: Mapping[str, Any], orphans: Iterable[str] = ()) -> list[str]:
    """Return why the data of this engine cannot be migrated. info: its `/info`. orphans: IDs of containers that it does not know."""
    found = []
    if any("name=userns" in option for option in info.get("SecurityOptions") or []):
        found.append("the engine is remapped already, and only a plain root can be migrated; write userns_remap_existing_data: hide")
    found += filter(None, [find_store_obstacle(info)])
    if (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive"):
        found.append(
            "this is a swarm node, whose services the swarm schedules; drain it, let it leave the swarm, and let it join again afterwards"
        )
    plugins = [name for kind, names in (info.get("Plugins") or {}).items() for name in names or [] if ":" in name and kind]
    if plugins:
        found.append(f"managed plugins cannot be migrated: {', '.join(plugins)}; remove them, and install them again afterwards")
    orphaned = [identifier[:12] for identifier in orphans]
    if orphaned:
        found.append(f"containers run that the engine does not know: {', '.join(orphaned)}; stop them with `ctr -n moby tasks kill` first")
    return found


def find_store_obstacle(info: Mapping[str, Any]) -> str:
    """Return why this engine's images cannot be migrated; empty if they can."""
    driver, containerd = info.get("Driver"), is_in_containerd(info)
    address = str((info.get("Containerd") or {}).get("Address") or "")
    if containerd and address.endswith("/docker/containerd/containerd.sock"):  # moby cmd/dockerd/daemon_unix.go, initContainerd
        return (
            f"the engine starts its own containerd ({address}), which stops with it, and its images cannot be migrated then; install containerd as"
            " a service of its own, or write userns_remap_existing_data: hide"
        )
    if driver == (layout.SNAPSHOTTER if containerd else layout.DRIVER):
        return ""
    return (
        f"the engine keeps images with {driver}{' of containerd' if containerd else ''}, and only {layout.DRIVER} and {layout.SNAPSHOTTER} of"
        " containerd can be migrated; change to one of them first (docs/migration.md), or write userns_remap_existing_data: hide"
    )


def is_in_containerd(info: Mapping[str, Any]) -> bool:
    """Return whether the engine keeps its images in containerd."""
    return "driver-type" in dict(info.get("DriverStatus") or ())


def find_data_obstacles(facts: Mapping[str, Any]) -> list[str]:
    """Return why this data cannot be migrated. facts: from `survey.read_facts`."""
    root, found = facts["root"], list(facts.get("problems") or ())
    if facts["others"]:
        found.append(
            f"{_list(facts['others'])} of {root} cannot be migrated: remove managed plugins (docker plugin rm),"
            " and let the node leave its swarm (docker swarm leave); install them, and let it join again, afterwards"
        )
    for path, target in facts["links"]:
        found.append(
            f"{path} is a symbolic link to {target}, and the files there would keep their owners; move that folder here, or"
            " create a volume that mounts it (docker volume create --opt type=none --opt o=bind --opt device=FOLDER)"
        )
    for text in facts["damaged"][:_MAX_LISTED]:
        found.append(f"{text}; the engine's root is damaged: remove the container, image or volume that uses it, or repair it")
    for path in facts["mounts"][:_MAX_LISTED]:
        found.append(f"{path} is on another file system, because something is mounted there, and would not be copied; unmount it first")
    for text in facts["errors"][:_MAX_LISTED]:
        found.append(f"{text}; it cannot be copied: repair or remove it first")
    if facts["unmapped"]:
        widen = f"raise userns_remap_range_size to {facts['size']} or more, or " if facts["first"] + facts["size"] <= _LAST_ID else ""
        found.append(
            f"the ID ranges of the new root do not contain the owners of {', '.join(facts['unmapped'])}; {widen}change the owners of these files"
        )
    if facts["bytes"] * _SPARE - facts["copied"] > facts["free"]:
        found.append(
            f"{root} contains {facts['bytes'] >> 20} MiB to copy, and the disk has {facts['free'] >> 20} MiB free;"
            " enlarge the disk, or remove unused images and containers (docker system prune)"
        )
    if facts["free_inodes"] is not None and facts["inodes"] * _SPARE > facts["free_inodes"]:
        found.append(
            f"{facts['inodes']} files are to be copied, but the file system has {facts['free_inodes']} free inodes; remove files that are not needed"
        )
    return found


def find_container_obstacles(containers: list[dict[str, Any]], ids: IdMaps, leave: Iterable[str]) -> list[str]:
    """Return which running containers would not start afterwards. leave: names of those that may stay stopped."""
    unstartable = find_unstartable(containers, ids)
    names = [c["name"] for c in containers if c["runs"] and c["name"] in unstartable and c["name"] not in leave]
    return [explain_unsupported(name, unstartable[name]) for name in names]


def _list(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")


# The engine rejects some options (moby daemon/daemon_unix.go, verifyPlatformContainerSettings), runc fails with the others (docs/facts.md).


def find_unsupported_option(configuration: Mapping[str, Any], host: Mapping[str, Any], ids: IdMaps | None = None) -> str:
    """Return the option because of which a container does not start under userns-remap; empty if it starts.

    configuration, host: `Config` and `HostConfig`, as the API and the files of a container have them.
    """
    if (host.get("UsernsMode") or "") == "host":
        return ""
    for option, is_set in (
        ("--privileged", host.get("Privileged")),
        ("--network host", host.get("NetworkMode") == "host"),
        ("--pid host", host.get("PidMode") == "host"),
        ("--ipc host", host.get("IpcMode") == "host"),
    ):
        if is_set:
            return option
    for option, number, is_group in _list_ids(configuration, host) if ids else ():
        try:
            ids.map_gid(number) if is_group else ids.map_uid(number)  # type: ignore[union-attr]
        except UnmappedId:
            return option
    return ""


def _list_ids(configuration: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[tuple[str, int, bool]]:
    """Yield option, ID and whether it is a group's, of those that are numbers."""
    setting = str(configuration.get("User") or "")
    user, _colon, group = setting.partition(":")
    if user.isdigit():
        yield f"--user {setting}", int(user), False
    if group.isdigit():
        yield f"--user {setting}", int(group), True
    for name in host.get("GroupAdd") or ():
        if str(name).isdigit():
            yield f"--group-add {name}", int(name), True
    for path, given in (host.get("Tmpfs") or {}).items():
        for key, number in re.findall(r"\b([ug]id)=(\d+)", str(given)):
            yield f"--tmpfs {path}:{given}", int(number), key == "gid"


def find_unstartable(containers: Sequence[Mapping[str, Any]], ids: IdMaps | None = None) -> dict[str, str]:
    """Return name -> option of the containers that do not start under userns-remap.

    containers: each with `id`, `name`, `config` (`Config`) and `host` (`HostConfig`). One that joins a namespace of another container gets that
    one's user namespace (moby daemon/oci_linux.go, WithNamespaces), which runc accepts only if it is remapped too.
    """
    found = {c["name"]: option for c in containers if (option := find_unsupported_option(c["config"], c["host"], ids))}
    outside = {c["name"] for c in containers if (c["host"].get("UsernsMode") or "") == "host"}
    known = {key: c["name"] for c in containers for key in (c["id"], c["name"])}
    while True:
        more = {
            c["name"]: f"{option}{target}"
            for c in containers
            if c["name"] not in found and c["name"] not in outside
            for option, name in _list_joined(c["host"])
            if (target := known.get(name, "")) in found or target in outside
        }
        if not more:
            return found
        found |= more


def _list_joined(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return option and container (ID or name) of each namespace of another container that this one joins."""
    found = []
    for option, key in (("--network", "NetworkMode"), ("--pid", "PidMode"), ("--ipc", "IpcMode")):
        kind, _colon, name = str(host.get(key) or "").partition(":")
        if kind == "container" and name:
            found.append((f"{option} container:", name))
    return found


def explain_unsupported(label: str, option: str) -> str:
    """Return why a container stops the switch, and the choices."""
    number = max(map(int, re.findall(r"\d+", option)), default=0) if option.startswith(_WITH_IDS) else 0
    widen = f"raise userns_remap_range_size to {number + 1} or more, " if number else ""
    return (
        f"container {label} has {option}, with which it does not start under userns-remap; {widen}recreate it with --userns=host, add it to"
        " userns_remap_migrate_accept to leave it stopped, or write userns_remap_layer: disabled"
    )
