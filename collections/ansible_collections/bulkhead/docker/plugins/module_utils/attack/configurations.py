# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations of the matrix: no layer, each alone, the engine's defaults, the host's, everything stacked. Pure.

What a layer does alone is what the host gives a container that asks for nothing about it, while it asks to be without all others.
So a host on which a layer is off shows it.

In a rootless engine the user namespace is there whatever a container asks for, as dockerd itself lives in it (`UsernsMode: host` changes nothing).
The control is then that layer alone, and every other layer is looked at beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalog import LAYER_NAMES, LAYERS

CONTROL, ALONE, TOGETHER = "control", "alone", "together"
# What a container may use, whatever it tries.
BOUNDS = {"Memory": 256 << 20, "MemorySwap": 256 << 20, "NanoCpus": 1_000_000_000}
# How many tasks a container without any other limit may have beyond the fork bomb's: enough for the bomb, nothing for the host to feel.
SPARE = 64
# CAP_PERFMON, CAP_BPF and CAP_CHECKPOINT_RESTORE: engine 20.10 does not know them, and `ALL` leaves them out. SYS_ADMIN has their rights.
_NEWER_CAPABILITIES = 0b111 << 38
# What no container of a rootless engine can be without.
USERNS = "userns"
_NO_DEVICES = "a rootless engine can't set it (the kernel takes rules of the device controller from the host's root alone)"
# What of a container is taken over into a sibling of it, besides what belongs to a layer.
_SHARED = ("IpcMode", "PidMode", "UTSMode", "Runtime", "GroupAdd", "Ulimits", "Privileged", "Devices")


@dataclass
class Configuration:
    """One column.

    kind: CONTROL, ALONE or TOGETHER. layers: those that are meant to be on, of a control those that can't be switched off.
    host_config: for the engine (`User` is taken out by `user`). unavailable: why this host can't have it; empty when it can.
    """

    name: str
    title: str
    kind: str
    layers: tuple[str, ...]
    host_config: dict[str, Any] = field(default_factory=dict)
    user: str = "0:0"
    unavailable: str = ""


def of_host(
    stacked: Mapping[str, Any], tasks: int, builtin_seccomp: bool | None, lacking: str = "", rootless: bool = False
) -> list[Configuration]:
    """All columns for a host's defaults.

    stacked: what a hardened container asks for, as `asked_of_role` gives it. tasks: of the fork bomb.
    builtin_seccomp: whether the engine has its built-in filter by the name `builtin`; None: its default is that filter already.
    lacking: why nothing can be stacked here; empty when it can. rootless: whether it is a rootless engine.
    """
    host = {layer.name: layer.alone for layer in LAYERS}
    columns = _alone(host, tasks, rootless)
    defaults: dict[str, dict[str, Any]] = {name: {} for name in LAYER_NAMES}
    engine: dict[str, dict[str, Any]] = {
        **defaults,
        "seccomp": {"SecurityOpt": ["seccomp=builtin"]} if builtin_seccomp else {},
        **{layer.name: layer.off for layer in LAYERS if not layer.built_in},
    }
    own: tuple[str, ...] = tuple(layer.name for layer in LAYERS if layer.built_in)
    if rootless:  # it confines nothing by AppArmor; where containers are confined, it is by Bulkhead's OCI runtime
        engine["apparmor"], own = _off("apparmor"), (USERNS, "seccomp", "capabilities", "masked_paths")
    unavailable = "" if builtin_seccomp is not False else "this engine does not know its built-in seccomp filter by name (seccomp=builtin)"
    columns.append(_make("engine", "the engine's defaults", TOGETHER, own, engine, tasks, unavailable))
    columns.append(
        _make(
            "host", "the host's defaults", TOGETHER, _here((layer.name for layer in LAYERS if not layer.alone), rootless), defaults, tasks
        )
    )
    columns.append(_make("stacked", "everything stacked", TOGETHER, _here(LAYER_NAMES, rootless), stacked, tasks, lacking))
    return columns


def of_container(name: str, inspect: Mapping[str, Any], tasks: int, rootless: bool = False) -> list[Configuration]:
    """All columns for the settings of one container (`docker inspect`): each of its layers alone, and it as it is."""
    config = inspect["HostConfig"]
    asked = asked_of_container(inspect)
    columns = _alone(asked, tasks, rootless)
    whole = _make("container", f"as {name}", TOGETHER, _here(LAYER_NAMES, rootless), asked, tasks)
    whole.host_config.update({key: config[key] for key in _SHARED if config.get(key)})
    return [*columns, whole]


def asked_of_container(inspect: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Layer → what this container asks for about it. One that `--privileged` lifts is off."""
    config, user = inspect["HostConfig"], (inspect.get("Config") or {}).get("User") or "0:0"
    options: dict[str, list[str]] = {"seccomp": [], "apparmor": [], "no_new_privileges": []}
    for option in config.get("SecurityOpt") or ():
        if option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges:false"):
            option = option.replace(":", "=")
        key = option.split("=", 1)[0].split(":", 1)[0].replace("-", "_")
        options.setdefault(key, []).append(option)
    asked: dict[str, dict[str, Any]] = {
        key: {"SecurityOpt": options[key]} if options[key] else {} for key in ("seccomp", "apparmor", "no_new_privileges")
    }
    asked["pids_limit"] = {"PidsLimit": config["PidsLimit"]} if (config.get("PidsLimit") or 0) > 0 else {}
    if config.get("PidsLimit") == -1:
        asked["pids_limit"] = _off("pids_limit")
    asked["userns"] = {"UsernsMode": "host"} if config.get("UsernsMode") == "host" else {}
    asked["capabilities"] = {key: config[key] for key in ("CapAdd", "CapDrop") if config.get(key)}
    asked["masked_paths"] = {key: config[key] for key in ("MaskedPaths", "ReadonlyPaths") if config.get(key) is not None}
    asked["devices"] = {key: config[key] for key in ("DeviceCgroupRules",) if config.get(key)}
    asked["read_only_root"] = {"ReadonlyRootfs": True} if config.get("ReadonlyRootfs") else {}
    asked["non_root_user"] = {"User": user}
    if config.get("Privileged"):
        asked.update({name: _off(name) for name in ("seccomp", "apparmor", "capabilities", "masked_paths", "devices")})
    return asked


def asked_of_role(settings: Mapping[str, Any], seccomp: str) -> dict[str, dict[str, Any]]:
    """Layer → what role hardened_container asks for. seccomp: the profile's text, as the engine's API wants it; empty for the host's default."""
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


def _alone(asked: Mapping[str, Mapping[str, Any]], tasks: int, rootless: bool) -> list[Configuration]:
    nothing = {layer.name: layer.off for layer in LAYERS}
    if not rootless:
        columns = [_make("none", "no layer (the control)", CONTROL, (), nothing, tasks)]
        for name in LAYER_NAMES:
            columns.append(_make(name, f"{name} alone", ALONE, (name,), {**nothing, name: asked[name]}, tasks))
        return columns
    columns = [_make(USERNS, "userns alone (the control)", CONTROL, (USERNS,), nothing, tasks)]
    for name in LAYER_NAMES:
        unavailable = _NO_DEVICES if name == "devices" else ""
        if name != USERNS:
            columns.append(_make(name, f"{name} beside userns", ALONE, (USERNS, name), {**nothing, name: asked[name]}, tasks, unavailable))
    return columns


def _here(layers: Iterable[str], rootless: bool) -> tuple[str, ...]:
    """Those of the layers that the engine can have."""
    return tuple(name for name in layers if not (rootless and name == "devices"))


def _make(
    name: str, title: str, kind: str, layers: Iterable[str], asked: Mapping[str, Mapping[str, Any]], tasks: int, unavailable: str = ""
) -> Configuration:
    merged: dict[str, Any] = {}
    for layer in LAYER_NAMES:
        for key, value in asked[layer].items():
            if isinstance(value, list) and value:
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    user = merged.pop("User", "0:0")
    if merged.get("PidsLimit") == 0:
        merged["PidsLimit"] = tasks + SPARE
    return Configuration(name, title, kind, tuple(layers), {**BOUNDS, **merged}, user, unavailable)


def _off(name: str) -> dict[str, Any]:
    return next(layer.off for layer in LAYERS if layer.name == name)


def as_intended(configuration: Configuration, confinement: Mapping[str, Any], full: str) -> list[str]:
    """Which layers are on although the configuration is meant to be without them, by the kernel's word. Without this a column proves nothing.

    full: CapBnd of a process of the host's, all capabilities that this kernel has.
    """
    label = str(confinement.get("label", ""))
    on = {
        "seccomp": confinement.get("Seccomp") != "0",
        "no_new_privileges": confinement.get("NoNewPrivs") != "0",
        # A profile in mode unconfined is but a name, as distributions give one to runc (man 5 apparmor.d: flags).
        "apparmor": not (label.startswith(("unconfined", "unreadable: Invalid", "unreadable: No such")) or label.endswith("(unconfined)")),
        "userns": in_user_namespace(confinement),
        "capabilities": int(confinement.get("CapBnd", "0"), 16) | _NEWER_CAPABILITIES != int(full, 16) | _NEWER_CAPABILITIES,
        "masked_paths": confinement.get("masked", 0) > 0,
        "read_only_root": confinement.get("root_read_only") is not False,
        "non_root_user": confinement.get("Uid") != "0",
    }
    if configuration.kind == TOGETHER:
        return []
    return [layer for layer, is_on in on.items() if is_on and layer not in configuration.layers]


def in_user_namespace(confinement: Mapping[str, Any]) -> bool:
    """Whether root in the container is another user on the host, by the kernel's word."""
    return confinement.get("uid_map") != "0 0 4294967295"
