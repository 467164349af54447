# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the entries of hardened_container_list for compose, docker_container and verification. Pure.

plugin_utils/hardened/entries.py has checked and completed them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..capabilities import parse_names

# A published port, as compose and docker_container read it, and a size. Both on the control node, where they are checked, and on hosts.
PORT = re.compile(
    r"(?:(?P<address>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?P<host>[0-9]{1,5}):(?P<container>[0-9]{1,5})(?:/(?P<protocol>tcp|udp|sctp))?"
)
SIZE = re.compile(r"([0-9]+)([kmg]?)b?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# Writable files cannot be executed or be devices. Without a mode, runc would use that of the folder below, which belongs to root.
_TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,mode=1777"
# Values of `network` that are not names of networks.
MODES = ("bridge", "default", "host", "none")
CONTAINER_MODE = "container:"
VARIABLE = "hardened_container_list"
PROJECT = "hardened_container_project"
# Label of each managed container; its value is the fingerprint of the container's settings.
LABEL = "io.bulkhead.hardened"
# How containers are run: as one compose project, or each on its own.
COMPOSE, CONTAINER = "compose", "container"


def parse_size(text: str | int) -> int:
    """Return a size such as `256m` in bytes."""
    match = SIZE.fullmatch(str(text))
    if not match:
        raise ValueError(f"{text!r} is not a size")
    return int(match[1]) * _UNITS[match[2].lower()]


def list_capabilities(entry: Mapping[str, Any]) -> list[str]:
    """Return the capabilities to keep, with the kernel's names, sorted."""
    return sorted(parse_names(entry["capabilities"]))


def build_compose(entries: list[dict[str, Any]], folder: str, labels: Mapping[str, str], project: str) -> dict[str, Any]:
    """Return the content of the compose file. folder: of the seccomp profiles on the host. labels: container -> fingerprint of its settings."""
    services: dict[str, Any] = {}
    networks: set[str] = set()
    volumes: set[str] = set()
    for entry in entries:
        if entry["state"] == "absent":
            continue
        network = entry["network"] or "bridge"
        named = network not in MODES and not network.startswith(CONTAINER_MODE)
        networks.update([network] if named else [])
        # A volume has its own name, not the project's, so that it is the same one however the container is run.
        volumes.update(source for source in (volume.partition(":")[0] for volume in entry["volumes"]) if not source.startswith("/"))
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
            "ports": entry["ports"],
            "volumes": entry["volumes"],
            "network_mode": "" if named else network,
            "networks": [network] if named else [],
            "stop_signal": entry["stop_signal"],
            "ulimits": {name: dict(zip(("soft", "hard"), pair, strict=True)) for name, pair in list_ulimits(entry).items()},
        }
        services[entry["name"]] = {key: value for key, value in service.items() if value not in ([], {}, "")}
    content = {
        "name": project,
        "services": services,
        "networks": {name: {"name": name, "external": True} for name in sorted(networks)},
        "volumes": {name: {"name": name} for name in sorted(volumes)},
    }
    escaped: dict[str, Any] = escape_dollars({key: value for key, value in content.items() if value or key == "services"})
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
        "published_ports": entry["ports"],
        "volumes": entry["volumes"],
        "network_mode": entry["network"] or "default",
        "stop_signal": entry["stop_signal"],
        "ulimits": [f"{name}:{soft}:{hard}" for name, (soft, hard) in list_ulimits(entry).items()],
    }


def list_ulimits(entry: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return name -> soft and hard limit of `ulimits`; -1 lifts the limit. A single value is both (compose-spec: ulimits)."""
    given = entry.get("ulimits") or {}
    return {name: (value["soft"], value["hard"]) if isinstance(value, Mapping) else (value, value) for name, value in sorted(given.items())}


def escape_dollars(value: Any) -> Any:
    """Return the value with each `$` doubled, because compose would otherwise insert variables of its shell (compose-spec: 12-interpolation.md)."""
    if isinstance(value, Mapping):
        return {key: escape_dollars(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escape_dollars(inner) for inner in value]
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
            "ulimits": {name: list(pair) for name, pair in list_ulimits(entry).items()},
        }
        for entry in entries
        if entry["state"] == "present"
    }
