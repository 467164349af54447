# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges who may access a file or folder before and after a switch to userns-remap. Pure.

A process of a container keeps its IDs as it sees them, and gets those of the map on the host. It then has the rights of others on what the
host's users own. Its capabilities apply only to files whose owner and group are both mapped (Linux kernel/capability.c,
privileged_wrt_inode_uidgid).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...capabilities import list_granted
from ...migration.ids import IdMaps, UnmappedId

READ, WRITE = "read", "write"
_BITS = {READ: 4, WRITE: 2}


@dataclass(frozen=True)
class ContainerIdentity:
    """The IDs of a container's processes as it sees them. overrides: whether root there has CAP_DAC_OVERRIDE, as by default."""

    uids: frozenset[int]
    gids: frozenset[int]
    overrides: bool = True


def identify(container: Mapping[str, Any]) -> ContainerIdentity:
    """Return the identity of an observed container: its processes', or those of its `User`. A user that is only a name counts as root."""
    host = container["host"]
    user, _colon, group = str(container["config"].get("User") or "0").partition(":")
    uids = frozenset(container.get("uids") or [int(user) if user.isdigit() else 0])
    extra = [int(name) for name in host.get("GroupAdd") or () if str(name).isdigit()]
    gids = frozenset([*(container.get("gids") or [int(group) if group.isdigit() else 0]), *extra])
    return ContainerIdentity(uids, gids, "DAC_OVERRIDE" in list_granted(host))


def list_lost(entry: Mapping[str, Any], identity: ContainerIdentity, ids: IdMaps, writable: bool) -> list[str]:
    """Return the rights (read, write) on an entry that the container has now and will not have; writable: whether it is mounted for writing.

    A read-only mount does not keep anyone from connecting to a socket, or from writing to a device or pipe (man 2 open, EROFS).
    """
    special = entry["kind"] in ("socket", "device", "pipe")
    rights = [WRITE] if entry["kind"] == "socket" else [READ, *([WRITE] if writable or special else [])]
    return [
        right
        for right in rights
        if _has_right_now(entry, identity, _BITS[right]) and not _has_right_after(entry, identity, ids, _BITS[right])
    ]


def _has_right_now(entry: Mapping[str, Any], identity: ContainerIdentity, bit: int) -> bool:
    if 0 in identity.uids and identity.overrides:
        return True
    return any(_has_bit(entry, uid, identity.gids, bit) for uid in identity.uids)


def _has_right_after(entry: Mapping[str, Any], identity: ContainerIdentity, ids: IdMaps, bit: int) -> bool:
    uids, gids = set(_map(identity.uids, ids.map_uid)), set(_map(identity.gids, ids.map_gid))
    if 0 in identity.uids and identity.overrides and _is_mapped(entry["uid"], ids.uids) and _is_mapped(entry["gid"], ids.gids):
        return True
    return any(_has_bit(entry, uid, gids, bit) for uid in uids or {-1})


def _has_bit(entry: Mapping[str, Any], uid: int, gids: Any, bit: int) -> bool:
    """Return whether the mode gives a right (man 7 path_resolution). Folders are read only by those who may also search them."""
    needed = bit | (1 if entry["kind"] == "folder" else 0)
    shift = 6 if entry["uid"] == uid else 3 if entry["gid"] in gids else 0
    return (entry["mode"] >> shift) & needed == needed


def _map(numbers: frozenset[int], convert: Any) -> Iterator[int]:
    for number in numbers:
        try:
            yield convert(number)
        except UnmappedId:
            continue


def _is_mapped(number: int, rows: Any) -> bool:
    return any(outside <= number < outside + count for _inside, outside, count in rows)
