# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps owners of files in an engine's plain root to those in the remapped one. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[int]]  # [first ID inside, first ID outside, count], as in /proc/PID/uid_map

_ACL_HEAD = struct.pack("<I", 2)  # its version
_ACL_USER, _ACL_GROUP = 0x02, 0x08  # the entries that carry an ID (Linux include/uapi/linux/posix_acl.h)


class UnmappedId(ValueError):
    """The map does not contain the ID. number: the ID."""

    def __init__(self, kind: str, number: int) -> None:
        super().__init__(f"{kind} ID {number}")
        self.number = number


@dataclass(frozen=True)
class IdMaps:
    """The ID maps of the new root: container ID -> host ID."""

    uids: Rows
    gids: Rows

    @property
    def root(self) -> tuple[int, int]:
        """The host's user and group ID of a container's root."""
        return self.map_uid(0), self.map_gid(0)

    def map_uid(self, number: int) -> int:
        """Return the host's ID of a user. Raises UnmappedId."""
        return _outside(number, self.uids, "user")

    def map_gid(self, number: int) -> int:
        """Return the host's ID of a group. Raises UnmappedId."""
        return _outside(number, self.gids, "group")

    def map_acl(self, raw: bytes) -> bytes:
        """Return a system.posix_acl_* attribute with users and groups mapped (Linux include/uapi/linux/posix_acl_xattr.h)."""
        if len(raw) % 8 != 4 or raw[:4] != _ACL_HEAD:
            raise ValueError(f"an access control list of {len(raw)} bytes that begins with {raw[:4].hex()} has an unknown format")
        entries = []
        for tag, permissions, who in struct.iter_unpack("<HHI", raw[4:]):
            mapped = self.map_uid(who) if tag == _ACL_USER else self.map_gid(who) if tag == _ACL_GROUP else who
            entries.append(struct.pack("<HHI", tag, permissions, mapped))
        return raw[:4] + b"".join(entries)


def _outside(number: int, rows: Rows, kind: str) -> int:
    for inside, outside, count in rows:
        if inside <= number < inside + count:
            return outside + number - inside
    raise UnmappedId(kind, number)


class _UnchangedIds(IdMaps):
    """The map of the engine's own files, which keep their owners."""

    def map_uid(self, number: int) -> int:
        return number

    def map_gid(self, number: int) -> int:
        return number


UNCHANGED = _UnchangedIds((), ())
