# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations of the matrix: no layer, each layer alone, the engine's defaults, the host's defaults, all stacked. Pure.

A container of "layer alone" sets nothing for this layer and switches all others off. So it shows the host's default,
or that the host lacks the layer.

In a rootless engine a container always has the user namespace, because dockerd runs in it (`UsernsMode: host` changes nothing).
The baseline is then that layer alone, and every other layer is tested together with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalog import LAYER_NAMES, LAYERS

BASELINE, ALONE, TOGETHER = "baseline", "alone", "together"
# Limits of every container.
BOUNDS = {"Memory": 256 << 20, "MemorySwap": 256 << 20, "NanoCpus": 1_000_000_000}
# Tasks beyond those of the fork bomb for a container without another limit: enough for the attack, harmless for the host.
SPARE = 64
# CAP_PERFMON, CAP_BPF and CAP_CHECKPOINT_RESTORE: engine 20.10 does not know them, and `ALL` excludes them. SYS_ADMIN includes their rights.
_NEWER_CAPABILITIES = 0b111 << 38
# Every container of a rootless engine has it.
USERNS = "userns"
_NO_DEVICES = "a rootless engine cannot set it (the kernel accepts rules of the device controller only from the host's root)"
# Settings of a container that the container of the attacks gets too, besides those of layers.
_SHARED = ("IpcMode", "PidMode", "UTSMode", "Runtime", "GroupAdd", "Ulimits", "Privileged", "Devices")


@dataclass
class AttackConfiguration:
    """One column.

    kind: BASELINE, ALONE or TOGETHER. layers: those that should be on; of the baseline those that cannot be switched off.
    host_config: for the engine, without `User`, which is `user`. unavailable: why this host cannot run it; empty if it can.
    """

    name: str
    title: str
    kind: str
    layers: tuple[str, ...]
    host_config: dict[str, Any] = field(default_factory=dict)
    user: str = "0:0"
    unavailable: str = ""


def build_for_host(
    stacked: Mapping[str, Any], tasks: int, builtin_seccomp: bool | None, problem: str = "", rootless: bool = False
) -> list[AttackConfiguration]:
    """Return all columns for the defaults of a host.

    stacked: settings of a hardened container from `get_role_settings`. tasks: of the fork bomb.
    builtin_seccomp: whether the engine accepts the name `builtin`; None: the built-in filter is its default.
    problem: why nothing can be stacked; empty if it can. rootless: whether the engine is rootless.
    """
    host = {layer.name: layer.alone for layer in LAYERS}
    columns = _build_single_layers(host, tasks, rootless)
    defaults: dict[str, dict[str, Any]] = {name: {} for name in LAYER_NAMES}
    engine: dict[str, dict[str, Any]] = {
        **defaults,
        "seccomp": {"SecurityOpt": ["seccomp=builtin"]} if builtin_seccomp else {},
        **{layer.name: layer.off for layer in LAYERS if not layer.built_in},
    }
    own: tuple[str, ...] = tuple(layer.name for layer in LAYERS if layer.built_in)
    if rootless:  # it sets no AppArmor profiles; Bulkhead's OCI runtime does
        engine["apparmor"], own = _get_off_settings("apparmor"), (USERNS, "seccomp", "capabilities", "masked_paths")
    unavailable = "" if builtin_seccomp is not False else "this engine does not know its built-in seccomp filter by name (seccomp=builtin)"
    columns.append(_build_column("engine", "the engine's defaults", TOGETHER, own, engine, tasks, unavailable))
    columns.append(
        _build_column(
            "host",
            "the host's defaults",
            TOGETHER,
            _list_supported((layer.name for layer in LAYERS if not layer.alone), rootless),
            defaults,
            tasks,
        )
    )
    columns.append(
        _build_column("stacked", "everything stacked", TOGETHER, _list_supported(LAYER_NAMES, rootless), stacked, tasks, problem)
    )
    return columns


def build_for_container(name: str, inspect: Mapping[str, Any], tasks: int, rootless: bool = False) -> list[AttackConfiguration]:
    """Return all columns for the settings of one container (`docker inspect`): each layer alone, and all its settings."""
    config = inspect["HostConfig"]
    settings = get_container_settings(inspect)
    columns = _build_single_layers(settings, tasks, rootless)
    whole = _build_column("container", f"as {name}", TOGETHER, _list_supported(LAYER_NAMES, rootless), settings, tasks)
    whole.host_config.update({key: config[key] for key in _SHARED if config.get(key)})
    return [*columns, whole]


def get_container_settings(inspect: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings per layer of this container. A layer that `--privileged` disables is off."""
    config, user = inspect["HostConfig"], (inspect.get("Config") or {}).get("User") or "0:0"
    options: dict[str, list[str]] = {"seccomp": [], "apparmor": [], "no_new_privileges": []}
    for option in config.get("SecurityOpt") or ():
        if option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges:false"):
            option = option.replace(":", "=")
        key = option.split("=", 1)[0].split(":", 1)[0].replace("-", "_")
        options.setdefault(key, []).append(option)
    settings: dict[str, dict[str, Any]] = {
        key: {"SecurityOpt": options[key]} if options[key] else {} for key in ("seccomp", "apparmor", "no_new_privileges")
    }
    settings["pids_limit"] = {"PidsLimit": config["PidsLimit"]} if (config.get("PidsLimit") or 0) > 0 else {}
    if config.get("PidsLimit") == -1:
        settings["pids_limit"] = _get_off_settings("pids_limit")
    settings["userns"] = {"UsernsMode": "host"} if config.get("UsernsMode") == "host" else {}
    settings["capabilities"] = {key: config[key] for key in ("CapAdd", "CapDrop") if config.get(key)}
    settings["masked_paths"] = {key: config[key] for key in ("MaskedPaths", "ReadonlyPaths") if config.get(key) is not None}
    settings["devices"] = {key: config[key] for key in ("DeviceCgroupRules",) if config.get(key)}
    settings["read_only_root"] = {"ReadonlyRootfs": True} if config.get("ReadonlyRootfs") else {}
    settings["non_root_user"] = {"User": user}
    if config.get("Privileged"):
        settings.update({name: _get_off_settings(name) for name in ("seccomp", "apparmor", "capabilities", "masked_paths", "devices")})
    return settings


def get_role_settings(settings: Mapping[str, Any], seccomp: str) -> dict[str, dict[str, Any]]:
    """Return the settings per layer of role hardened_container. seccomp: text of the profile; empty for the host's default."""
    return {
        "pids_limit": {"PidsLimit": settings["pids_limit"]} if settings.get("pids_limit") else {},
        "no_new_privileges": {"SecurityOpt": ["no-new-privileges"]},
        "seccomp": {"SecurityOpt": [f"seccomp={seccomp}"]} if seccomp else {},
        "apparmor": {"SecurityOpt": [f"apparmor={settings['apparmor_profile']}"]} if settings.get("apparmor_profile") else {},
        "userns": {},
        "capabilities": {"CapDrop": ["ALL"], "CapAdd": list(settings.get("capabilities") or [])},
        "masked_paths": {},
        "devices": {},
        "read_only_root": {"ReadonlyRootfs": bool(settings.get("read_only", True))},
        "non_root_user": {"User": str(settings.get("user") or "65534:65534")},
    }


def _build_single_layers(settings: Mapping[str, Mapping[str, Any]], tasks: int, rootless: bool) -> list[AttackConfiguration]:
    all_off = {layer.name: layer.off for layer in LAYERS}
    if not rootless:
        columns = [_build_column("none", "no layer (the baseline)", BASELINE, (), all_off, tasks)]
        for name in LAYER_NAMES:
            columns.append(_build_column(name, f"{name} alone", ALONE, (name,), {**all_off, name: settings[name]}, tasks))
        return columns
    columns = [_build_column(USERNS, "userns alone (the baseline)", BASELINE, (USERNS,), all_off, tasks)]
    for name in LAYER_NAMES:
        unavailable = _NO_DEVICES if name == "devices" else ""
        if name != USERNS:
            columns.append(
                _build_column(name, f"{name} with userns", ALONE, (USERNS, name), {**all_off, name: settings[name]}, tasks, unavailable)
            )
    return columns


def _list_supported(layers: Iterable[str], rootless: bool) -> tuple[str, ...]:
    """Return the layers that the engine supports."""
    return tuple(name for name in layers if not (rootless and name == "devices"))


def _build_column(
    name: str, title: str, kind: str, layers: Iterable[str], settings: Mapping[str, Mapping[str, Any]], tasks: int, unavailable: str = ""
) -> AttackConfiguration:
    merged: dict[str, Any] = {}
    for layer in LAYER_NAMES:
        for key, value in settings[layer].items():
            if isinstance(value, list) and value:
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    user = merged.pop("User", "0:0")
    if merged.get("PidsLimit") == 0:
        merged["PidsLimit"] = tasks + SPARE
    return AttackConfiguration(name, title, kind, tuple(layers), {**BOUNDS, **merged}, user, unavailable)


def _get_off_settings(name: str) -> dict[str, Any]:
    return next(layer.off for layer in LAYERS if layer.name == name)


def list_surplus_layers(configuration: AttackConfiguration, confinement: Mapping[str, Any], full: str) -> list[str]:
    """Return the layers that are on although the configuration switches them off, from the kernel's evidence.

    full: CapBnd of a process of the host, with all capabilities of this kernel.
    """
    label = str(confinement.get("label", ""))
    on = {
        "seccomp": confinement.get("Seccomp") != "0",
        "no_new_privileges": confinement.get("NoNewPrivs") != "0",
        # A profile in mode unconfined does not confine; distributions have one for runc (man 5 apparmor.d: flags).
        "apparmor": not (label.startswith(("unconfined", "unreadable: Invalid", "unreadable: No such")) or label.endswith("(unconfined)")),
        "userns": is_in_user_namespace(confinement),
        "capabilities": int(confinement.get("CapBnd", "0"), 16) | _NEWER_CAPABILITIES != int(full, 16) | _NEWER_CAPABILITIES,
        "masked_paths": confinement.get("masked", 0) > 0,
        "read_only_root": confinement.get("root_read_only") is not False,
        "non_root_user": confinement.get("Uid") != "0",
    }
    if configuration.kind == TOGETHER:
        return []
    return [layer for layer, is_on in on.items() if is_on and layer not in configuration.layers]


def is_in_user_namespace(confinement: Mapping[str, Any]) -> bool:
    """Return whether root in the container is another user on the host, from the kernel's evidence."""
    own, host = confinement.get("user_namespace", ""), confinement.get("host_namespace")
    # The namespace decides: where the host is in one itself (an unprivileged LXC), its own map is not the identity either.
    return own != host if host and own.startswith("user:") else confinement.get("uid_map") != "0 0 4294967295"
