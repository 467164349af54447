# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: what the inventory says of each, with the role's defaults, checked; and the same in the engine's and in compose's words. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from ..layers.capabilities.judge import NAMES

# Settings with a default of their own, `hardened_container_KEY`, which an entry of the list may override.
DEFAULTED = (
    "user", "read_only", "tmpfs", "capabilities", "seccomp_profile", "apparmor_profile", "pids_limit", "memory", "cpus", "restart_policy",
    "log_max_size", "log_max_file",
)  # fmt: skip
_OWN: dict[str, Any] = {
    "name": str, "image": str, "command": list, "environment": dict, "ports": list, "volumes": list, "network": str, "stop_signal": str, "state": str,
}  # fmt: skip
_WORDS = {"str": "a text", "list": "a list", "dict": "a mapping"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PORT = re.compile(r"(?:(?P<address>[0-9.]+|\[[0-9a-f:]+\]):)?(?P<host>\d+):(?P<container>\d+)(?:/(?P<protocol>tcp|udp))?")
_SIZE = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# What can be written can't be executed, and holds no device. The mode, because runc otherwise takes that of the folder below, which is root's.
_TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,mode=1777"
_POLICIES = ("no", "always", "unless-stopped", "on-failure")
VARIABLE = "hardened_container_list"


class BadEntry(ValueError):
    """An entry that can't be used; the message names variable, key and value, and says what to write instead."""


def resolve(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of `hardened_container_list`, complete and checked. Raises BadEntry."""
    entries, names = [], set()
    for position, given in enumerate(wanted.get(VARIABLE) or []):
        entry = _resolve(f"{VARIABLE}[{position}]", given, wanted)
        if entry["name"] in names:
            raise BadEntry(f"{VARIABLE}[{position}].name: {entry['name']} is already the name of another entry; give each its own")
        names.add(entry["name"])
        entries.append(entry)
    return entries


def _resolve(place: str, given: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadEntry(f"{place}: {given!r} is no mapping; write name, image and what differs from the defaults")
    for key in given:
        if key not in _OWN and key not in DEFAULTED:
            known = [*_OWN, *DEFAULTED]
            close = difflib.get_close_matches(str(key), known, 1, 0.5)
            advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise BadEntry(f"{place}.{key}: there is no such setting; {advice}")
    entry = {key: given.get(key, wanted[f"hardened_container_{key}"]) for key in DEFAULTED}
    for key, kind in _OWN.items():
        entry[key] = given.get(key, kind())
        if not isinstance(entry[key], kind):
            raise BadEntry(f"{place}.{key}: {entry[key]!r} is not {_WORDS[kind.__name__]}")
    entry["state"] = entry["state"] or "present"
    _check(place, entry)
    return entry


def _check(place: str, entry: Mapping[str, Any]) -> None:
    def refuse(key: str, why: str) -> None:
        raise BadEntry(f"{place}.{key}: {entry[key]!r} {why}")

    if not _NAME.fullmatch(entry["name"]):
        refuse("name", "is no name for a container; write letters, digits, dots, dashes and underscores")
    if entry["state"] not in ("present", "absent"):
        refuse("state", "is neither present nor absent")
    if not entry["image"] and entry["state"] == "present":
        refuse("image", "names no image; write one, such as registry.example/shop:1.2")
    if str(entry["user"]).split(":", maxsplit=1)[0] in ("", "0", "root"):
        refuse("user", "is root; write the user that the service runs as, such as 65534:65534")
    for name in entry["capabilities"]:
        if str(name).upper().removeprefix("CAP_") not in NAMES:
            close = difflib.get_close_matches(str(name).upper(), NAMES, 1, 0.5)
            refuse("capabilities", f"names {name!r}, which is no capability" + (f"; did you mean {close[0]}?" if close else ""))
    for path in entry["tmpfs"]:
        if not str(path).startswith("/"):
            refuse("tmpfs", f"names {path!r}, which is not absolute; write /{path}")
    for port in entry["ports"]:
        if not _PORT.fullmatch(str(port)):
            refuse("ports", f"names {port!r}; write HOST:CONTAINER, such as '127.0.0.1:8080:80'")
    for key in ("memory", "log_max_size"):
        if not _SIZE.fullmatch(str(entry[key])):
            refuse(key, "is no size; write a number with k, m or g, such as 256m")
    if not _positive(entry["pids_limit"], int):
        refuse("pids_limit", "is no limit; write a whole number, 1 or more")
    if not _positive(entry["cpus"], int | float):
        refuse("cpus", "is no number of CPUs; write one above 0, such as 0.5")
    if entry["restart_policy"] not in _POLICIES:
        refuse("restart_policy", f"is none of {', '.join(_POLICIES)}")


def _positive(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and value > 0


def size(text: str) -> int:
    """`256m` in bytes."""
    match = _SIZE.fullmatch(str(text))
    if not match:
        raise BadEntry(f"{text!r} is no size")
    return int(match[1]) * _UNITS[match[2].lower()]


def capabilities(entry: Mapping[str, Any]) -> list[str]:
    """Those that are not dropped, as the kernel's list names them, sorted."""
    return sorted(str(name).upper().removeprefix("CAP_") for name in entry["capabilities"])


def creation(entry: Mapping[str, Any], seccomp: str) -> dict[str, Any]:
    """What the engine's API is told. seccomp: the profile's text; empty for the host's default."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in entry["ports"]:
        match = _PORT.fullmatch(str(port))
        if match:
            binding = {"HostIp": (match["address"] or "").strip("[]"), "HostPort": match["host"]}
            bindings.setdefault(f"{match['container']}/{match['protocol'] or 'tcp'}", []).append(binding)
    options = ["no-new-privileges"]
    options += [f"seccomp={seccomp}"] if seccomp else []
    options += [f"apparmor={entry['apparmor_profile']}"] if entry["apparmor_profile"] else []
    told: dict[str, Any] = {
        "Image": entry["image"],
        "User": str(entry["user"]),
        "Env": [f"{key}={value}" for key, value in sorted(entry["environment"].items())],
        "ExposedPorts": {port: {} for port in bindings},
        "HostConfig": {
            "CapDrop": ["ALL"],
            "CapAdd": capabilities(entry),
            "SecurityOpt": options,
            "ReadonlyRootfs": entry["read_only"],
            "Tmpfs": dict.fromkeys(entry["tmpfs"], _TMPFS_OPTIONS),
            "PidsLimit": entry["pids_limit"],
            "Memory": size(entry["memory"]),
            "MemorySwap": size(entry["memory"]),  # the sum of both: no swap
            "NanoCpus": round(entry["cpus"] * 1_000_000_000),
            "RestartPolicy": {"Name": entry["restart_policy"]},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": str(entry["log_max_size"]), "max-file": str(entry["log_max_file"])}},
            "PortBindings": bindings,
            "Binds": list(entry["volumes"]),
            "NetworkMode": entry["network"] or "default",
        },
    }
    if entry["command"]:
        told["Cmd"] = [str(word) for word in entry["command"]]
    if entry["stop_signal"]:
        told["StopSignal"] = entry["stop_signal"]
    return told


def compose(entries: list[dict[str, Any]], folder: str) -> dict[str, Any]:
    """A compose file with the same settings, for those who run their containers by it. folder: of the seccomp profiles on the host."""
    services = {}
    for entry in entries:
        if entry["state"] == "absent":
            continue
        options = ["no-new-privileges:true"]
        options += [f"seccomp:{seccomp_path(entry, folder)}"] if entry["seccomp_profile"] else []
        options += [f"apparmor:{entry['apparmor_profile']}"] if entry["apparmor_profile"] else []
        service: dict[str, Any] = {
            "container_name": entry["name"],
            "image": entry["image"],
            "user": str(entry["user"]),
            "read_only": entry["read_only"],
            "tmpfs": [f"{path}:{_TMPFS_OPTIONS}" for path in entry["tmpfs"]],
            "cap_drop": ["ALL"],
            "cap_add": capabilities(entry),
            "security_opt": options,
            "pids_limit": entry["pids_limit"],
            "mem_limit": size(entry["memory"]),
            "memswap_limit": size(entry["memory"]),
            "cpus": float(entry["cpus"]),
            "restart": entry["restart_policy"],
            "logging": {"driver": "json-file", "options": {"max-size": str(entry["log_max_size"]), "max-file": str(entry["log_max_file"])}},
            "command": list(entry["command"]),
            "environment": dict(entry["environment"]),
            "ports": [str(port) for port in entry["ports"]],
            "volumes": list(entry["volumes"]),
            "network_mode": entry["network"],
            "stop_signal": entry["stop_signal"],
        }
        services[entry["name"]] = {key: value for key, value in service.items() if value not in ([], {}, "")}
    return {"services": services}


def seccomp_path(entry: Mapping[str, Any], folder: str) -> str:
    """Where the entry's seccomp profile lies on the host; empty for the host's default."""
    return f"{folder}/{entry['seccomp_profile']}.json" if entry["seccomp_profile"] else ""


def expectations(entries: list[dict[str, Any]], folder: str) -> dict[str, dict[str, Any]]:
    """Name → what verification demands of the running container (layers/hardened). folder: of the seccomp profiles on the host."""
    keys = ("user", "read_only", "seccomp_profile", "apparmor_profile", "pids_limit", "cpus")
    return {
        entry["name"]: {
            **{key: entry[key] for key in keys},
            "capabilities": capabilities(entry),
            "memory": size(entry["memory"]),
            "seccomp_path": seccomp_path(entry, folder),
        }
        for entry in entries
        if entry["state"] == "present"
    }
