# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges which devices of the host a container can open: its control group allows it, and it has or can make a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..host.process_status import map_to_inside
from ..layers.states import list_states
from .device_program import evaluate_policy, explain_policy
from .device_rules import DeviceRules, Policy
from .host_devices import MEMORY, HostDevice

_PLURALS = {"block_device": "block devices", "memory_device": "memory devices", "device": "character devices"}
_MAX_OBJECTS = 8
# What every container may use: moby oci/defaults.go, and AllowedDevices in runc's libcontainer/specconv/spec_linux.go (136 is /dev/pts).
_DEFAULT = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
_PTS, _TUN = 136, (10, 200)
_MKNOD = 1 << 27
_HOST_USERS = "user:[4026531837]"  # PROC_USER_INIT_INO: CAP_MKNOD counts only in this namespace (fs/namei.c, vfs_mknod)


# No host has these: who may use them may use every device.
_ANY = (HostDevice("b", 4095, 1048575, "*"), HostDevice("c", 4095, 1048575, "*"))


def find_device_exposures(
    container: Mapping[str, Any], rules: DeviceRules, host_devices: Sequence[HostDevice], mountinfo: str = ""
) -> list[dict[str, str]]:
    """Return an exposure for each device of the host that a container can read or write; one for all of a kind if they are more than 8.

    mountinfo: text of one or more of its mount namespaces. Nodes that the container cannot make itself are seen
    only if they are in HostConfig.Devices or bound from the host's /dev.
    """
    config, states = container["inspect"]["HostConfig"], list_states(container)
    devices = (*host_devices, *_ANY)
    named = {entry["PathOnHost"]: entry.get("CgroupPermissions") or "rwm" for entry in config.get("Devices") or []}
    # A path such as /dev/disk/by-id/x names a device that only the rules show.
    unknown = [path for path in named if not any(_is_below(device.name, [path]) for device in host_devices)]
    exposures = []
    source = rules.source
    allowed = None if rules.error or rules.policy is None else _list_allowed(rules.policy, devices)
    if allowed is None:
        source = f"docker inspect {container['name']} (HostConfig); not verified by the kernel: {rules.error or explain_policy(rules.policy) or source}"
        allowed = _list_allowed(_build_policy(config, named, host_devices), devices) or ()
        exposures = [_build_exposure("device", path, named[path], source) for path in unknown]
    in_host = any(state["namespaces"].get("user", _HOST_USERS) == _HOST_USERS for state in states)
    can_make = in_host and any((state["cap"]["bnd"] | state["cap"]["prm"]) & _MKNOD for state in states if "cap" in state)
    has_any = config.get("Privileged") or unknown
    bound = [*named, *_list_bound(mountinfo)]
    groups: dict[str, list[tuple[HostDevice, str]]] = {kind: [] for kind in _PLURALS}
    for device, access in allowed:
        if device[1:3] == _TUN and not _is_below(device.name, named):
            continue
        has_node = has_any or _is_below(device.name, bound)
        if not has_node and not (can_make and "m" in access):
            continue
        access = access if in_host else _limit_access(device, access, states)
        if access.strip("m"):
            kind = "block_device" if device.kind == "b" else "memory_device" if device[1:3] in MEMORY else "device"
            groups[kind].append((device, access))
    everything = {device.kind for rows in groups.values() for device, _access in rows if device in _ANY}
    for kind, rows in groups.items():
        known = [(f"/dev/{device.name} ({device.major}:{device.minor})", access) for device, access in rows if device not in _ANY]
        whole = ("b" if kind == "block_device" else "c") in everything
        if whole or len(known) > _MAX_OBJECTS:
            access = "".join(letter for letter in "rwm" if any(letter in access for _device, access in rows))
            names = [name for name, _access in known[:_MAX_OBJECTS]] + ["…"] * (len(known) > _MAX_OBJECTS)
            name = f"{'all' if whole else len(known)} {_PLURALS[kind]}"
            exposures.append(_build_exposure(kind, name, access, source, f"{len(known)}: {', '.join(names)}"))
        else:
            exposures += [_build_exposure(kind, name, access, source) for name, access in known]
    return exposures


def _build_exposure(kind: str, name: str, access: str, source: str, value: str = "") -> dict[str, str]:
    return {"kind": kind, "object": name, "access": access, "source": source, "value": f"{access} {value or name}"}


def _is_below(name: str, paths: Iterable[str]) -> bool:
    """Return whether a name below /dev is one of these paths or in one of these folders."""
    return any(f"/dev/{name}/".startswith(f"{path.rstrip('/')}/") for path in paths)


@lru_cache(maxsize=64)
def _list_allowed(policy: Policy, devices: tuple[HostDevice, ...]) -> tuple[tuple[HostDevice, str], ...] | None:
    """Return the devices beyond the default that a policy lets be read or written, with the access; None when that is not known."""
    found = []
    for device in devices:
        number = device[1:3]
        if device.kind == "c" and (device.major == _PTS or number in _DEFAULT):
            continue
        answers = {letter: evaluate_policy(policy, device.kind, *number, letter) for letter in "rwm"}
        if None in answers.values():
            return None
        if answers["r"] or answers["w"]:
            found.append((device, "".join(letter for letter in answers if answers[letter])))
    return tuple(found)


def _build_policy(config: Mapping[str, Any], named: Mapping[str, str], devices: Sequence[HostDevice]) -> str:
    """Return the lines of devices.list that the engine asks for; making nodes is allowed by default."""
    lines = ["b *:* m", "c *:* m", *(config.get("DeviceCgroupRules") or []), *(["a *:* rwm"] if config.get("Privileged") else [])]
    for path, access in named.items():
        lines += [f"{device.kind} {device.major}:{device.minor} {access}" for device in devices if _is_below(device.name, [path])]
    return "\n".join(lines)


def _list_bound(mountinfo: str) -> list[str]:
    """Return the paths of the host's /dev that are mounted in a container: runc binds nodes where there is a user namespace."""
    rows = (line.split() for line in mountinfo.splitlines() if " - devtmpfs " in line)
    return [f"/dev{row[3]}" for row in rows if "nodev" not in row[5].split(",")]


def _limit_access(device: HostDevice, access: str, states: Sequence[Mapping[str, Any]]) -> str:
    """Return what the mode of the host's node leaves to a user namespace, which has no rights over IDs that it does not map."""
    bits = device.mode
    for state in states:
        if "uid_map" not in state or "gid_map" not in state:
            return access
        owner = map_to_inside(device.uid, state["uid_map"]) is not None
        group = map_to_inside(device.gid, state["gid_map"]) is not None
        if owner and group:
            return access  # CAP_DAC_OVERRIDE
        member = group or device.gid in [*state.get("gid", ()), *state.get("groups", ())]
        bits |= (device.mode >> 6 if owner else 0) | (device.mode >> 3 if member else 0)
    return "".join(letter for letter in access if (letter == "r" and bits & 4) or (letter == "w" and bits & 2))
