# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates an entry of hardened_container_list from a recording. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...module_utils.capabilities import parse_names
from ...module_utils.hardened.settings import MODES, PORT
from ..hardened import names as checked_names
from ..hardened.limits import MIN_MEMORY
from .generation import Generated, name_profile, shorten_list
from .model import ACCESS, Recording
from .writes import find_written_folders, is_generalised

# Headroom above the highest value that was recorded.
_FACTOR = 1.5
_LEAST_PIDS, _PIDS_STEP = 20, 10
_LEAST_MEMORY, _MEMORY_STEP = 32 << 20, 16 << 20
_ROOT = re.compile(r"\+?0*|root")
# The name of an anonymous volume (moby volume/service: stringid.GenerateRandomID).
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def generate_container_entry(recording: Recording) -> Generated:
    """Return the entry of a service: what it used, a read-only root file system, and both generated profiles. reasons: per setting."""
    result = Generated({"name": name_container(recording.service)})
    for add in (_add_image, _add_user, _add_capabilities, _add_file_system, _add_profiles, _add_privileges, _add_limits, _add_network):
        add(recording, result)
    result.notes.append("command and environment are not recorded, because they may contain passwords; add those of the service")
    return result


def name_container(service: str) -> str:
    """Return the name of a service's container, which has two characters at least."""
    return service if len(service) > 1 else f"{service}-1"


def add_setting(result: Generated, key: str, value: Any, why: str) -> None:
    """Add a setting to the entry, with its reason."""
    result.entry[key] = value
    result.reasons.append((key, why))


def _add_image(recording: Recording, result: Generated) -> None:
    images = sorted({configuration.image for configuration in recording.current})
    if not images:
        return
    chosen = images[-1]
    if any(checked_names.check_image(chosen, lambda value: "")):
        result.notes.append(f"image: {chosen!r} was recorded, which is not an image that hardened_container_list accepts; write one")
        return
    add_setting(
        result, "image", chosen, "its containers run now" if len(images) == 1 else f"the last one in order of {shorten_list(images)}"
    )


def _add_user(recording: Recording, result: Generated) -> None:
    users = sorted({configuration.user for configuration in recording.current})
    if len(users) == 1 and not is_root(users[0]):
        add_setting(result, "user", users[0], "its containers run as this user")
    elif users:
        names = ", ".join(user or "root" for user in users)
        result.notes.append(
            f"user: its containers run as {names}; hardened_container_list accepts one user that is not root. "
            "The entry has hardened_container_user; write the user that the image provides, if it provides one"
        )


def is_root(user: str) -> bool:
    """Return whether a user, as the engine reads it, is root."""
    return _ROOT.fullmatch(user.partition(":")[0]) is not None


def _add_capabilities(recording: Recording, result: Generated) -> None:
    used, why = list_used_capabilities(recording)
    add_setting(result, "capabilities", used, why)


def list_used_capabilities(recording: Recording) -> tuple[list[str], str]:
    """Return the capabilities that a service needs, and the reason: those that it used, or those that it has if AppArmor did not record."""
    granted = parse_names(recording.capabilities)
    if not is_access_recorded(recording):
        return sorted(granted), "those that it has; which of them it uses was not recorded, because AppArmor recorded nothing"
    used = parse_names(each.access["name"] for each in recording.access if each.access["class"] == "capability" and not each.denied)
    unused = shorten_list(granted - used, 20)
    return sorted(used & granted if granted else used), f"those that it used; not used: {unused or 'none'}"


def is_access_recorded(recording: Recording) -> bool:
    """Return whether AppArmor recorded on every host of a service."""
    sources = recording.sources.values()
    return bool(sources) and all(ACCESS in source and source[ACCESS].status == "recording" for source in sources)


def _add_file_system(recording: Recording, result: Generated) -> None:
    add_setting(result, "read_only", True, "what it writes is in tmpfs and volumes")
    folders, problems = find_written_folders(recording)
    result.notes += problems
    mounted = {mount.destination: mount for mount in recording.mounts}
    tmpfs = {path: folder.why for path, folder in folders.items() if not folder.keeps}
    tmpfs |= {path: "its containers have this tmpfs" for path, mount in mounted.items() if mount.type == "tmpfs"}
    volumes: dict[str, str] = {}
    for path, mount in mounted.items():
        if is_generalised(mount.source) or is_generalised(path):
            result.notes.append(
                f"volumes: {mount.source}:{path}: what differs between hosts or users was replaced by a pattern; write the real path"
            )
        elif mount.type != "tmpfs":
            source = f"{mount.source}:" if mount.source and not _ANONYMOUS.fullmatch(mount.source) else ""
            volumes[f"{source}{path}{':ro' if mount.read_only and source else ''}"] = "its containers have this mount"
    volumes |= {f"{name_volume(recording.service, path)}:{path}": folder.why for path, folder in folders.items() if folder.keeps}
    add_setting(result, "tmpfs", sorted(tmpfs), _join_reasons(tmpfs) or "it writes to no temporary folder")
    if volumes:
        add_setting(result, "volumes", sorted(volumes), _join_reasons(volumes))


def name_volume(service: str, path: str) -> str:
    """Return the name of the volume for a folder of a service."""
    return f"{service}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', path).strip('-.')}"


def _join_reasons(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{what.rpartition(':')[2] if what.count(':') == 1 else what}: {why}" for what, why in sorted(reasons.items()))


def _add_profiles(recording: Recording, result: Generated) -> None:
    name = name_profile(recording.service)
    if recording.calls:
        add_setting(result, "seccomp_profile", name, "the generated profile of seccomp_profiles_list")
    if any(not each.denied for each in recording.access):
        add_setting(result, "apparmor_profile", name, "the generated profile of apparmor_profiles_list")


def _add_privileges(recording: Recording, result: Generated) -> None:
    if any(not configuration.no_new_privileges for configuration in recording.current):
        result.notes.append(
            "no_new_privileges: its containers ran without it, and hardened_container_list always sets it; "
            "programs that need setuid or file capabilities, such as sudo, then fail"
        )


def _add_limits(recording: Recording, result: Generated) -> None:
    pids, memory = compute_limits(recording)
    if pids:
        add_setting(result, "pids_limit", pids, f"at most {recording.peaks['pids']} processes and threads were counted in one container")
    if memory:
        add_setting(
            result, "memory", f"{memory >> 20}m", f"at most {-(-recording.peaks['memory'] >> 20)} MiB were counted in one container"
        )
    for key, value in (("pids_limit", pids), ("memory", memory)):
        if not value:
            result.notes.append(f"{key}: the highest use was not recorded; the entry has hardened_container_{key}")


def compute_limits(recording: Recording) -> tuple[int | None, int | None]:
    """Return the limits of PIDs and of memory (bytes): 1.5 times the highest use, rounded up; None for what was not recorded."""
    pids, memory = recording.peaks.get("pids"), recording.peaks.get("memory")
    return (
        max(_round_up(pids * _FACTOR, _PIDS_STEP), _LEAST_PIDS) if pids else None,
        max(_round_up(memory * _FACTOR, _MEMORY_STEP), _LEAST_MEMORY, MIN_MEMORY) if memory else None,
    )


def _round_up(value: float, step: int) -> int:
    return -(-int(value) // step) * step


def _add_network(recording: Recording, result: Generated) -> None:
    networks = recording.networks
    if len(networks) > 1:
        result.notes.append(
            f"network: its containers are in {shorten_list(networks, 20)}; the entry has the first one, as it accepts one only"
        )
    if networks and networks[0] not in ("bridge", "default"):
        add_setting(result, "network", networks[0], "its containers are in this network")
    ports = [port for port in recording.ports if PORT.fullmatch(port)]
    published = not networks or networks[0] not in set(MODES) - {"bridge", "default"}
    if ports and published:
        add_setting(result, "ports", ports, "its containers publish them")
