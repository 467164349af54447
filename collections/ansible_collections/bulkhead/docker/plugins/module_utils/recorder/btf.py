# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the kernel's description of its own types (BTF): IDs of types, and offsets of members of structures.

Source: Documentation/bpf/btf.rst, include/uapi/linux/btf.h.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator

VMLINUX = "/sys/kernel/btf/vmlinux"
STRUCT, UNION, TYPEDEF = 4, 5, 8
_FUNCTION = 12
_INT, _ARRAY, _ENUM, _PROTOTYPE, _VARIABLE, _DATA_SECTION, _DECLARATION_TAG, _ENUM64 = 1, 3, 6, 13, 14, 15, 17, 19
_QUALIFIERS = {TYPEDEF, 9, 10, 11, 18}  # typedef, volatile, const, restrict, type tag: name another type
_KINDS = 20
# Bytes that follow the 12 of a type: for each of its elements, and in all.
_PER_ELEMENT = {STRUCT: 12, UNION: 12, _ENUM: 8, _PROTOTYPE: 8, _DATA_SECTION: 12, _ENUM64: 12}
_FIXED = {_INT: 4, _ARRAY: 12, _VARIABLE: 4, _DECLARATION_TAG: 4}
_HEADER = struct.Struct("<HBBIIIII")
_TYPE, _MEMBER = struct.Struct("<III"), struct.Struct("<III")
_MAGIC = 0xEB9F


class BtfError(ValueError):
    """The description is damaged, or lacks a type or member; the message says which."""


class Btf:
    """The types of a kernel. raw: the content of /sys/kernel/btf/vmlinux. Raises BtfError."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < _HEADER.size or _HEADER.unpack_from(raw)[0] != _MAGIC:
            raise BtfError("is not BTF data of this machine's byte order")
        _magic, version, _flags, header, types, types_size, strings, strings_size = _HEADER.unpack_from(raw)
        if version != 1 or header + types + types_size > len(raw) or header + strings + strings_size > len(raw):
            raise BtfError("is cut short, or not version 1 of BTF")
        self._raw, self._strings = raw, header + strings
        self._places = array("I", [0])  # place of each type in `raw` by ID; ID 0 is void
        self._ids: dict[tuple[int, str], int] = {}
        self._index(header + types, header + types + types_size)

    def _index(self, place: int, end: int) -> None:
        raw, unpack = self._raw, _TYPE.unpack_from
        while place < end:
            if place + _TYPE.size > end:
                raise BtfError("is cut short in a type")
            name, info, _size = unpack(raw, place)
            kind = info >> 24 & 0x1F
            if not 0 < kind < _KINDS:
                raise BtfError(f"contains a type of the unknown kind {kind}")
            if kind in (STRUCT, TYPEDEF) and name:
                self._ids.setdefault((kind, self._read_name(name)), len(self._places))
            self._places.append(place)
            place += _TYPE.size + _FIXED.get(kind, 0) + _PER_ELEMENT.get(kind, 0) * (info & 0xFFFF)

    def _read_name(self, offset: int) -> str:
        start = self._strings + offset
        end = self._raw.find(0, start)
        if end < 0:
            raise BtfError(f"contains a name at {offset}, after the end")
        return self._raw[start:end].decode("ascii", "replace")

    def has_name(self, name: str) -> bool:
        """Return whether any type, function or member has this name."""
        return self._raw.find(b"\0" + name.encode() + b"\0", self._strings) >= 0

    def find_functions(self, names: Iterable[str]) -> dict[str, int]:
        """Return the IDs of functions by name; those that the kernel lacks are left out. A name with several functions is left out too."""
        searched: dict[int, str] = {}
        found: dict[str, list[int]] = {}
        for name in names:
            at = self._raw.find(b"\0" + name.encode() + b"\0", self._strings)
            if at >= 0:
                searched[at + 1 - self._strings] = name
        for identifier in range(1, len(self._places)):
            offset, info, _size = _TYPE.unpack_from(self._raw, self._places[identifier])
            if info >> 24 & 0x1F == _FUNCTION and offset in searched:
                found.setdefault(searched[offset], []).append(identifier)
        return {name: identifiers[0] for name, identifiers in found.items() if len(identifiers) == 1}

    def find_id(self, kind: int, name: str) -> int:
        """Return the ID of a structure or typedef. Raises BtfError."""
        try:
            return self._ids[kind, name]
        except KeyError:
            raise BtfError(f"has no {'typedef' if kind == TYPEDEF else 'structure'} {name}") from None

    def find_offset(self, structure: str, members: str) -> int:
        """Return the offset in bytes of a member such as `seccomp.mode`. Raises BtfError."""
        identifier, total = self.find_id(STRUCT, structure), 0
        for name in members.split("."):
            found = self._find_member(identifier, name)
            if found is None:
                raise BtfError(f"has no member {members} in structure {structure}")
            identifier, bits = found
            if bits % 8:
                raise BtfError(f"has a bit field as member {members} in structure {structure}")
            total += bits // 8
        return total

    def _find_member(self, identifier: int, name: str) -> tuple[int, int] | None:
        """Return type and offset in bits of a member, also within members that have no name."""
        for member, member_type, bits in self._list_members(identifier):
            if member == name:
                return member_type, bits
            if not member and (inner := self._find_member(member_type, name)):
                return inner[0], bits + inner[1]
        return None

    def _list_members(self, identifier: int) -> Iterator[tuple[str, int, int]]:
        while True:
            if not 0 < identifier < len(self._places):
                return
            _name, info, other = _TYPE.unpack_from(self._raw, self._places[identifier])
            if info >> 24 & 0x1F not in _QUALIFIERS:
                break
            identifier = other
        if info >> 24 & 0x1F not in (STRUCT, UNION):
            return
        place = self._places[identifier] + _TYPE.size
        for _unused in range(info & 0xFFFF):
            name, member_type, offset = _MEMBER.unpack_from(self._raw, place)
            # With the flag of the structure, the upper 8 bits are the size of a bit field (struct btf_member).
            yield self._read_name(name), member_type, offset & 0xFFFFFF if info >> 31 else offset
            place += _MEMBER.size
