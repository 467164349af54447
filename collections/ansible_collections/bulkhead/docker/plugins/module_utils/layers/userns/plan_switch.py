# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans what a switch to userns-remap does to containers and to data that is migrated, from what module observe_data found. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.instance import ROOTFUL
from ...formatting import format_names, format_size
from ...migration import obstacles
from ...migration.ids import IdMaps, UnmappedId
from ...subid.mapping import Map
from ..verdict import LayerPlan
from . import plan_access

ACCEPT, LIST, SIZE, TIMEOUT = (
    "userns_remap_migrate_accept",
    "hardened_container_list",
    "userns_remap_range_size",
    "userns_remap_scan_timeout",
)
_HOST_USERNS = "recreate it with --userns=host; it then runs without this layer"
# Entries of the list have no such setting.
_OUT_OF_LIST = f"take it out of {LIST} and run it with --userns=host; it then runs without this layer"
_SHOWN = 3
# Folders of the system, whose files must keep their owners, and folders that contain such folders.
_SYSTEM = re.compile(
    r"/(bin|boot|dev|etc|lib(32|64|x32)?|proc|root|run|sbin|sys|usr|var/(cache|lib/(dpkg|systemd|docker|containerd)|log|run|spool))(/.*)?"
    r"|/|/(home|media|mnt|opt|tmp|var|var/lib|var/tmp)"
)


def build_question(observed: Mapping[str, Any], desired: Mapping[str, Any], maps: tuple[Map, Map], migrate: bool) -> dict[str, Any]:
    """Return the arguments of module observe_data for a switch to these maps; empty if the switch concerns no container and no data.

    migrate: whether data is to be migrated.
    """
    engine = observed["engine"]
    paths = sorted({path for entry in _list_declared(desired) for path, _writable in _list_binds(entry)})
    if not engine.get("running") or not (migrate or paths or (engine.get("contents") or {}).get("containers")):
        return {}
    timeout = int(desired.get(TIMEOUT) or 120)
    own = {"socket": engine["socket"]} if engine.get("socket") not in (None, ROOTFUL.socket) else {}
    return {"uid_map": maps[0], "gid_map": maps[1], "migrate": migrate, "paths": paths, "scan_timeout": timeout, **own}


def judge_switch(result: LayerPlan, data: Mapping[str, Any], desired: Mapping[str, Any], question: Mapping[str, Any]) -> None:
    """Add blockers and warnings. data: the answer of module observe_data to the question."""
    ids, migrate = IdMaps(question["uid_map"], question["gid_map"]), bool(question["migrate"])
    if migrate:
        _judge_data(result, data, question["scan_timeout"])
    declared = [_describe_declared(entry) for entry in _list_declared(desired)]
    _judge_start(result, data["containers"], declared, ids, frozenset(desired.get(ACCEPT) or ()))
    for container in data["containers"]:
        if container["error"]:
            result.warnings.append(
                f"container {container['name']} was not examined, because the engine does not report it: {container['error']}"
            )
    concerned = [c for c in [*data["containers"], *declared] if (c["host"].get("UsernsMode") or "") != "host" and not c["error"]]
    _judge_processes(result, concerned, ids)
    _judge_volumes(result, concerned)
    _judge_paths(result, concerned, data, ids, migrate)
    _judge_scan(result, data["paths"], question["scan_timeout"], migrate)


def _list_declared(desired: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        entry for entry in desired.get(LIST) or () if isinstance(entry, Mapping) and entry.get("state") != "absent" and entry.get("name")
    ]


def _list_binds(entry: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the paths of the host in `volumes` of an entry of hardened_container_list, and whether they are mounted for writing."""
    fields = [str(volume).split(":") for volume in entry.get("volumes") or ()]
    return [(given[0], "ro" not in ",".join(given[2:]).split(",")) for given in fields if given[0].startswith("/") and len(given) > 1]


def _describe_declared(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of hardened_container_list in the form of an observed container. It has no capability but those that it lists."""
    mounts = [{"source": path, "writable": writable, "volume": "", "type": "bind"} for path, writable in _list_binds(entry)]
    host = {"NetworkMode": entry.get("network") or "", "CapDrop": ["ALL"], "CapAdd": list(entry.get("capabilities") or ())}
    own: dict[str, Any] = {"id": "", "name": entry["name"], "runs": False, "error": "", "uids": [], "gids": [], "devices": []}
    return {**own, "declared": True, "config": {"User": str(entry.get("user") or "")}, "host": host, "mounts": mounts}


def _judge_data(result: LayerPlan, data: Mapping[str, Any], seconds: int) -> None:
    facts = data["root"]
    result.blockers += obstacles.find_engine_obstacles(data["info"])
    if not facts:  # of another storage driver
        return
    result.blockers += [*filter(None, [facts["target"]]), *obstacles.find_data_obstacles(facts)]
    if facts["unread"]:
        result.blockers.append(
            f"the owners of {len(facts['unread'])} parts of {facts['root']} were not read within {seconds} s, beginning with"
            f" {facts['unread'][0]}; raise {TIMEOUT}"
        )
    _judge_containerd(result, facts, seconds)
    known = {container["id"] for container in data["containers"]}
    for path, why in sorted(facts["ignored"].items()):
        if path.partition("/")[2] in known:
            result.blockers.append(
                f"{facts['root']}/{path} is of a container that the engine lists, yet {why}: the engine would lose it at its next start;"
                " recreate the container"
            )
        else:
            result.notices.append(
                f"{facts['root']}/{path} is not migrated, because the engine ignores it ({why}); playbooks/finalize.yml removes it with"
                " the plain data root"
            )
    for path in facts["attached"]:
        result.warnings.append(
            f"something is mounted on {path}: its files are copied to the disk of the new data root, and the copy is used from then on; to"
            " keep using the mount, create a volume that mounts it (docker volume create --opt type=none --opt o=bind --opt device=FOLDER)"
        )
    if facts["apart"]:
        names = ", ".join(f"{facts['root']}/{name}" for name in facts["apart"])
        result.warnings.append(f"{names}: on another disk than {facts['root']}, where the copy is made")


def _judge_containerd(result: LayerPlan, facts: Mapping[str, Any], seconds: int) -> None:
    """Add what is not migrated of images in containerd, and what was not examined."""
    uncompared = facts.get("uncompared") or {}
    if uncompared.get("count"):
        result.warnings.append(
            f"{uncompared['count']} archives of layers in containerd ({format_size(uncompared['bytes'])}) were not compared with their digests"
            f" within {seconds} s; the run compares all of them before the engine stops, and fails if one is damaged; to know it now, raise"
            f" {TIMEOUT}"
        )
    if facts.get("unused"):
        result.blockers.append(
            f"{facts['root']} also has {facts['unused']} images of a storage driver, which the engine does not show while its images are in"
            " containerd, and playbooks/finalize.yml would remove them; remove them first (features: containerd-snapshotter: false, docker rmi)"
        )
    for text in facts.get("left") or ():
        result.notices.append(f"{text} stay in containerd, because a storage driver has one platform of an image and no attestations")


def _judge_start(
    result: LayerPlan, containers: Sequence[Mapping[str, Any]], declared: Sequence[Mapping[str, Any]], ids: IdMaps, accepted: frozenset[str]
) -> None:
    """Add which containers do not start under userns-remap. Those that run are blockers unless the inventory accepts that."""
    unstartable = obstacles.find_unstartable([c for c in containers if not c["error"]], ids)
    for container in containers:
        name = container["name"]
        if name not in unstartable:
            continue
        if not container["runs"]:
            result.warnings.append(
                f"container {name}, which does not run now, has {unstartable[name]}, with which it does not start under userns-remap;"
                " recreate it with --userns=host before it is needed"
            )
        elif name in accepted:
            result.warnings.append(f"container {name} has {unstartable[name]} and stays stopped ({ACCEPT})")
        else:
            result.blockers.append(obstacles.explain_unsupported(name, unstartable[name]))
    unknown = sorted(accepted - {c["name"] for c in containers})
    if unknown:
        result.warnings.append(f"{ACCEPT}: no container has the name {', '.join(unknown)}")
    for name, option in obstacles.find_unstartable(declared, ids).items():
        result.blockers.append(
            f"{LIST}: container {name} has {option}, with which it does not start under userns-remap; change that setting, or write"
            " userns_remap_layer: disabled"
        )


def _judge_processes(result: LayerPlan, containers: Sequence[Mapping[str, Any]], ids: IdMaps) -> None:
    """Warn of processes whose IDs are not mapped, though the container itself starts."""
    for container in containers:
        unmapped = [_name_unmapped(number, ids.map_uid) for number in container["uids"]]
        unmapped += [_name_unmapped(number, ids.map_gid) for number in container["gids"]]
        found = [number for number in unmapped if number is not None]
        if found and not obstacles.find_unsupported_option(container["config"], container["host"], ids):
            result.warnings.append(
                f"processes of {container['name']} have the ID {', '.join(map(str, sorted(set(found))))}, which is not in the mapped range;"
                f" raise {SIZE} to {max(found) + 1} or more"
            )


def _name_unmapped(number: int, convert: Any) -> int | None:
    try:
        convert(number)
    except UnmappedId:
        return number
    return None


def _judge_volumes(result: LayerPlan, containers: Sequence[Mapping[str, Any]]) -> None:
    """Warn of volumes whose files are not in the engine's data root, nor at a path of this host."""
    found: dict[tuple[str, str], list[str]] = {}
    for container in containers:
        for mount in container["mounts"]:
            if mount["volume"] and not mount["source"]:
                found.setdefault((mount["volume"], mount["type"]), []).append(container["name"])
    for (volume, kind), names in found.items():
        result.warnings.append(
            f"volume {volume} ({kind}) of {format_names(names)} is not in the engine's data root: its files keep their owners, which were not"
            " examined, and containers may lose access"
        )


def _judge_paths(result: LayerPlan, containers: Sequence[Mapping[str, Any]], data: Mapping[str, Any], ids: IdMaps, migrate: bool) -> None:
    """Warn of what containers use of the host and will not have access to, one message per path and loss."""
    found: dict[tuple[str, str, str], list[str]] = {}
    root = data["info"].get("DockerRootDir") or "/var/lib/docker"
    moved: dict[str, list[str]] = {}
    declared = {container["name"] for container in containers if container.get("declared")}
    for container in containers:
        escape = _OUT_OF_LIST if container["name"] in declared else _HOST_USERNS
        identity = plan_access.identify(container)
        uses = [(mount["source"], mount["writable"]) for mount in container["mounts"] if mount["source"]]
        for path, writable in [*uses, *((device, True) for device in container["devices"])]:
            about = data["paths"].get(path)
            if migrate and path.startswith(f"{root}/"):
                moved.setdefault(path, []).append(container["name"])
            if about:
                loss, choice = _describe_loss(path, about, identity, ids, writable, escape)
                if loss:
                    found.setdefault((path, loss, choice), []).append(container["name"])
    for (path, loss, choice), names in found.items():
        mounted = format_names(list(dict.fromkeys(names)))
        result.warnings.append(f"{path} of the host is used by {mounted}, and under userns-remap {loss}; {choice}")
    for path, names in moved.items():
        result.warnings.append(
            f"{path} is mounted by its path into {format_names(names)} and stays in the plain data root, while the engine uses a copy;"
            " mount the volume by its name"
        )


def _describe_loss(
    path: str, about: Mapping[str, Any], identity: plan_access.ContainerIdentity, ids: IdMaps, writable: bool, escape: str
) -> tuple[str, str]:
    """Return what a container cannot do any more with a path and what is below it, and the choices; empty texts if it loses nothing.

    escape: how this container gets the host's user namespace.
    """
    lost = [(entry, rights) for entry in about["entries"] if (rights := plan_access.list_lost(entry, identity, ids, writable))]
    unknown = [entry for entry, _rights in lost if entry["acl"] is not False]
    certain = sorted(
        (pair for pair in lost if pair[0]["acl"] is False), key=lambda pair: pair[0]["kind"] == "folder" or pair[0]["kind"] == "file"
    )
    parts = []
    if certain:
        number = sum(entry["count"] for entry, _rights in certain)
        verbs = " or ".join(sorted({_name_right(entry, right) for entry, rights in certain for right in rights}))
        shown = "; ".join(_describe_entry(entry) for entry, _rights in certain[:_SHOWN])
        first = certain[0][0]
        if number == 1 and first is about["entries"][0]:
            parts.append(f"it cannot {verbs} that {first['kind']} ({_describe_owner(first)})")
        else:
            parts.append(f"it cannot {verbs} {number} of the files there: {shown}")
    if unknown:
        shown = "; ".join(_describe_entry(entry) for entry in unknown[:_SHOWN])
        parts.append(f"its access to files with access control lists is not known: {shown}")
    return " and ".join(parts), _choose_remedy(path, certain or lost, identity, ids, escape) if lost else ""


def _name_right(entry: Mapping[str, Any], right: str) -> str:
    return "connect to" if entry["kind"] == "socket" else right


def _describe_entry(entry: Mapping[str, Any]) -> str:
    return f"{entry['path']} ({entry['kind']}, {_describe_owner(entry)})"


def _describe_owner(entry: Mapping[str, Any]) -> str:
    return f"owner {entry['uid']}:{entry['gid']}, mode {entry['mode']:04o}"


def _choose_remedy(
    path: str, lost: Sequence[tuple[Mapping[str, Any], list[str]]], identity: plan_access.ContainerIdentity, ids: IdMaps, escape: str
) -> str:
    kinds = {entry["kind"] for entry, _rights in lost}
    if "socket" in kinds:
        return f"{escape}, or give it a proxy of the socket that has --userns=host"
    if "device" in kinds:
        return f"{escape}, or let others use the device (a udev rule with MODE)"
    if len(lost) == 1 and lost[0][0]["count"] == 1 and lost[0][0]["kind"] == "file":
        try:
            group = ids.map_gid(min(identity.gids, default=0))
        except UnmappedId:
            group = ids.map_gid(0)
        entry, rights = lost[0]
        file, bits = shlex.quote(entry["path"]), "rw" if plan_access.WRITE in rights else "r"
        # A group of the host that is not root's may have members who need the file.
        command = f"chgrp {group} {file} && chmod g+{bits} {file}" if entry["gid"] == 0 else f"setfacl -m g:{group}:{bits} {file}"
        return f"let its group use the file ({command}), or {escape}"
    if _SYSTEM.fullmatch(path):
        return f"mount only what the container needs, with owners that fit, or {escape}"
    return f"give each file to the new ID of its owner, which the host's users then lose: {build_chown_command(path, (ids.uids, ids.gids))}; or {escape}"


def build_chown_command(path: str, maps: tuple[Any, Any]) -> str:
    """Return the command that gives every file below a path to the host ID of its owner under the first lines of the maps.

    It skips files of higher IDs than those lines map, so that a second run, or a second name of a file, changes nothing. It sets the mode
    again because chown clears the setuid bit (man 2 chown).
    """
    (_inside, uid, uids), (_inside, gid, gids) = maps[0][0], maps[1][0]
    return (
        f'find {shlex.quote(path)} -xdev -exec sh -c \'for f; do set -- $(stat -c "%u %g %a" "$f");'
        f' if [ $1 -lt {min(uids, uid)} ] && [ $2 -lt {min(gids, gid)} ]; then chown -h $(($1+{uid})):$(($2+{gid})) "$f" &&'
        ' { [ -L "$f" ] || chmod $3 "$f"; }; fi; done\' sh {} +'
    )


def _judge_scan(result: LayerPlan, paths: Mapping[str, Mapping[str, Any]], seconds: int, migrate: bool) -> None:
    """Add what was not examined: a blocker for a migration, whose containers have to run again afterwards."""
    for path, about in paths.items():
        if about["unread"]:
            text = (
                f"the owners of files in {path}, which containers use, were not read within {seconds} s: reading ended at {about['unread']}"
            )
            (result.blockers if migrate else result.warnings).append(f"{text}; raise {TIMEOUT}")
        missed = [*about["skipped"], *about["errors"][:_SHOWN], *(["owners and modes beyond the first ones"] if about["more"] else [])]
        if missed:
            result.warnings.append(f"{path}, which containers use: not examined: {format_names(missed)}; containers may lose access there")
