# SPDX-License-Identifier: GPL-3.0-or-later
"""The one change of the engine's configuration: what all selected layers and role docker_daemon need in daemon.json, as one text.

Pure. `daemon_config` makes the change on the host, where the file is read and merged anew; this is what it will come to.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...module_utils.engine import unit
from ...module_utils.engine.instance import of
from ...module_utils.engine_config import checks, daemon_json, drop_in, keys
from ...module_utils.host.files import sha256
from ...module_utils.layers.pids_limit.plan import KEY as PIDS_KEY
from ...module_utils.layers.pids_limit.plan import knows_key
from ...module_utils.layers.verdict import REQUIRED, Change, LayerPlan
from . import drift

LAYER = "engine_config"
OPTIONS = "docker_daemon_options"
# Whose a key is. Everything else is role docker_daemon's own, and goes with its two layers.
OWNERS = {PIDS_KEY: "pids_limit", "no-new-privileges": "no_new_privileges", "seccomp-profile": "seccomp", "userns-remap": "userns"}
# The OCI runtime that gives a rootless engine its AppArmor profiles.
_ROOTLESS_OWNERS = {"runtimes": "rootless", "default-runtime": "rootless"}
# A rootless engine's containers end with it, as the namespaces that they live in do; and before 28.0 its published ports need the proxy.
_NOT_ROOTLESS = ("live-restore", "userland-proxy")
_WITH_OPTIONS = frozenset({"pids_limit", "no_new_privileges"})
# Variable → key. None leaves the key alone.
_PLAIN = {
    "docker_daemon_icc": "icc",
    "docker_daemon_live_restore": "live-restore",
    "docker_daemon_userland_proxy": "userland-proxy",
    "docker_daemon_log_driver": "log-driver",
    "docker_daemon_log_opts": "log-opts",
}
# Read when a container starts; one that runs keeps what it was started with.
_AT_CONTAINER_START = frozenset({"no-new-privileges", "seccomp-profile", "log-driver", "log-opts", "default-ulimits", "default-runtime"})


@dataclass
class _Goal:
    """What daemon.json is to say: our keys, and those of ours that this run leaves alone."""

    ours: dict[str, Any]
    keep: frozenset[str]


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any], layer_plans: Mapping[str, LayerPlan], selected: set[str]) -> LayerPlan:
    """The change that brings the engine's configuration to what the selected layers and docker_daemon's variables want.

    `selected`: names of layers. The options that are no layer's (icc, live-restore, logs, …, docker_daemon_options) belong to
    the two layers of role docker_daemon: a run that is narrowed to another layer leaves them as they are.
    `apply`: arguments of module daemon_config. `changes`: daemon.json, the PIDs limit's drop-in, and a restart that nothing else says.
    """
    result = LayerPlan(LAYER, REQUIRED)
    file = observed["daemon_json"]
    if not _readable(observed, desired, result):
        return result
    managed = observed.get("managed") or {}
    of_file = managed.get("files", {}).get(file["path"], {})
    goal = _goal(observed, desired, layer_plans, selected, of_file.get("keys", {}), result)
    _mind_flags(observed.get("unit") or {}, goal, result)

    document = daemon_json.parse(file["text"], file["path"])
    created = bool(of_file.get("created")) or file["text"] is None
    merge = daemon_json.merge(document, goal.ours, of_file.get("keys", {}), goal.keep, created, file["path"])
    result.notices += merge.notices
    _check_result(observed, merge.after, goal, result)
    if merge.text != file["text"] and file.get("fixed"):
        result.blockers.append(file["fixed"])

    limit = layer_plans["pids_limit"].apply.get("pids_limit") if "pids_limit" in layer_plans else None
    result.changes += [*_file_change(file, merge), *_drop_in_change(observed, limit)]
    instance = of(observed)
    start = instance.rootless and not observed["engine"].get("running") and desired.get("docker_daemon_restart") is not False
    if start:
        result.changes.append(Change(instance.unit, f"start the rootless engine of {instance.user}"))
    restart = _plan_restart(observed, desired, layer_plans, merge, goal, result)
    moves = restart and (bool(keys.ROOT_KEYS & set(keys.changed(merge.before, merge.after))) or _root_is_stale(observed, merge.after))
    carried = "userns" in layer_plans and bool(layer_plans["userns"].apply.get("migrate"))
    _effects(observed, merge, restart, moves and not carried, result)
    _mind_hand_edits(observed, of_file, merge, restart, result)

    result.apply = {
        "path": file["path"],
        "options": goal.ours,
        "keep": sorted(goal.keep),
        "restart": "never" if desired.get("docker_daemon_restart") is False else ("always" if _drifted(result) else "needed"),
        "stop_containers": moves and bool(observed["engine"].get("containers")),
        "migrate": moves and carried,
        "migrate_accept": list(desired.get("userns_remap_migrate_accept") or []),
        "timeout": desired.get("docker_daemon_timeout") or 120,
    }
    if instance.rootless:
        slow = desired.get("rootless_docker_timeout") or 300
        result.apply.update(user=instance.user, start=start, timeout=max(result.apply["timeout"], slow))
    if limit is not None:
        result.apply["pids_limit"] = limit
    return result


# --- what is desired ---


def _readable(observed: Mapping[str, Any], desired: Mapping[str, Any], result: LayerPlan) -> bool:
    """Whether there is something to plan from; otherwise the blockers say why not."""
    file, flags = observed["daemon_json"], (observed.get("unit") or {}).get("flags", {})
    asked = desired.get("docker_daemon_config_path") or file["path"]
    if asked != file["path"]:
        flag = f" by --config-file in {observed['unit']['places'].get('config-file') or 'docker.service'}" if "config-file" in flags else ""
        result.blockers.append(
            f"docker_daemon_config_path: {asked} is not the file that the engine reads, which is {file['path']}{flag}; write that, or"
            " leave it out"
        )
    result.blockers += [text for text in (file["error"], observed.get("managed_error")) if text]
    options = desired.get(OPTIONS) or {}
    if not isinstance(options, Mapping):
        result.blockers.append(
            f'{OPTIONS}: {options!r} is no mapping; write keys of daemon.json with their values, as in {{"debug": true}}'
        )
    return not result.blockers


def _goal(
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    layer_plans: Mapping[str, LayerPlan],
    selected: set[str],
    memory: Mapping[str, Any],
    result: LayerPlan,
) -> _Goal:
    options = {key: value for key, value in (desired.get(OPTIONS) or {}).items() if key != PIDS_KEY}
    _check_options(options, result)
    owners = {**OWNERS, **_ROOTLESS_OWNERS} if of(observed).rootless else OWNERS
    with_options = selected >= _WITH_OPTIONS
    ours: dict[str, Any] = {}
    if with_options:
        ours.update(_plain(observed, desired, options, result))
    for plan_of_layer in layer_plans.values():
        for key, value in plan_of_layer.daemon_keys.items():
            ours[key] = value
            if key in options and options[key] != value:
                _contradiction(key, options[key], value, plan_of_layer, result)
    for key, value in options.items():
        if not (with_options or owners.get(key) in selected):
            continue
        if value is None:
            ours.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(ours.get(key), dict):
            ours[key] = {**ours[key], **value}
        else:
            ours[key] = dict(value) if isinstance(value, Mapping) else value
    if isinstance(ours.get("log-opts"), dict):
        ours["log-opts"] = {name: _as_text(value) for name, value in ours["log-opts"].items()}
    top = {daemon_json.path_of(place)[0] for place in memory}
    mine = {key for key in top if (owners[key] in selected if key in owners else with_options)}
    return _Goal(ours, frozenset(top - mine))


def _plain(observed: Mapping[str, Any], desired: Mapping[str, Any], options: Mapping[str, Any], result: LayerPlan) -> dict[str, Any]:
    """The options of docker_daemon that are no layer."""
    found = {key: desired[variable] for variable, key in _PLAIN.items() if desired.get(variable) not in (None, "", {})}
    if observed["engine"].get("swarm") and found.get("live-restore"):
        if options.get("live-restore"):
            result.blockers.append(f"{OPTIONS}['live-restore']: a swarm node does not start with live-restore; take it out")
        del found["live-restore"]
        result.notices.append("docker_daemon_live_restore is left out: this is a swarm node, and the engine does not start with both")
    if of(observed).rootless:
        found = {key: value for key, value in found.items() if key not in _NOT_ROOTLESS}
    flagged = (observed.get("unit") or {}).get("flags", {}).get("log-driver")
    driver = flagged or options.get("log-driver") or found.get("log-driver") or _current(observed).get("log-driver") or "json-file"
    if "log-opts" in found and (
        unknown := sorted(set(found["log-opts"]) - keys.LOG_OPTS.get(driver, frozenset()) - keys.LOG_OPTS_EVERYWHERE)
    ):
        del found["log-opts"]
        result.notices.append(f"docker_daemon_log_opts is left out: the log driver is {driver}, which does not take {', '.join(unknown)}")
    return found


def _current(observed: Mapping[str, Any]) -> dict[str, Any]:
    return daemon_json.parse(observed["daemon_json"]["text"], observed["daemon_json"]["path"]).content()


def _as_text(value: Any) -> Any:
    """Log options are texts to the engine; YAML makes numbers and booleans of them when nobody quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _check_options(options: Mapping[str, Any], result: LayerPlan) -> None:
    plain = {key: _plainly(value) for key, value in options.items() if value is not None}
    result.blockers += checks.types(plain, OPTIONS)
    for key in plain:
        if key not in keys.KNOWN:
            close = difflib.get_close_matches(str(key), keys.KNOWN, 1, 0.75)
            advice = f"is {close[0]} meant?" if close else "the engine's own check will decide"
            result.warnings.append(f"{OPTIONS}['{key}']: no engine that is known here has such a key; {advice}")


def _plainly(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _contradiction(key: str, option: Any, needed: Any, layer: LayerPlan, result: LayerPlan) -> None:
    sentence = f"{OPTIONS}['{key}']: {option!r} contradicts the layer {layer.layer}, which needs {needed!r}"
    if layer.requirement == REQUIRED:
        result.blockers.append(f"{sentence}; take it out, or set the layer's switch to disabled")
    else:
        result.warnings.append(f"{sentence}; the option wins")


# --- what stands in the way ---


def _mind_flags(docker_unit: Mapping[str, Any], goal: _Goal, result: LayerPlan) -> None:
    """The engine does not start with one thing said by a flag and in daemon.json. A flag that says what we want will do."""
    flags = docker_unit.get("flags", {})
    for key, flag in unit.flagged_keys(flags).items():
        if key not in goal.ours:
            continue
        place = docker_unit.get("places", {}).get(flag) or "the command line of docker.service"
        if unit.agrees(flags[flag], goal.ours[key]):
            result.notices.append(
                f"{key} is left out of daemon.json: --{flag}={flags[flag]} in {place} says it already, and the engine takes one of them"
            )
            del goal.ours[key]
        else:
            result.blockers.append(
                f"{key}: {goal.ours[key]!r} can't be set in daemon.json, because --{flag}={flags[flag]} stands in {place} and the engine"
                f" does not start with both; take the flag out there, or leave the key alone"
            )


def _check_result(observed: Mapping[str, Any], after: Mapping[str, Any], goal: _Goal, result: LayerPlan) -> None:
    """What is wrong with the file as it would be, as far as that can be seen from here; the engine's own check follows on the host."""
    path = observed["daemon_json"]["path"]
    theirs = {key: value for key, value in after.items() if key not in goal.ours}
    result.blockers += [*checks.types(theirs, path), *checks.log_options(after, path)]
    for key, flag in unit.clashes((observed.get("unit") or {}).get("flags", {}), after).items():
        if not any(sentence.startswith(f"{key}:") for sentence in result.blockers):
            place = observed["unit"]["places"].get(flag) or "the command line of docker.service"
            result.blockers.append(f"{path}: {key} is also set by --{flag} in {place}; the engine does not start with both, take one out")
    if PIDS_KEY in after and not knows_key(observed):
        result.blockers.append(
            f"{path}: {PIDS_KEY}: this engine does not know the key and will not start again with it; take it out,"
            " docker_daemon_default_pids_limit sets the limit"
        )


# --- what it means ---


def _file_change(file: Mapping[str, Any], merge: daemon_json.Merge) -> list[Change]:
    if merge.text == file["text"]:
        return []
    what = ", ".join(keys.changed(merge.before, merge.after))
    return [
        Change(
            file["path"],
            f"change {what}" if what else "write",
            daemon_json.private(file["text"] or ""),
            daemon_json.private(merge.text or ""),
        )
    ]


def _drop_in_change(observed: Mapping[str, Any], limit: int | None) -> list[Change]:
    if limit is None:
        return []
    before = observed["layers"]["pids_limit"]["drop_in"]["text"]
    after = drop_in.render(limit) if limit > 0 else None
    if before == after:
        return []
    summary = f"default PIDs limit {limit}" if limit > 0 else "remove the default PIDs limit"
    return [Change(of(observed).drop_in, summary, before or "", after or "")]


def _plan_restart(
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    layer_plans: Mapping[str, LayerPlan],
    merge: daemon_json.Merge,
    goal: _Goal,
    result: LayerPlan,
) -> bool:
    """Whether the engine will be restarted. A restart that no file's change says becomes a change of its own."""
    engine = observed["engine"]
    if not engine.get("running"):
        if result.changes and not of(observed).rootless:
            result.notices.append("the engine is stopped and will be left so; its configuration holds from its next start")
        return False
    if desired.get("docker_daemon_restart") is False:
        if keys.needs_restart(merge.before, merge.after):
            result.warnings.append(
                "docker_daemon_restart: false, so the engine works with its old configuration until somebody restarts it"
            )
        return False
    if keys.needs_restart(merge.before, merge.after):
        return True
    stale = drift.running_differs(engine, {key: value for key, value in goal.ours.items() if merge.before.get(key) == value})
    profile = drift.profile_is_newer(observed, merge.after, layer_plans.get("seccomp"))
    if stale:
        result.changes.append(
            Change("docker.service", f"restart: the running engine differs from {observed['daemon_json']['path']} in {', '.join(stale)}")
        )
    elif profile:
        result.changes.append(Change("docker.service", f"restart: {profile} is read once, at the engine's start"))
    return bool(stale or profile)


def _root_is_stale(observed: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the running engine has another root than its file says: somebody wrote userns-remap there, and the next restart moves it."""
    flags = (observed.get("unit") or {}).get("flags", {})
    return "userns-remap" not in flags and bool(observed["engine"].get("remapped")) != bool(after.get("userns-remap"))


def _drifted(result: LayerPlan) -> bool:
    return any(change.path == "docker.service" for change in result.changes)


def _effects(observed: Mapping[str, Any], merge: daemon_json.Merge, restart: bool, moves: bool, result: LayerPlan) -> None:
    engine = observed["engine"]
    names = ", ".join(container["name"] for container in engine.get("containers") or [])
    if not restart:
        return
    survives = not engine.get("swarm") and (engine.get("live_restore") or merge.after.get("live-restore") is True)
    if not names:
        result.effects.append("the engine is restarted; no container runs")
    elif moves:
        result.effects.append(
            f"the engine is restarted on another data folder; containers that run are stopped and stay behind, unseen: {names}"
        )
    elif survives:
        result.effects.append(f"the engine is restarted; its containers keep running (live-restore): {names}")
    else:
        result.effects.append(f"the engine is restarted; its containers stop and are started again: {names}")
    late = sorted(_AT_CONTAINER_START & set(keys.changed(merge.before, merge.after)))
    if names and late and survives and not moves:
        result.effects.append(f"containers that run keep their old {', '.join(late)} until they are themselves started again: {names}")
    foreign = sorted((keys.ROOT_KEYS - {"userns-remap"}) & set(keys.changed(merge.before, merge.after)))
    if foreign:
        result.warnings.append(
            f"{', '.join(foreign)}: the engine will not see what it has now: images, containers and volumes stay in the old place"
        )


def _mind_hand_edits(
    observed: Mapping[str, Any], of_file: Mapping[str, Any], merge: daemon_json.Merge, restart: bool, result: LayerPlan
) -> None:
    """Somebody may have written the file after the engine started; nothing more can be said where the engine does not show it."""
    file, started = observed["daemon_json"], observed["engine"].get("started_at")
    if restart or not file["exists"] or merge.text != file["text"] or started is None or file["mtime"] <= started + 1:
        return
    if of_file.get("sha256") != sha256(file["text"]):
        result.warnings.append(
            f"{file['path']} was changed after the engine's start: parts of it may not hold until systemctl restart docker"
        )
