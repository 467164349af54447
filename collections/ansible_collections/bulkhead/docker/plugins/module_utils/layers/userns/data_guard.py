# SPDX-License-Identifier: GPL-3.0-or-later
"""Guards data when the engine's data root changes: images, containers, volumes and networks stay in the old one and become invisible. Pure.

They are visible again, unchanged, when the engine uses the old data root again. Running containers have to be stopped before: with
live-restore they would survive the restart outside the new data root, where `docker ps` does not list them and they are not remapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...formatting import KINDS, format_contents, format_names
from ...migration.roots import explain_other_entries
from ...subid.mapping import Map, build_expected_maps, find_configured_remap, name_data_root, parse_state, resolve_remap
from ..identity import get_map
from ..verdict import LayerPlan


def guard_data(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], maps: tuple[Map, Map]) -> bool:
    """Add blockers and warnings for a change of the data root that hides something. Returns whether the data is to be migrated.

    maps: uid_map and gid_map of the new data root; empty ones for the data root without remapping.
    """
    here, engine = observed["layers"]["userns"], observed["engine"]
    present, target = find_current_root(observed), name_data_root(*maps)
    if present == target:
        return False
    orphans = [o["id"][:12] for o in engine.get("orphans") or () if any(row[1] == 0 for row in get_map(o, "uid_map") or ())]
    if orphans:
        result.blockers.append(
            f"containers run that the engine does not list: {', '.join(orphans)} (live-restore leaves them when the data root changes);"
            " end them with `ctr -n moby tasks kill` before it changes again"
        )
    change = f"the engine's data root changes from {_format_path(here, present)} to {_format_path(here, target)}"
    earlier = _count_data(here, target)
    if earlier:
        result.notices.append(f"{_format_path(here, target)} was the data root before: {earlier} become visible again")
    if not engine.get("running"):
        hidden = _count_data(here, present) if here["data_root"] else "its content, which is not known because its data root is not,"
    elif engine.get("contents") is None:
        cause = engine.get("error") or "the engine did not report it"
        result.blockers.append(f"{change}, and its content is not known: {cause}; run again when the engine answers")
        return False
    else:
        hidden = format_contents(engine["contents"])
    if not hidden:
        return False
    choice, place = desired["userns_remap_existing_data"], f"the {'remapped' if present else 'plain'} data root"
    if choice == "migrate" and target and not present:
        root = next((root for root in here.get("roots") or () if root["remapped"] == target), None)
        if root and root.get("others") and not earlier:
            result.blockers.append(explain_other_entries(root["path"], root["others"]))
            return False
        return _plan_migration(result, desired, engine, change, hidden)
    if choice == "migrate" and not target and earlier:
        result.warnings.append(f"{change}: {hidden} stay in the remapped data root; the plain data root is as it was before the migration")
        _explain_stops(result, engine)
    elif choice == "hide":
        result.warnings.append(f"{change}: {hidden} stay in {place}, invisible until the engine uses it again")
        _explain_stops(result, engine)
    else:
        migrate = "migrate to copy them, " if target and not present else ""
        result.blockers.append(
            f"{change}, and {hidden} would become invisible; set userns_remap_existing_data: {migrate}"
            f"hide to leave them in {place}, or remove them first"
        )
    return False


def guard_disabling(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """Guard data where disabling the layer removes `userns-remap` from daemon.json or restores its previous value."""
    path = (observed.get("daemon_json") or {}).get("path")
    managed = (observed.get("managed") or {}).get("files", {}).get(path, {}).get("keys", {}).get("/userns-remap")
    if managed is None or "userns-remap" in (desired.get("docker_daemon_options") or {}):
        return
    before = managed.get("before")
    subids, version = parse_state(observed["layers"]["userns"]), observed["engine"].get("version")
    maps = build_expected_maps(subids, resolve_remap(subids, before)[0], version) if before else ([], [])
    guard_data(result, observed, desired, maps)


def find_current_root(observed: Mapping[str, Any]) -> str | None:
    """Return UID.GID of the engine's data root; of a stopped engine, of the data root that it would use now."""
    here, engine = observed["layers"]["userns"], observed["engine"]
    if engine.get("running"):
        return engine.get("remapped")
    setting = find_configured_remap(observed)
    subids = parse_state(here)
    return name_data_root(*build_expected_maps(subids, resolve_remap(subids, setting)[0], engine.get("version"))) if setting else None


def _plan_migration(result: LayerPlan, desired: Mapping[str, Any], engine: Mapping[str, Any], change: str, migrated: str) -> bool:
    """Add what the plan can say of a migration. What only the files show is checked on the host, before anything stops."""
    if not engine.get("running"):
        result.blockers.append(f"{change}, and an engine that does not run cannot report its content; start it, then migrate")
        return False
    if desired.get("docker_daemon_restart") is False:
        result.blockers.append(
            f"{change}, and docker_daemon_restart: false would leave the switch to a later restart that migrates nothing;"
            " allow the restart, or disable the layer"
        )
        return False
    result.notices.append(
        f"{change}: {migrated} are migrated. The plain data root stays as it is; playbooks/finalize.yml removes it, disabling the layer"
        " returns to it"
    )
    return True


def _explain_stops(result: LayerPlan, engine: Mapping[str, Any]) -> None:
    """Explain why running containers stop although live-restore is on; `daemon_config` stops them (`stop_containers`)."""
    containers = (engine.get("contents") or {}).get("containers") or []
    running = [entry["name"] for entry in containers if entry.get("state") in ("running", "paused", "restarting")]
    if running and engine.get("live_restore"):
        result.warnings.append(
            f"live-restore is on, yet the engine's restart stops {format_names(running)}: under another data root they would keep"
            " running unknown to the engine and not remapped, and their published ports would stop working"
        )


def _count_data(here: Mapping[str, Any], remapped: str | None) -> str:
    """Return the number of objects in a data root on disk, as text; empty when there are none."""
    root = next((root for root in here.get("roots") or () if root["remapped"] == remapped), None)
    if root is None:
        return ""
    counted = [f"{root[kind]} {noun}{'' if root[kind] == 1 else 's'}" for kind, noun in KINDS[:3] if root[kind]]
    if root.get("unknown"):
        counted.append(f"an unknown number of images in {root['unknown']}, which cannot be counted while the engine is stopped,")
    return ", ".join(counted)


def _format_path(here: Mapping[str, Any], remapped: str | None) -> str:
    root = here["data_root"] or "an unknown data root"
    return f"{root}/{remapped}" if remapped else str(root)
