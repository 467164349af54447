# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the one change of the engine's configuration: what all selected layers and role docker_daemon need in daemon.json and the drop-in.

Pure. Module `daemon_config` reads and merges the file again on the host and makes the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.engine.instance import get_observed_instance
from ...module_utils.engine_config import daemon_json, daemon_merge, keys
from ...module_utils.engine_config.drop_in_text import render_drop_in
from ...module_utils.host.root import sha256
from ...module_utils.layers.verdict import REQUIRED, Change, Effect, LayerPlan
from . import drift, image_store, key_effects, tcp_sockets
from .daemon_keys import collect_keys, find_blockers, find_content_blockers

LAYER = "engine_config"
# The path of a change that is a restart only.
_RESTART = "docker.service"


def plan(
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    layer_plans: Mapping[str, LayerPlan],
    selected: set[str],
    is_whole: bool = True,
) -> LayerPlan:
    """Return the change that the selected layers and docker_daemon's variables need.

    `selected`: names of layers. Options of no layer (icc, live-restore, logs, …, docker_daemon_options) belong to the two layers of role
    docker_daemon: a run that selects another layer alone leaves them unchanged. is_whole: whether these are all layers of the run; otherwise a
    later part of it sets docker_daemon_options.
    `apply`: arguments of module daemon_config. `changes`: daemon.json, the drop-in of the PIDs limit, and a restart without a changed file.
    """
    result = LayerPlan(LAYER, REQUIRED, blockers=find_blockers(observed, desired))
    if result.blockers:
        return result
    file, instance = observed["daemon_json"], get_observed_instance(observed)
    managed = (observed.get("managed") or {}).get("files", {}).get(file["path"], {})
    goal = collect_keys(observed, desired, layer_plans, selected, managed.get("keys", {}), result)
    document = daemon_json.parse_daemon_json(file["text"], file["path"])
    created = bool(managed.get("created")) or file["text"] is None
    merge = daemon_merge.merge_keys(document, goal.values, managed.get("keys", {}), goal.keep, created, file["path"])
    result.notices += merge.notices
    result.blockers += find_content_blockers(observed, merge.after, goal, result.blockers)
    tcp_sockets.judge_tcp_sockets(result, observed, merge.before, merge.after)
    if merge.text != file["text"] and file.get("fixed"):
        result.blockers.append(file["fixed"])

    limit = layer_plans["pids_limit"].apply.get("pids_limit") if "pids_limit" in layer_plans else None
    result.changes += [*_plan_file(file, merge), *_plan_drop_in(observed, limit)]
    may_restart = desired.get("docker_daemon_restart") is not False
    start = instance.rootless and not observed["engine"].get("running") and may_restart
    if start:
        result.changes.append(Change(instance.unit, f"start the rootless engine of {instance.user}"))
    unchanged = {key: value for key, value in goal.values.items() if merge.before.get(key) == value}
    pending = _list_pending(observed, merge, unchanged, layer_plans.get("seccomp"))
    restart = _plan_restart(observed, merge, pending, may_restart, result)
    switches_root = restart and (merge.switches_root or _has_stale_root(observed, merge.after))
    migrate = "userns" in layer_plans and bool(layer_plans["userns"].apply.get("migrate"))
    _check_differing(observed, restart, result)
    later = {} if is_whole else desired.get("docker_daemon_options") or {}
    # If the switch is blocked, `userns-remap` is not in `after`. Judging the store without it would add a second, misleading blocker.
    is_blocked = "userns" in layer_plans and bool(layer_plans["userns"].blockers)
    image_store.judge_image_store(
        result,
        observed,
        merge.before,
        {**merge.after, **later},
        restart and not is_blocked,
        migrate if switches_root else None,
        is_whole,
    )
    accepted = list(desired.get("userns_remap_migrate_accept") or [])
    containers = observed["engine"].get("containers") or []
    survives = not restart or (_survives_restart(observed, merge) and not switches_root)
    if restart:
        _add_restart_effects(observed["engine"], survives, switches_root, accepted if migrate else None, result)
        _add_root_warning(merge, result)
    elif _is_edited_later(observed, managed, merge):
        result.warnings.append(
            f"{file['path']} was changed after the engine started: parts of it may not be in effect before systemctl restart docker"
        )
    if restart or (observed["engine"].get("running") and not merge.needs_restart):
        # For another data root, layer userns says which images and containers the engine sees, not the effect of `features`.
        hidden = ("features",) if switches_root else ()
        before, after = ({key: value for key, value in content.items() if key not in hidden} for content in (merge.before, merge.after))
        result.effects += key_effects.describe_changes(before, after, containers, survives, pending if restart else ())
    if survives and any(change.path == instance.drop_in for change in result.changes):
        _add_reload_effect(containers, result)

    needed = "always" if any(change.path == _RESTART for change in result.changes) else "needed"
    result.apply = {
        "path": file["path"],
        "options": goal.values,
        "keep": sorted(goal.keep),
        "restart": needed if may_restart else "never",
        "stop_containers": switches_root and bool(observed["engine"].get("containers")),
        "migrate": switches_root and migrate,
        "migrate_accept": accepted,
        "containers_worse": desired.get("docker_daemon_containers_worse") or "report",
        "containers_wait": desired.get("docker_daemon_containers_wait", 90),
        "timeout": desired.get("docker_daemon_timeout") or 120,
    }
    if command := (observed.get("unit") or {}).get("command"):
        result.apply["command"] = list(command)
    if observed["engine"].get("socket") not in (None, instance.socket):
        result.apply["socket"] = observed["engine"]["socket"]
    if switches_root and migrate:
        result.apply.update({key: layer_plans["userns"].apply[key] for key in ("uid_map", "gid_map")})
        if image_store.find_running_store(observed["engine"]) == image_store.CONTAINERD:
            result.apply["prepare_images"] = True
    if instance.rootless:
        slow = desired.get("rootless_docker_timeout") or 300
        result.apply.update(user=instance.user, start=start, timeout=max(result.apply["timeout"], slow))
    if limit is not None:
        result.apply["pids_limit"] = limit
    return result


def _plan_file(file: Mapping[str, Any], merge: daemon_merge.Merge) -> list[Change]:
    if merge.text == file["text"]:
        return []
    summary = f"change {', '.join(merge.changed)}" if merge.changed else "write"
    return [Change(file["path"], summary, daemon_merge.mask_passwords(file["text"] or ""), daemon_merge.mask_passwords(merge.text or ""))]


def _plan_drop_in(observed: Mapping[str, Any], limit: int | None) -> list[Change]:
    if limit is None:
        return []
    before = observed["layers"]["pids_limit"]["drop_in"]["text"]
    after = render_drop_in(limit) if limit > 0 else None
    if before == after:
        return []
    summary = f"default PIDs limit {limit}" if limit > 0 else "remove the default PIDs limit"
    return [Change(get_observed_instance(observed).drop_in, summary, before or "", after or "")]


def _list_pending(
    observed: Mapping[str, Any], merge: daemon_merge.Merge, unchanged: Mapping[str, Any], seccomp: LayerPlan | None
) -> dict[str, str]:
    """Return key -> why the running engine does not use its value yet, though the file does not change. unchanged: keys that the file already sets."""
    path = observed["daemon_json"]["path"]
    differing = drift.list_differing_keys(observed["engine"], unchanged)
    found = dict.fromkeys(differing, f"the running engine differs from {path} in {', '.join(differing)}")
    profile = drift.find_newer_profile(observed, merge.after, seccomp)
    return found or ({"seccomp-profile": f"the engine reads {profile} only at its start"} if profile else {})


def _plan_restart(
    observed: Mapping[str, Any], merge: daemon_merge.Merge, pending: Mapping[str, str], may_restart: bool, result: LayerPlan
) -> bool:
    """Return whether the engine will be restarted. A restart without a changed file becomes a change."""
    if not observed["engine"].get("running"):
        if result.changes and not get_observed_instance(observed).rootless:
            result.notices.append("the engine is stopped and stays stopped; its configuration takes effect at its next start")
        return False
    if not may_restart:
        if merge.needs_restart:
            result.warnings.append("docker_daemon_restart: false, so the engine keeps its old configuration until it is restarted")
        return False
    if merge.needs_restart:
        return True
    if pending:
        result.changes.append(Change(_RESTART, f"restart: {next(iter(pending.values()))}"))
    return bool(pending)


def _check_differing(observed: Mapping[str, Any], restart: bool, result: LayerPlan) -> None:
    """Report the flags in which the running engine and its next start differ. A restart with another data root is a blocker."""
    docker_unit, instance = observed.get("unit") or {}, get_observed_instance(observed)
    roots = observed["layers"].get("userns") or {}
    if restart and roots.get("next_root") and not instance.rootless:
        result.blockers.append(
            f"the restart would move the data root from {roots['data_root']} to {roots['next_root']}, which daemon.json or a flag names since the"
            " engine's start, and hide images, containers and volumes; restore that setting, or restart the engine yourself first"
        )
        return
    for flag, (now, then) in (docker_unit.get("differing") or {}).items():
        place = docker_unit["places"].get(flag) or ", ".join(docker_unit["files"]) or instance.unit
        running = f"the running engine has {_format_flag(flag, now)}, but {place} gives its next start {_format_flag(flag, then)}"
        if restart and flag in keys.ROOT_KEYS:
            result.blockers.append(
                f"{running}: the restart would hide its images, containers and volumes; restore the flag, or restart the engine yourself first"
            )
        else:
            result.warnings.append(f"{running}; restart the engine, or restore the flag")


def _format_flag(flag: str, value: str | None) -> str:
    return f"no --{flag}" if value is None else daemon_merge.mask_passwords(f"--{flag}={value}")


def _has_stale_root(observed: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether the next restart switches the data root, because userns-remap was set in the file after the engine's start."""
    flags = (observed.get("unit") or {}).get("flags", {})
    return "userns-remap" not in flags and bool(observed["engine"].get("remapped")) != bool(after.get("userns-remap"))


def _survives_restart(observed: Mapping[str, Any], merge: daemon_merge.Merge) -> bool:
    """Return whether containers keep running while the engine restarts: live-restore is on, or switched on before (activation.py).

    An engine that starts without it stops what still runs (moby daemon/daemon.go, restore). Containers of a rootless engine end with its namespaces.
    """
    engine = observed["engine"]
    flagged = "live-restore" not in merge.changed and "live-restore" not in merge.after and engine.get("live_restore")
    enabled = merge.after.get("live-restore") is True or bool(flagged)
    return enabled and not engine.get("swarm") and not get_observed_instance(observed).rootless


def _add_restart_effects(
    engine: Mapping[str, Any], survives: bool, switches_root: bool, accepted: list[str] | None, result: LayerPlan
) -> None:
    """Add what the restart itself does to running containers. accepted: with a migration, the containers that stay stopped; None without one."""
    containers = engine.get("containers") or []
    running = [container["name"] for container in containers]
    names, stay = ([name for name in running if (name in (accepted or ())) is accepts] for accepts in (False, True))
    if accepted is not None and switches_root:
        text = "the engine is stopped while its data is copied"
        restarted = f"{text}; its containers stop, and start again in the remapped data root"
        result.effects.append(Effect(restarted if names else text, names))
        if stay:
            result.effects.append(Effect("the engine does not start these under userns-remap, so they stay stopped", stay))
    elif not names:
        result.effects.append(Effect("the engine is restarted; no container runs"))
    elif switches_root:
        text = "the engine is restarted with another data root; running containers are stopped, and it no longer sees them"
        result.effects.append(Effect(text, names))
    elif survives:
        result.effects.append(Effect("the engine is restarted; its containers keep running (live-restore)", names))
    else:
        result.effects.append(Effect("the engine is restarted; its containers stop and are started again", names))
    removed = [container["name"] for container in containers if container.get("auto_remove")]
    if removed and not survives:
        result.effects.append(Effect("started with --rm, so the engine removes them when they stop", removed))


def _add_reload_effect(containers: Sequence[Mapping[str, Any]], result: LayerPlan) -> None:
    """Add what systemd's daemon-reload for the drop-in does to running containers: it writes its own device rules again."""
    hidden = {c["name"]: " ".join(c["hidden_devices"]) for c in containers if c.get("hidden_devices")}
    if hidden:
        text = (
            "systemd reads its units again for the default PIDs limit, after which these containers may lose devices that systemd does not know,"
            " until they are started again"
        )
        result.effects.append(Effect(text, hidden, hidden))


def _add_root_warning(merge: daemon_merge.Merge, result: LayerPlan) -> None:
    moved = sorted((keys.ROOT_KEYS - {"userns-remap"}).intersection(merge.changed))
    if moved:
        result.warnings.append(
            f"{', '.join(moved)}: the engine no longer sees its present images, containers and volumes, which stay in the old place"
        )


def _is_edited_later(observed: Mapping[str, Any], managed: Mapping[str, Any], merge: daemon_merge.Merge) -> bool:
    """Return whether another program or an operator wrote the file after the engine's start. The engine does not report all of its configuration."""
    file, started = observed["daemon_json"], observed["engine"].get("started_at")
    if not file["exists"] or merge.text != file["text"] or started is None or file["mtime"] <= started + 1:
        return False
    return bool(managed.get("sha256") != sha256(file["text"]))
