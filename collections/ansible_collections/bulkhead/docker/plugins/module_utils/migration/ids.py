# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners, as a file has them in an engine's plain root, and as it has to have them in the remapped one. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[int]]  # [first ID inside, first ID outside, count], as in /proc/PID/uid_map

_ACL_HEAD = struct.pack("<I", 2)  # its version
_ACL_USER, _ACL_GROUP = 0x02, 0x08  # the entries that carry an ID (Linux include/uapi/linux/posix_acl.h)


class Unmapped(ValueError):
    """An ID that the map has no place for."""


@dataclass(frozen=True)
class Ids:
    """The maps of the root to come: what container ID n is on the host."""

    uids: Rows
    gids: Rows

    @property
    def root(self) -> tuple[int, int]:
        """Who a container's root is on the host."""
        return self.uid(0), self.gid(0)

    def uid(self, number: int) -> int:
        return _outside(number, self.uids, "user")

    def gid(self, number: int) -> int:
        return _outside(number, self.gids, "group")

    def acl(self, raw: bytes) -> bytes:
        """A system.posix_acl_* attribute with its users and groups mapped (Linux include/uapi/linux/posix_acl_xattr.h)."""
        if len(raw) % 8 != 4 or raw[:4] != _ACL_HEAD:
            raise ValueError(f"an access control list of {len(raw)} bytes, beginning with {raw[:4].hex()}, is not known")
        entries = []
        for tag, permissions, who in struct.iter_unpack("<HHI", raw[4:]):
            mapped = self.uid(who) if tag == _ACL_USER else self.gid(who) if tag == _ACL_GROUP else who
            entries.append(struct.pack("<HHI", tag, permissions, mapped))
        return raw[:4] + b"".join(entries)


def _outside(number: int, rows: Rows, kind: str) -> int:
    for inside, outside, count in rows:
        if inside <= number < inside + count:
            return outside + number - inside
    raise Unmapped(f"{kind} ID {number}")
