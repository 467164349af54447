# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: what the inventory says of each, with the role's defaults, checked; and the same in compose's words. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from ..capabilities import CAPABILITIES

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
# What a network's name stands for when it is none; and how what is mounted from the host's file system begins.
_MODES = ("bridge", "default", "host", "none")
_PATHS = ("/", ".", "~")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
VARIABLE = "hardened_container_list"
PROJECT = "hardened_container_project"
# On each container that is ours; the value says with which settings it was made.
LABEL = "io.bulkhead.hardened"
# Who runs them: a compose project, or each by itself.
COMPOSE, CONTAINER = "compose", "container"


class BadEntry(ValueError):
    """An entry that can't be used; the message names variable, key and value, and says what to write instead."""


def resolve(desired: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of `hardened_container_list`, complete and checked. Raises BadEntry."""
    if not _PROJECT.fullmatch(desired[PROJECT]):
        raise BadEntry(
            f"{PROJECT}: {desired[PROJECT]!r} is no name for a compose project; write small letters, digits, dashes and underscores"
        )
    entries, names = [], set()
    for position, given in enumerate(desired.get(VARIABLE) or []):
        entry = _resolve(f"{VARIABLE}[{position}]", given, desired)
        if entry["name"] in names:
            raise BadEntry(f"{VARIABLE}[{position}].name: {entry['name']} is already the name of another entry; give each its own")
        names.add(entry["name"])
        entries.append(entry)
    return entries


def _resolve(place: str, given: Any, desired: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadEntry(f"{place}: {given!r} is no mapping; write name, image and what differs from the defaults")
    for key in given:
        if key not in _OWN and key not in DEFAULTED:
            known = [*_OWN, *DEFAULTED]
            close = difflib.get_close_matches(str(key), known, 1, 0.5)
            advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise BadEntry(f"{place}.{key}: there is no such setting; {advice}")
    entry = {key: given.get(key, desired[f"hardened_container_{key}"]) for key in DEFAULTED}
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
        if str(name).upper().removeprefix("CAP_") not in CAPABILITIES:
            close = difflib.get_close_matches(str(name).upper(), CAPABILITIES, 1, 0.5)
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


def compose(entries: list[dict[str, Any]], folder: str, labels: Mapping[str, str], project: str) -> dict[str, Any]:
    """The compose file's content. folder: of the seccomp profiles on the host. labels: name → fingerprint of its settings."""
    services: dict[str, Any] = {}
    networks: set[str] = set()
    volumes: set[str] = set()
    for entry in entries:
        if entry["state"] == "absent":
            continue
        network = entry["network"] or "bridge"
        named = network not in _MODES and not network.startswith("container:")
        networks.update([network] if named else [])
        # Under its own name and not the project's, so that it is the same volume whoever runs the container.
        volumes.update(
            source for source in (str(volume).split(":", maxsplit=1)[0] for volume in entry["volumes"]) if not source.startswith(_PATHS)
        )
        service: dict[str, Any] = {
            "container_name": entry["name"],
            "image": entry["image"],
            "labels": {LABEL: labels[entry["name"]]},
            "user": str(entry["user"]),
            "read_only": entry["read_only"],
            "tmpfs": tmpfs(entry),
            "cap_drop": ["ALL"],
            "cap_add": capabilities(entry),
            "security_opt": security_options(entry, seccomp_path(entry, folder)),
            "pids_limit": entry["pids_limit"],
            "mem_limit": size(entry["memory"]),
            "memswap_limit": size(entry["memory"]),  # the sum of both: no swap
            "cpus": float(entry["cpus"]),
            "restart": entry["restart_policy"],
            "logging": {"driver": "json-file", "options": log_options(entry)},
            "command": [str(word) for word in entry["command"]],
            "environment": {key: str(value) for key, value in entry["environment"].items()},
            "ports": [str(port) for port in entry["ports"]],
            "volumes": [str(volume) for volume in entry["volumes"]],
            "network_mode": "" if named else network,
            "networks": [network] if named else [],
            "stop_signal": entry["stop_signal"],
        }
        services[entry["name"]] = {key: value for key, value in service.items() if value not in ([], {}, "")}
    content = {
        "name": project,
        "services": services,
        "networks": {name: {"name": name, "external": True} for name in sorted(networks)},
        "volumes": {name: {"name": name} for name in sorted(volumes)},
    }
    literal: dict[str, Any] = _literal({key: value for key, value in content.items() if value or key == "services"})
    return literal


def container(entry: Mapping[str, Any], seccomp: str, mark: str) -> dict[str, Any]:
    """Options of community.docker.docker_container. seccomp: the profile's text. mark: fingerprint of its settings."""
    return {
        "image": entry["image"],
        "labels": {LABEL: mark},
        "command": [str(word) for word in entry["command"]],
        "env": {key: str(value) for key, value in entry["environment"].items()},
        "user": str(entry["user"]),
        "read_only": entry["read_only"],
        "tmpfs": tmpfs(entry),
        "cap_drop": ["ALL"],
        "capabilities": capabilities(entry),
        "security_opts": security_options(entry, seccomp),
        "pids_limit": entry["pids_limit"],
        "memory": str(size(entry["memory"])),
        "memory_swap": str(size(entry["memory"])),
        "cpus": float(entry["cpus"]),
        "restart_policy": entry["restart_policy"],
        "log_driver": "json-file",
        "log_options": log_options(entry),
        "published_ports": [str(port) for port in entry["ports"]],
        "volumes": [str(volume) for volume in entry["volumes"]],
        "network_mode": entry["network"] or "default",
        "stop_signal": entry["stop_signal"],
    }


def _literal(value: Any) -> Any:
    """With each `$` doubled: compose otherwise puts a variable of the shell that runs it there (compose-spec: 12-interpolation.md)."""
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def tmpfs(entry: Mapping[str, Any]) -> list[str]:
    return [f"{path}:{_TMPFS_OPTIONS}" for path in entry["tmpfs"]]


def log_options(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"max-size": str(entry["log_max_size"]), "max-file": str(entry["log_max_file"])}


def security_options(entry: Mapping[str, Any], seccomp: str) -> list[str]:
    """seccomp: the profile, as whoever is told wants it: its path (docker's client, compose), or its text (the engine's API)."""
    options = ["no-new-privileges=true"]
    options += [f"seccomp={seccomp}"] if entry["seccomp_profile"] else []
    options += [f"apparmor={entry['apparmor_profile']}"] if entry["apparmor_profile"] else []
    return options


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
