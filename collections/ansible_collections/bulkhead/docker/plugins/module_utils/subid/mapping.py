# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subordinate ranges the engine uses, and the ID maps that follow from them. Pure; shared by planning and judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host.accounts import DEFAULT_LOWEST
from .allocate import Accounts, add_directory
from .ranges import SUBGID, SUBUID, SubidFile, build_engine_map, parse_subid
from .remap_user import prefers_numeric_owner, resolve_remap_user

# The user nobody of a container is 65534. With fewer IDs its files in an image cannot be unpacked (`Container ID 65534 cannot be mapped to
# a host ID`).
MIN_IDS = 65536

Map = list[list[int]]


@dataclass(frozen=True)
class SubidState:
    """Both subid files and the accounts, from an observation. names: how a user is named that was asked for under another spelling."""

    subuid: SubidFile
    subgid: SubidFile
    accounts: Accounts
    names: Mapping[str, str] = field(default_factory=dict)


def parse_state(here: Mapping[str, Any]) -> SubidState:
    """Return the subid files and accounts, those of directory services included. here: what layer userns observed."""
    directory, named = here.get("directory") or {}, here.get("named") or {}
    users, groups = ({asked: row for asked, row in named.get(kind, {}).items() if row} for kind in ("users", "groups"))
    return SubidState(
        parse_subid(SUBUID, here["subuid"]["text"]),
        parse_subid(SUBGID, here["subgid"]["text"]),
        add_directory(
            Accounts(here.get("uids", {}), here.get("gids", {}), here.get("lowest", DEFAULT_LOWEST)),
            {**directory.get("uids", {}), **{row[0]: row[1] for row in users.values()}},
            {**directory.get("gids", {}), **{row[0]: row[1] for row in groups.values()}},
        ),
        {asked: row[0] for asked, row in users.items() if asked not in here.get("uids", {})},
    )


def resolve_remap(seen: SubidState, setting: str) -> tuple[str, str]:
    """Return the names of user and group of a `userns-remap` value on this host; an ID of no account stays."""
    user, group = resolve_remap_user(setting, seen.accounts.uids, seen.accounts.gids)
    return seen.names.get(user, user), group


def find_subid_services(here: Mapping[str, Any]) -> list[str]:
    """Return the services besides the files that give users ranges, such as `subid: sss` in nsswitch.conf.

    newuidmap asks the first one, and later versions all (shadow lib/nss.c, nss_init). The rootful engine only reads the files (moby
    daemon/internal/usergroup/lookup_unix.go, LoadIdentityMapping).
    """
    return [source for source in here.get("subid_sources") or () if source != "files"]


def find_configured_remap(observed: Mapping[str, Any]) -> str | None:
    """Return the value of userns-remap with which the engine would start now: a flag of its unit, or the key of daemon.json; None without."""
    flags = (observed.get("unit") or {}).get("flags") or {}
    value = flags.get("userns-remap") or observed["layers"]["userns"].get("configured")
    return value if isinstance(value, str) and value else None


def build_expected_maps(seen: SubidState, user: str, version: str | None) -> tuple[Map, Map]:
    """Return the uid_map and gid_map that an engine of this version would make for a user if it started now."""
    if user == "root":  # `userns-remap: root` starts an engine without user namespaces
        return [], []
    uid, first = seen.accounts.uids.get(user), prefers_numeric_owner(version)
    return build_engine_map(seen.subuid, user, uid, first), build_engine_map(seen.subgid, user, uid, first)


def name_data_root(uid_map: Map, gid_map: Map) -> str | None:
    """Return the folder name of the data root under these maps: UID.GID of the container's root (moby daemon/daemon_unix.go, setupDaemonRoot)."""
    return f"{uid_map[0][1]}.{gid_map[0][1]}" if uid_map and gid_map else None


def explain_unsupported(here: Mapping[str, Any]) -> str:
    """Return why this host does not support user namespaces; empty if it does."""
    if here.get("host_namespace") is None or here.get("max_user_namespaces") is None:
        return "the kernel has no user namespaces (no /proc/1/ns/user or no /proc/sys/user/max_user_namespaces)"
    if here["max_user_namespaces"] == 0:
        return "/proc/sys/user/max_user_namespaces is 0, so the kernel denies every user namespace; set it to some thousands by sysctl"
    return ""
