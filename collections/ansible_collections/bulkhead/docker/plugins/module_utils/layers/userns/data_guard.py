# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine would no longer see under another root: images, containers, volumes and networks stay in the old one.

They come back as they were when the engine is given the old root again. Running containers have to be stopped for it: with live-restore on
they would survive the restart outside the new root, where `docker ps` doesn't list them and nothing remaps them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...subid.mapping import Map, find_configured_remap, build_expected_maps, parse_remap_user, name_data_root, parse_state
from ..verdict import LayerPlan

_KINDS = (("images", "image"), ("containers", "container"), ("volumes", "volume"), ("networks", "network"))
_SHOWN = 5


def guard(found: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], maps: tuple[Map, Map]) -> bool:
    """Refuse, or warn of, a change of root that hides something. Returns whether what is there is to be carried over.

    maps: uid_map and gid_map of the root to come; empty ones for the root without remapping.
    """
    here, engine = observed["layers"]["userns"], observed["engine"]
    present, target = current_root(observed), name_data_root(*maps)
    if present == target:
        return False
    orphans = [o["id"][:12] for o in engine.get("orphans") or () if any(row[1] == 0 for row in o.get("uid_map") or ())]
    if orphans:
        found.blockers.append(
            f"containers run that the engine does not know: {', '.join(orphans)} (live-restore leaves such when the engine's root changes);"
            " end them with `ctr -n moby tasks kill` before it changes again"
        )
    move = f"the engine's root changes from {_path(here, present)} to {_path(here, target)}"
    back = _on_disk(here, target)
    if back:
        found.notices.append(f"{_path(here, target)} has been an engine's root before: {back} come back with it")
    if not engine.get("running"):
        lost = _on_disk(here, present)
    elif engine.get("contents") is None:
        found.blockers.append(
            f"{move}, and what it holds is not known: {engine.get('error') or 'the engine did not say'}; run again when the engine answers"
        )
        return False
    else:
        lost = listed(engine["contents"])
    if not lost:
        return False
    if desired["userns_remap_existing_data"] == "migrate" and target and not present:
        return _migrate(found, desired, engine, move, lost, maps)
    if desired["userns_remap_existing_data"] == "migrate" and not target and back:
        found.warnings.append(
            f"{move}: {lost} stay in the remapped root, as they are now; what comes back is as it was before it was carried over"
        )
        _explain_orphans(found, engine)
    elif desired["userns_remap_existing_data"] == "hide":
        found.warnings.append(f"{move}: {lost} stay in the old root, invisible until the engine has that root again")
        _explain_orphans(found, engine)
    else:
        along = "migrate to take them along, " if target and not present else ""
        found.blockers.append(
            f"{move}, and {lost} would become invisible; write userns_remap_existing_data: {along}"
            "hide to leave them in the old root, from where they come back with it, or remove them first"
        )
    return False


def _migrate(
    found: LayerPlan, desired: Mapping[str, Any], engine: Mapping[str, Any], move: str, carried: str, maps: tuple[Map, Map]
) -> bool:
    """What the plan can say of carrying everything over; what only reading the files tells is refused on the host, before anything stops."""
    if not engine.get("running"):
        found.blockers.append(f"{move}, and an engine that does not run can't be asked what it holds; start it, then migrate")
        return False
    if desired.get("docker_daemon_restart") is False:
        found.blockers.append(
            f"{move}, and docker_daemon_restart: false would leave the switch to somebody's next restart, when nothing is carried over;"
            " allow the restart, or leave the layer out"
        )
        return False
    found.notices.append(
        f"{move}: {carried} are carried over. The old root stays as it is; playbooks/finalize.yml removes it, switching the layer off returns to it"
    )
    found.effects.append("all containers stop while what they hold is copied, and those that ran start again in the remapped root")
    for path, names in bind_mounts(engine["contents"]).items():
        found.warnings.append(
            f"{path} of the host is mounted for writing into {', '.join(names)}, and its files keep their owners, whom the container then no"
            f" longer knows; where it has to write, this gives each file to the one who its owner becomes: {shifting(path, maps)}"
        )
    return True


def bind_mounts(contents: Mapping[str, Any]) -> dict[str, list[str]]:
    """Path → containers, running or not, that have it mounted for writing; sockets and the kernel's file systems left out."""
    found: dict[str, list[str]] = {}
    for container in contents.get("containers") or ():
        for path in container.get("binds") or ():
            if not re.match(r"/(proc|sys|dev|run|var/run)(/|$)", path):
                found.setdefault(path, []).append(container["name"])
    return found


def shifting(path: str, maps: tuple[Map, Map]) -> str:
    """The command that gives every file below a path, whoever owns it, to the host's ID that its owner has under the maps' first lines.

    What is owned by a higher ID than those lines map is left alone, so that a second run, or a second name of a file, changes nothing. The mode
    is set anew because chown clears the setuid bit (man 2 chown).
    """
    (_inside, uid, uids), (_inside, gid, gids) = maps[0][0], maps[1][0]
    return (
        f'find {shlex.quote(path)} -xdev -exec sh -c \'for f; do set -- $(stat -c "%u %g %a" "$f");'
        f' if [ $1 -lt {min(uids, uid)} ] && [ $2 -lt {min(gids, gid)} ]; then chown -h $(($1+{uid})):$(($2+{gid})) "$f" &&'
        ' { [ -L "$f" ] || chmod $3 "$f"; }; fi; done\' sh {} +'
    )


def current_root(observed: Mapping[str, Any]) -> str | None:
    """UID.GID of the root that the engine has, or, when it does not run, would have if it were started as things are."""
    here, engine = observed["layers"]["userns"], observed["engine"]
    if engine.get("running"):
        return engine.get("remapped")
    setting = find_configured_remap(observed)
    return name_data_root(*build_expected_maps(parse_state(here), parse_remap_user(setting)[0], engine.get("version"))) if setting else None


def guard_switching_off(found: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """The same where dropping what is ours takes `userns-remap` out of daemon.json, or gives it back the value that it had before us."""
    path = (observed.get("daemon_json") or {}).get("path")
    ours = (observed.get("managed") or {}).get("files", {}).get(path, {}).get("keys", {}).get("/userns-remap")
    if ours is None or "userns-remap" in (desired.get("docker_daemon_options") or {}):
        return
    before = ours.get("before")
    maps = (
        build_expected_maps(parse_state(observed["layers"]["userns"]), parse_remap_user(before)[0], observed["engine"].get("version"))
        if before
        else ([], [])
    )
    guard(found, observed, desired, maps)


def listed(contents: Mapping[str, Any]) -> str:
    """`3 images (nginx:1, redis:7, app:2; 1.2 GB), 2 containers (web running, db exited)`; empty when there is nothing."""
    return ", ".join(_kind(contents.get(kind) or [], noun) for kind, noun in _KINDS if contents.get(kind))


def _kind(entries: Sequence[Mapping[str, Any]], noun: str) -> str:
    names = [" ".join(filter(None, (_short(entry["name"]), entry.get("state")))) for entry in entries[:_SHOWN]]
    if len(entries) > _SHOWN:
        names.append(f"and {len(entries) - _SHOWN} more")
    sizes = [entry["bytes"] for entry in entries if entry.get("bytes") is not None]
    size = f"; {in_words(sum(sizes))}" if sizes else ""
    return f"{len(entries)} {noun}{'' if len(entries) == 1 else 's'} ({', '.join(names)}{size})"


def _short(name: str) -> str:
    """A name that fits a sentence; of an anonymous volume's 64 digits the first twelve, as the engine shows IDs."""
    if len(name) == 64 and set(name) <= set("0123456789abcdef"):
        return name[:12]
    return name if len(name) <= 40 else f"{name[:39]}…"


def in_words(size: int) -> str:
    """Bytes as people write them: powers of 1000, as the engine's own tables."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _explain_orphans(found: LayerPlan, engine: Mapping[str, Any]) -> None:
    """Why running containers are stopped though live-restore is on; `daemon_config` does it (`stop_containers`)."""
    running = [
        entry["name"]
        for entry in (engine.get("contents") or {}).get("containers") or []
        if entry.get("state") in ("running", "paused", "restarting")
    ]
    if running and engine.get("live_restore"):
        names = ", ".join(running[:_SHOWN]) + (f" and {len(running) - _SHOWN} more" if len(running) > _SHOWN else "")
        found.warnings.append(
            f"live-restore is on, yet the engine's restart stops {names}: under another root they would run on as orphans, "
            "their maps unchanged, not listed by docker ps, their ports dead"
        )


def _on_disk(here: Mapping[str, Any], remapped: str | None) -> str:
    """What an engine that does not run would no longer find, by counting what lies in its root."""
    root = next((root for root in here.get("roots") or () if root["remapped"] == remapped), None)
    if root is None:
        return ""
    return ", ".join(f"{root[kind]} {noun}{'' if root[kind] == 1 else 's'}" for kind, noun in _KINDS[:3] if root[kind])


def _path(here: Mapping[str, Any], remapped: str | None) -> str:
    return f"{here['data_root']}/{remapped}" if remapped else str(here["data_root"])
