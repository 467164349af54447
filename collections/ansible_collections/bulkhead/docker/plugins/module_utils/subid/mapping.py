# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning and judging of user namespaces have in common: whose ranges the engine takes, and what map it makes of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .accounts import DEFAULT_LOWEST, Accounts
from .ranges import SUBGID, SUBUID, SubidFile, engine_map, parse

DEFAULT_USER = "dockremap"
# A container's nobody is 65534: with fewer IDs, files of nobody in an image can't be unpacked (`Container ID 65534 cannot be mapped to a
# host ID`).
ENOUGH = 65536

Map = list[list[int]]


@dataclass(frozen=True)
class Seen:
    """The layer's part of an observation, unpacked."""

    subuid: SubidFile
    subgid: SubidFile
    accounts: Accounts


def unpack(here: Mapping[str, Any]) -> Seen:
    return Seen(
        parse(SUBUID, here["subuid"]["text"]),
        parse(SUBGID, here["subgid"]["text"]),
        Accounts(here.get("uids", {}), here.get("gids", {}), here.get("lowest", DEFAULT_LOWEST)),
    )


def remap_user(setting: str) -> tuple[str, str]:
    """User and group of a `userns-remap` value, `user` or `user:group`; the group is empty when none is named."""
    user, unused, group = setting.partition(":")
    return (DEFAULT_USER if user == "default" else user), group


def configured(observed: Mapping[str, Any]) -> str | None:
    """The value of userns-remap by which the engine would start now: a flag of docker.service, or the key in daemon.json. None where
    there is none."""
    flags = (observed.get("unit") or {}).get("flags") or {}
    value = flags.get("userns-remap") or observed["layers"]["userns"].get("configured")
    return value if isinstance(value, str) and value else None


def numeric_first(version: str | None) -> bool:
    """Whether this engine takes the lines with the user's uid alone where there are any; of an unknown engine, no."""
    return (major(version) or 28) < 28


def major(version: str | None) -> int | None:
    head = (version or "").partition(".")[0]
    return int(head) if head.isdigit() else None


def expected_maps(seen: Seen, user: str, version: str | None) -> tuple[Map, Map]:
    """The uid_map and gid_map that an engine of this version makes for a user, were it started now."""
    uid, first = seen.accounts.uids.get(user), numeric_first(version)
    return engine_map(seen.subuid, user, uid, first), engine_map(seen.subgid, user, uid, first)


def root_of(uid_map: Map, gid_map: Map) -> str | None:
    """The name of the engine's root under these maps, UID.GID of the container's root (moby daemon/daemon_unix.go, setupDaemonRoot)."""
    return f"{uid_map[0][1]}.{gid_map[0][1]}" if uid_map and gid_map else None


def impossible(here: Mapping[str, Any]) -> str:
    """Why this host can't carry the layer; empty when it can."""
    if here.get("host_namespace") is None or here.get("max_user_namespaces") is None:
        return "the kernel has no user namespaces (no /proc/1/ns/user or no /proc/sys/user/max_user_namespaces)"
    if here["max_user_namespaces"] == 0:
        return "/proc/sys/user/max_user_namespaces is 0, so the kernel refuses every user namespace; set it to some thousands by sysctl"
    return ""
