# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes containers from their inspection: what a recording needs to know of an instance. Pure, except for reading peaks and the kernel's status."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from ..capabilities import list_granted
from ..host.root import Host

LABELS = ("com.docker.compose.project", "com.docker.compose.service", "bulkhead.service")
UNCONFINED, BUILTIN, UNKNOWN = "unconfined", "builtin", "custom"
MAX_WRITTEN = 2_000
_SHELL = ["/bin/sh", "-c"]


def describe_container(
    inspect: Mapping[str, Any], info: Mapping[str, Any], kernel: Mapping[str, Any], profiles: Mapping[str, str], rootless: bool
) -> dict[str, Any]:
    """Return the part of Interface `recorded` that does not change while the container runs.

    info: of the engine. kernel: `label` and `seccomp` mode of the first process, None if unknown. profiles: text of a seccomp profile -> its name.
    """
    config, settings = inspect.get("Config") or {}, inspect.get("HostConfig") or {}
    security = [str(option) for option in settings.get("SecurityOpt") or ()]
    return {
        "name": str(inspect.get("Name") or inspect["Id"][:12]).lstrip("/"),
        "image": str(config.get("Image") or ""),
        "image_id": str(inspect.get("Image") or ""),
        "labels": {key: value for key, value in (config.get("Labels") or {}).items() if key in LABELS},
        "user": str(config.get("User") or ""),
        "seccomp": name_seccomp(security, bool(settings.get("Privileged")), info, profiles, kernel.get("seccomp")),
        "apparmor": str(kernel.get("label") or inspect.get("AppArmorProfile") or UNCONFINED).partition(" (")[0],
        "no_new_privileges": has_no_new_privileges(security, info),
        "userns": "rootless"
        if rootless
        else "host"
        if settings.get("UsernsMode") == "host" or "name=userns" not in _options(info)
        else "remap",
        "read_only": bool(settings.get("ReadonlyRootfs")),
        "capabilities": sorted(f"cap_{name.lower()}" for name in list_granted(settings)),
        "networks": sorted((inspect.get("NetworkSettings") or {}).get("Networks") or ()) or [str(settings.get("NetworkMode") or "")],
        "ports": list_ports(settings.get("PortBindings") or {}),
        "mounts": list_mounts(inspect),
        "command": [str(inspect.get("Path") or ""), *(str(word) for word in inspect.get("Args") or ())],
    }


def describe_event(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event tells of a container that was removed before it could be inspected."""
    return {
        "name": str(attributes.get("name") or ""),
        "image": str(attributes.get("image") or ""),
        "image_id": "",
        "labels": {key: str(attributes[key]) for key in LABELS if key in attributes},
    }


# What an instance has that was removed before it could be inspected.
NOT_INSPECTED: dict[str, Any] = {
    "image": "",
    "image_id": "",
    "labels": {},
    "user": "",
    "seccomp": UNKNOWN,
    "apparmor": "",
    "no_new_privileges": False,
    "userns": "host",
    "read_only": False,
    "capabilities": [],
    "networks": [],
    "ports": [],
    "mounts": [],
    "command": [],
}


def _options(info: Mapping[str, Any]) -> list[str]:
    return [str(option) for option in info.get("SecurityOptions") or ()]


def name_seccomp(security: Iterable[str], privileged: bool, info: Mapping[str, Any], profiles: Mapping[str, str], mode: int | None) -> str:
    """Return the name of a container's seccomp profile. mode: of its first process; 0 has no filter, whatever was requested.

    The docker command replaces a path by the text of the file (docker/cli cli/command/container/opts.go: parseSecurityOpts).
    """
    if privileged or mode == 0:
        return UNCONFINED
    for option in security:
        key, value = split_option(option)
        if key == "seccomp":
            return value if value in (UNCONFINED, BUILTIN) else profiles.get(normalise_profile(value), UNKNOWN)
    for option in _options(info):
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        if fields.get("name") == "seccomp":
            profile = fields.get("profile", BUILTIN)
            return BUILTIN if profile in ("default", BUILTIN) else PurePosixPath(profile).stem
    return UNCONFINED


def split_option(option: str) -> tuple[str, str]:
    """Return name and value of a security option, `NAME=VALUE` or in its old form `NAME:VALUE`."""
    name, _sign, value = option.partition("=" if "=" in option.partition("{")[0] else ":")
    return name, value


def normalise_profile(text: str) -> str:
    """Return a seccomp profile as a text that is the same for equal ones; the text itself if it is not JSON."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def has_no_new_privileges(security: Iterable[str], info: Mapping[str, Any]) -> bool:
    """Return whether the engine starts the container with no-new-privileges: its own option decides, then the engine's default."""
    for option in security:
        name, value = split_option(option)
        if name == "no-new-privileges":
            return value in ("", "true")
    return "name=no-new-privileges" in _options(info)


def list_ports(bindings: Mapping[str, Any]) -> list[str]:
    """Return published ports as `8080:80/tcp`, with the address if it is not any."""
    found = set()
    for port, hosts in bindings.items():
        for binding in hosts or ():
            address = str(binding.get("HostIp") or "")
            prefix = "" if address in ("", "0.0.0.0", "::") else f"{address}:"
            found.add(f"{prefix}{binding.get('HostPort') or ''}:{port}")
    return sorted(found)


def list_mounts(inspect: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the mounts with volumes by their name, and the tmpfs mounts of `--tmpfs`."""
    found = {}
    for mount in inspect.get("Mounts") or ():
        kind = str(mount.get("Type"))
        source = "" if kind == "tmpfs" else str(mount.get("Name") if kind == "volume" else mount.get("Source"))
        found[str(mount.get("Destination"))] = {"type": kind, "source": source, "read_only": not mount.get("RW", True)}
    for destination, options in ((inspect.get("HostConfig") or {}).get("Tmpfs") or {}).items():
        found.setdefault(destination, {"type": "tmpfs", "source": "", "read_only": "ro" in str(options).split(",")})
    return [{"destination": destination, **found[destination]} for destination in sorted(found)]


def list_health_commands(inspect: Mapping[str, Any]) -> list[str]:
    """Return the command of the health check as events show it (moby daemon/health.go: words joined by spaces); empty without one."""
    config = inspect.get("Config") or {}
    test = [str(word) for word in (config.get("Healthcheck") or {}).get("Test") or ()]
    if test[:1] == ["CMD"] and len(test) > 1:
        return [" ".join(test[1:])]
    if test[:1] == ["CMD-SHELL"] and len(test) > 1:
        return [" ".join([*(config.get("Shell") or _SHELL), test[1]])]
    return []


def reduce_paths(written: Iterable[str], mounts: Iterable[Mapping[str, Any]], before: Iterable[str] = ()) -> list[str]:
    """Return what was added or changed in the writable layer, without the folders above it and without mount points.

    before: what was found earlier. If there are too many paths, the deepest are replaced by their folder.
    """
    mounted = {str(mount["destination"]).rstrip("/") for mount in mounts}
    paths = {*before, *written}
    paths = {path for path in paths if path not in mounted and not any(str(parent) in mounted for parent in PurePosixPath(path).parents)}
    folders = {str(parent) for path in [*paths, *mounted] for parent in PurePosixPath(path).parents}
    leaves = paths - folders
    while len(leaves) > MAX_WRITTEN:
        deepest = max(path.count("/") for path in leaves)
        leaves = {path.rpartition("/")[0] if path.count("/") == deepest and deepest > 1 else path for path in leaves}
        if deepest <= 1:
            leaves = set(sorted(leaves)[:MAX_WRITTEN])
    return sorted(leaves)


def read_peaks(host: Host, folder: str) -> dict[str, int | None]:
    """Return pids.peak and memory.peak of a control group; None without the file (Linux 6.1 and 5.19) or after its end."""
    found: dict[str, int | None] = {}
    for name in ("pids", "memory"):
        try:
            text = (host.read(f"{folder}/{name}.peak") or "").strip()
        except OSError:
            text = ""
        found[name] = int(text) if text.isdigit() else None
    return found
