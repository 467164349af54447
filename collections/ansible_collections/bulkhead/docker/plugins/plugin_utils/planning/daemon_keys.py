# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the keys that daemon.json must have: those of the selected layers, of role docker_daemon, and docker_daemon_options. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...module_utils.engine.instance import get_observed_instance
from ...module_utils.engine.program import PIDS_KEY
from ...module_utils.engine_config import checks, daemon_json, daemon_merge, keys
from ...module_utils.layers.pids_limit.settings import is_key_supported
from ...module_utils.layers.registry import LAYERS
from ...module_utils.layers.verdict import REQUIRED, LayerPlan
from ..suggestion import suggest

OPTIONS = "docker_daemon_options"
# Key of the desired state with the defaults of the variables in PLAIN.
DEFAULTS = "__defaults"
# Key -> its layer. All other keys belong to role docker_daemon, and are set when both of its layers are selected.
OWNERS = {key: layer.name for layer in LAYERS for key in layer.daemon_keys}
_ROOTLESS_OWNERS = {key: layer.name for layer in LAYERS for key in layer.rootless_keys}
_WITH_OPTIONS = frozenset(layer.name for layer in LAYERS if layer.role == "docker_daemon")
# Containers of a rootless engine end with it, as their namespaces do. Before 28.0, its published ports need the proxy.
_NOT_ROOTLESS = ("live-restore", "userland-proxy")
# Variable -> key. None: the key is not set.
PLAIN = {
    "docker_daemon_icc": "icc",
    "docker_daemon_live_restore": "live-restore",
    "docker_daemon_userland_proxy": "userland-proxy",
    "docker_daemon_log_driver": "log-driver",
    "docker_daemon_log_opts": "log-opts",
}


@dataclass
class DesiredKeys:
    """values: the keys to set. keep: managed keys that this run leaves unchanged."""

    values: dict[str, Any]
    keep: frozenset[str]


def find_blockers(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> list[str]:
    """Return why no configuration can be planned, one message each."""
    file, docker_unit = observed["daemon_json"], observed.get("unit") or {}
    found = []
    configured = desired.get("docker_daemon_config_path") or file["path"]
    if configured != file["path"]:
        flagged = "config-file" in docker_unit.get("flags", {})
        source = f" (--config-file in {docker_unit['places'].get('config-file') or 'docker.service'})" if flagged else ""
        found.append(
            f"docker_daemon_config_path: {configured} is not the file that the engine reads; write {file['path']}{source}, or leave the"
            " variable out"
        )
    found += [text for text in (_explain_error(file), observed.get("managed_error")) if text]
    options = desired.get(OPTIONS) or {}
    if not isinstance(options, Mapping):
        found.append(f'{OPTIONS}: {options!r} is not a mapping; write keys of daemon.json with their values, such as {{"debug": true}}')
    return found


def _explain_error(file: Mapping[str, Any]) -> str | None:
    """Return why daemon.json cannot be used: if its text is damaged, with the place and what to write instead."""
    if file.get("damaged") or not file["error"]:
        try:
            daemon_json.parse_daemon_json(file["text"], file["path"])
        except daemon_json.DaemonJsonError as error:
            return str(error)
    return file["error"]


def collect_keys(
    observed: Mapping[str, Any],
    desired: Mapping[str, Any],
    layer_plans: Mapping[str, LayerPlan],
    selected: set[str],
    record: Mapping[str, Any],
    result: LayerPlan,
) -> DesiredKeys:
    """Return the keys to set. record: managed keys by pointer. result: gets the blockers, warnings and notices."""
    options = {key: value for key, value in (desired.get(OPTIONS) or {}).items() if key != PIDS_KEY}
    _check_options(options, result)
    owners = {**OWNERS, **_ROOTLESS_OWNERS} if get_observed_instance(observed).rootless else OWNERS
    with_options = selected >= _WITH_OPTIONS
    values: dict[str, Any] = {}
    if with_options:
        values.update(_collect_plain(observed, desired, options, result))
    for layer in layer_plans.values():
        for key, value in layer.daemon_keys.items():
            values[key] = value
            if key in options and options[key] != value:
                _add_contradiction(key, options[key], value, layer, result)
    for key, value in options.items():
        if not (with_options or owners.get(key) in selected):
            continue
        if value is None:
            values.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(values.get(key), dict):
            values[key] = {**values[key], **value}
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value
    if isinstance(values.get("log-opts"), dict):
        values["log-opts"] = {name: _convert_log_option(value) for name, value in values["log-opts"].items()}
    _drop_flagged(observed, desired, layer_plans, values, result)
    managed = {daemon_merge.parse_pointer(pointer)[0] for pointer in record}
    chosen = {key for key in managed if (owners[key] in selected if key in owners else with_options)}
    return DesiredKeys(values, frozenset(managed - chosen))


def find_content_blockers(observed: Mapping[str, Any], after: Mapping[str, Any], desired: DesiredKeys, earlier: list[str]) -> list[str]:
    """Return what is wrong with the new content, as far as the control node can tell; the engine's own check follows on the host.

    earlier: blockers that are known already; a key is not reported twice.
    """
    path, docker_unit = observed["daemon_json"]["path"], observed.get("unit") or {}
    unmanaged = {key: value for key, value in after.items() if key not in desired.values}
    found = [*checks.check_types(unmanaged, path), *checks.check_log_options(after, path)]
    for key, flag in keys.find_clashes(docker_unit.get("flags", {}), after).items():
        if not any(text.startswith(f"{key}:") for text in [*earlier, *found]):
            place = find_flag_place(observed, flag)
            found.append(f"{path}: {key} is also set by --{flag} in {place}, and the engine does not start with both; remove one of them")
    if PIDS_KEY in after and not is_key_supported(observed):
        found.append(
            f"{path}: {PIDS_KEY}: this engine does not know the key and does not start with it; remove it, and set"
            " docker_daemon_default_pids_limit"
        )
    return found


def _collect_plain(
    observed: Mapping[str, Any], desired: Mapping[str, Any], options: Mapping[str, Any], result: LayerPlan
) -> dict[str, Any]:
    """Return the keys of role docker_daemon that belong to no layer."""
    found = {key: desired[variable] for variable, key in PLAIN.items() if desired.get(variable) not in (None, "", {})}
    if observed["engine"].get("swarm") and found.get("live-restore"):
        if options.get("live-restore"):
            result.blockers.append(f"{OPTIONS}['live-restore']: the engine of a swarm node does not start with live-restore; remove it")
        del found["live-restore"]
        result.notices.append("docker_daemon_live_restore is left out: this is a swarm node, and the engine does not start with both")
    if get_observed_instance(observed).rootless:
        found = {key: value for key, value in found.items() if key not in _NOT_ROOTLESS}
    flagged = (observed.get("unit") or {}).get("flags", {}).get("log-driver")
    driver = flagged or options.get("log-driver") or found.get("log-driver") or _read_current(observed).get("log-driver") or "json-file"
    if "log-opts" in found and (
        unknown := sorted(set(found["log-opts"]) - keys.LOG_OPTS.get(driver, frozenset()) - keys.LOG_OPTS_EVERYWHERE)
    ):
        del found["log-opts"]
        result.notices.append(f"docker_daemon_log_opts is left out: the log driver is {driver}, which does not take {', '.join(unknown)}")
    return found


def _read_current(observed: Mapping[str, Any]) -> dict[str, Any]:
    return daemon_json.parse_daemon_json(observed["daemon_json"]["text"], observed["daemon_json"]["path"]).content()


def _convert_log_option(value: Any) -> Any:
    """Return a log option as text, which the engine expects; unquoted YAML values are numbers and booleans."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _check_options(options: Mapping[str, Any], result: LayerPlan) -> None:
    plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in options.items() if value is not None}
    result.blockers += checks.check_types(plain, OPTIONS)
    for key in plain:
        if key not in keys.KNOWN:
            advice = suggest(key, keys.KNOWN, "the engine's own check decides", 0.75)
            result.warnings.append(f"{OPTIONS}['{key}']: is not a key of any known engine; {advice}")


def _add_contradiction(key: str, option: Any, value: Any, layer: LayerPlan, result: LayerPlan) -> None:
    text = f"{OPTIONS}['{key}']: {option!r} contradicts the layer {layer.layer}, which needs {value!r}"
    if layer.requirement == REQUIRED:
        result.blockers.append(f"{text}; remove it, or set the layer's switch to disabled")
    else:
        result.warnings.append(f"{text}; the option takes precedence")


def _drop_flagged(
    observed: Mapping[str, Any], desired: Mapping[str, Any], layer_plans: Mapping[str, LayerPlan], values: dict[str, Any], result: LayerPlan
) -> None:
    """Drop keys that a flag sets: the engine does not start if both set a key.

    A flag with another value is a blocker if the inventory sets the value, or if a required layer needs it. A default of this collection, or an
    optional layer, gives way to the flag.
    """
    flags = (observed.get("unit") or {}).get("flags", {})
    required = {key for layer in layer_plans.values() if layer.requirement == REQUIRED for key in layer.daemon_keys}
    layers = {key: name for name, layer in layer_plans.items() for key in layer.daemon_keys}
    for key, flag in keys.list_flagged_keys(flags).items():
        if key not in values:
            continue
        place, shown = find_flag_place(observed, flag), daemon_merge.mask_passwords(f"--{flag}={flags[flag]}")
        if is_same_value(flags[flag], values[key]):
            result.notices.append(
                f"{key} is left out of daemon.json: {shown} in {place} already sets it, and the engine does not start with both"
            )
        elif key in required or _is_chosen(key, desired):
            result.blockers.append(
                f"{key}: {values[key]!r} cannot be set in daemon.json: {place} contains {shown}, and the engine does not start"
                " with both; remove the flag, or do not set the key"
            )
            continue
        else:
            source = f"layer {layers[key]}" if key in layers else next((name for name, own in PLAIN.items() if own == key), OPTIONS)
            result.notices.append(
                f"{key} is left out: {place} contains {shown}, which takes precedence over the default of {source}; remove the flag to use the"
                " default"
            )
        del values[key]


def _is_chosen(key: str, desired: Mapping[str, Any]) -> bool:
    """Return whether the inventory sets this key, and not a role's default."""
    variable = next((name for name, own in PLAIN.items() if own == key), None)
    if (desired.get(OPTIONS) or {}).get(key) is not None:
        return True
    return variable is not None and desired.get(variable) != desired.get(DEFAULTS, {}).get(variable, desired.get(variable))


def find_flag_place(observed: Mapping[str, Any], flag: str) -> str:
    """Return the file that has a flag, for messages; the process if no file has it."""
    place, pid = (observed.get("unit") or {}).get("places", {}).get(flag), observed["engine"].get("pid")
    return place or (
        f"the command line of dockerd (process {pid})" if pid else f"the command line of {get_observed_instance(observed).unit}"
    )


def is_same_value(flag_value: str, desired: Any) -> bool:
    """Return whether a flag's value and a value of daemon.json set the same."""
    if isinstance(desired, bool):
        return flag_value.lower() in (("true", "1", "t") if desired else ("false", "0", "f"))
    if isinstance(desired, list):
        return flag_value.split(",") == [str(item) for item in desired]
    if isinstance(desired, dict):
        return sorted(flag_value.split(",")) == sorted(f"{name}={value}" for name, value in desired.items())
    return flag_value == str(desired)
