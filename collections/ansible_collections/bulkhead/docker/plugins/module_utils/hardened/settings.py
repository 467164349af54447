# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks and completes hardened_container_list, and renders it for compose, docker_container and verification. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from ..capabilities import CAPABILITIES

# Settings that have a default, `hardened_container_KEY`, which an entry of the list may override.
DEFAULTED = (
    "user", "read_only", "tmpfs", "capabilities", "seccomp_profile", "apparmor_profile", "pids_limit", "memory", "cpus", "restart_policy",
    "log_max_size", "log_max_file",
)  # fmt: skip
_OWN: dict[str, Any] = {
    "name": str, "image": str, "command": list, "environment": dict, "ports": list, "volumes": list, "network": str, "stop_signal": str, "state": str,
    "allow_exposures": list,
}  # fmt: skip
_TYPE_NAMES = {"str": "a text", "list": "a list", "dict": "a mapping"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PORT = re.compile(r"(?:(?P<address>[0-9.]+|\[[0-9a-f:]+\]):)?(?P<host>\d+):(?P<container>\d+)(?:/(?P<protocol>tcp|udp))?")
_SIZE = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# Writable files cannot be executed or be devices. Without a mode, runc would use that of the folder below, which belongs to root.
_TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,mode=1777"
_POLICIES = ("no", "always", "unless-stopped", "on-failure")
# Values of `network` that are not names of networks. First characters of a volume that is a path of the host.
_MODES = ("bridge", "default", "host", "none")
_PATHS = ("/", ".", "~")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
VARIABLE = "hardened_container_list"
PROJECT = "hardened_container_project"
# Label of each managed container; its value is the fingerprint of the container's settings.
LABEL = "io.bulkhead.hardened"
# How containers are run: as one compose project, or each on its own.
COMPOSE, CONTAINER = "compose", "container"


class ContainerEntryError(ValueError):
    """An entry of the list is invalid. The message names variable, key and value, and what to write instead."""


def resolve_containers(desired: Mapping[str, Any], kinds: Collection[str]) -> list[dict[str, Any]]:
    """Return the entries of `hardened_container_list`, complete and checked. Raises ContainerEntryError.

    kinds: of exposure (exposures/kinds.py), which no module that runs the containers needs on a host.
    """
    if not _PROJECT.fullmatch(desired[PROJECT]):
        raise ContainerEntryError(
            f"{PROJECT}: {desired[PROJECT]!r} is not a name for a compose project; write small letters, digits, dashes and underscores"
        )
    entries, names = [], set()
    for position, given in enumerate(desired.get(VARIABLE) or []):
        entry = _resolve_entry(f"{VARIABLE}[{position}]", given, desired)
        _check_allowed(f"{VARIABLE}[{position}].allow_exposures", entry["allow_exposures"], kinds)
        if entry["name"] in names:
            raise ContainerEntryError(
                f"{VARIABLE}[{position}].name: {entry['name']} is already the name of another entry; write another name"
            )
        names.add(entry["name"])
        entries.append(entry)
    return entries


def _resolve_entry(place: str, given: Any, desired: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ContainerEntryError(f"{place}: {given!r} is not a mapping; write name, image and what differs from the defaults")
    for key in given:
        if key not in _OWN and key not in DEFAULTED:
            known = [*_OWN, *DEFAULTED]
            close = difflib.get_close_matches(str(key), known, 1, 0.5)
            advice = f"write {close[0]}" if close else f"known are {', '.join(known)}"
            raise ContainerEntryError(f"{place}.{key}: is not a setting; {advice}")
    entry = {key: given.get(key, desired[f"hardened_container_{key}"]) for key in DEFAULTED}
    for key, kind in _OWN.items():
        entry[key] = given.get(key, kind())
        if not isinstance(entry[key], kind):
            raise ContainerEntryError(f"{place}.{key}: {entry[key]!r} is not {_TYPE_NAMES[kind.__name__]}")
    entry["state"] = entry["state"] or "present"
    _check_entry(place, entry)
    return entry


def _check_entry(place: str, entry: Mapping[str, Any]) -> None:
    def reject(key: str, why: str) -> None:
        raise ContainerEntryError(f"{place}.{key}: {entry[key]!r} {why}")

    if not _NAME.fullmatch(entry["name"]):
        reject("name", "is not a name for a container; write letters, digits, dots, dashes and underscores")
    if entry["state"] not in ("present", "absent"):
        reject("state", "is not valid; write present or absent")
    if not entry["image"] and entry["state"] == "present":
        reject("image", "is not an image; write one, such as registry.example/shop:1.2")
    if str(entry["user"]).split(":", maxsplit=1)[0] in ("", "0", "root"):
        reject("user", "is root; write the user that the service runs as, such as 65534:65534")
    for name in entry["capabilities"]:
        if str(name).upper().removeprefix("CAP_") not in CAPABILITIES:
            close = difflib.get_close_matches(str(name).upper(), CAPABILITIES, 1, 0.5)
            reject("capabilities", f"contains {name!r}, which is not a capability" + (f"; write {close[0]}" if close else ""))
    for path in entry["tmpfs"]:
        if not str(path).startswith("/"):
            reject("tmpfs", f"contains {path!r}, which is not absolute; write /{path}")
    for port in entry["ports"]:
        if not _PORT.fullmatch(str(port)):
            reject("ports", f"contains {port!r}, which is not a port; write HOST:CONTAINER, such as '127.0.0.1:8080:80'")
    for key in ("memory", "log_max_size"):
        if not _SIZE.fullmatch(str(entry[key])):
            reject(key, "is not a size; write a number with k, m or g, such as 256m")
    if not _is_positive(entry["pids_limit"], int):
        reject("pids_limit", "is not a limit; write an integer of 1 or more")
    if not _is_positive(entry["cpus"], int | float):
        reject("cpus", "is not a number of CPUs; write a number above 0, such as 0.5")
    if entry["restart_policy"] not in _POLICIES:
        reject("restart_policy", f"is not valid; write {', '.join(_POLICIES[:-1])} or {_POLICIES[-1]}")


def _check_allowed(place: str, allowed: list[Any], kinds: Collection[str]) -> None:
    for kind in allowed:
        if not isinstance(kind, str) or kind not in kinds:
            close = difflib.get_close_matches(str(kind), kinds, 1, 0.5)
            advice = f"write {close[0]}" if close else f"known are {', '.join(kinds)}"
            raise ContainerEntryError(f"{place}: {allowed!r} contains {kind!r}, which is not a kind of exposure; {advice}")


def _is_positive(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and value > 0


def parse_size(text: str) -> int:
    """Return a size such as `256m` in bytes."""
    match = _SIZE.fullmatch(str(text))
    if not match:
        raise ContainerEntryError(f"{text!r} is not a size")
    return int(match[1]) * _UNITS[match[2].lower()]


def list_capabilities(entry: Mapping[str, Any]) -> list[str]:
    """Return the capabilities to keep, with the kernel's names, sorted."""
    return sorted(str(name).upper().removeprefix("CAP_") for name in entry["capabilities"])


def build_compose(entries: list[dict[str, Any]], folder: str, labels: Mapping[str, str], project: str) -> dict[str, Any]:
    """Return the content of the compose file. folder: of the seccomp profiles on the host. labels: container -> fingerprint of its settings."""
    services: dict[str, Any] = {}
    networks: set[str] = set()
    volumes: set[str] = set()
    for entry in entries:
        if entry["state"] == "absent":
            continue
        network = entry["network"] or "bridge"
        named = network not in _MODES and not network.startswith("container:")
        networks.update([network] if named else [])
        # A volume has its own name, not the project's, so that it is the same one however the container is run.
        volumes.update(
            source for source in (str(volume).split(":", maxsplit=1)[0] for volume in entry["volumes"]) if not source.startswith(_PATHS)
        )
        service: dict[str, Any] = {
            "container_name": entry["name"],
            "image": entry["image"],
            "labels": {LABEL: labels[entry["name"]]},
            "user": str(entry["user"]),
            "read_only": entry["read_only"],
            "tmpfs": build_tmpfs(entry),
            "cap_drop": ["ALL"],
            "cap_add": list_capabilities(entry),
            "security_opt": build_security_options(entry, get_seccomp_path(entry, folder)),
            "pids_limit": entry["pids_limit"],
            "mem_limit": parse_size(entry["memory"]),
            "memswap_limit": parse_size(entry["memory"]),  # the sum of both: no swap
            "cpus": float(entry["cpus"]),
            "restart": entry["restart_policy"],
            "logging": {"driver": "json-file", "options": build_log_options(entry)},
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
    escaped: dict[str, Any] = _escape_dollars({key: value for key, value in content.items() if value or key == "services"})
    return escaped


def build_container_options(entry: Mapping[str, Any], seccomp: str, fingerprint: str) -> dict[str, Any]:
    """Return the options of community.docker.docker_container. seccomp: text of the profile. fingerprint: of the container's settings."""
    return {
        "image": entry["image"],
        "labels": {LABEL: fingerprint},
        "command": [str(word) for word in entry["command"]],
        "env": {key: str(value) for key, value in entry["environment"].items()},
        "user": str(entry["user"]),
        "read_only": entry["read_only"],
        "tmpfs": build_tmpfs(entry),
        "cap_drop": ["ALL"],
        "capabilities": list_capabilities(entry),
        "security_opts": build_security_options(entry, seccomp),
        "pids_limit": entry["pids_limit"],
        "memory": str(parse_size(entry["memory"])),
        "memory_swap": str(parse_size(entry["memory"])),
        "cpus": float(entry["cpus"]),
        "restart_policy": entry["restart_policy"],
        "log_driver": "json-file",
        "log_options": build_log_options(entry),
        "published_ports": [str(port) for port in entry["ports"]],
        "volumes": [str(volume) for volume in entry["volumes"]],
        "network_mode": entry["network"] or "default",
        "stop_signal": entry["stop_signal"],
    }


def _escape_dollars(value: Any) -> Any:
    """Return the value with each `$` doubled, because compose would otherwise insert variables of its shell (compose-spec: 12-interpolation.md)."""
    if isinstance(value, Mapping):
        return {key: _escape_dollars(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escape_dollars(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def build_tmpfs(entry: Mapping[str, Any]) -> list[str]:
    return [f"{path}:{_TMPFS_OPTIONS}" for path in entry["tmpfs"]]


def build_log_options(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"max-size": str(entry["log_max_size"]), "max-file": str(entry["log_max_file"])}


def build_security_options(entry: Mapping[str, Any], seccomp: str) -> list[str]:
    """Return the security options. seccomp: path of the profile for docker's client and compose; its text for the engine's API."""
    options = ["no-new-privileges=true"]
    options += [f"seccomp={seccomp}"] if entry["seccomp_profile"] else []
    options += [f"apparmor={entry['apparmor_profile']}"] if entry["apparmor_profile"] else []
    return options


def get_seccomp_path(entry: Mapping[str, Any], folder: str) -> str:
    """Return the path of the entry's seccomp profile on the host; empty for the host's default."""
    return f"{folder}/{entry['seccomp_profile']}.json" if entry["seccomp_profile"] else ""


def build_container_expectations(entries: list[dict[str, Any]], folder: str) -> dict[str, dict[str, Any]]:
    """Return container -> what verification requires of it (hardened/judge.py). folder: of the seccomp profiles on the host."""
    keys = ("user", "read_only", "seccomp_profile", "apparmor_profile", "pids_limit", "cpus")
    return {
        entry["name"]: {
            **{key: entry[key] for key in keys},
            "capabilities": list_capabilities(entry),
            "memory": parse_size(entry["memory"]),
            "seccomp_path": get_seccomp_path(entry, folder),
            "allow_exposures": list(entry["allow_exposures"]),
        }
        for entry in entries
        if entry["state"] == "present"
    }
