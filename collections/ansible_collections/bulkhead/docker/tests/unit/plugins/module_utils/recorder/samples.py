# SPDX-License-Identifier: GPL-3.0-or-later
"""BTF data written by hand (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct


class Writer:
    """Writes BTF data."""

    def __init__(self) -> None:
        self._types, self._strings, self._count = b"", b"\0", 0

    def _name(self, name: str) -> int:
        if not name:
            return 0
        self._strings += name.encode() + b"\0"
        return len(self._strings) - len(name) - 1

    def add(self, kind: int, name: str = "", other: int = 0, elements: int = 0, tail: bytes = b"", flag: int = 0) -> int:
        """Add a type and return its ID. other: size, or ID of another type."""
        self._types += struct.pack("<III", self._name(name), flag << 31 | kind << 24 | elements, other) + tail
        self._count += 1
        return self._count

    def add_struct(self, name: str, *members: tuple[str, int, int], kind: int = 4, flag: int = 0) -> int:
        """Add a structure of (name, type, offset in bits) and return its ID."""
        tail = b"".join(struct.pack("<III", self._name(member), identifier, bits) for member, identifier, bits in members)
        return self.add(kind, name, 64, len(members), tail, flag)

    def write(self, magic: int = 0xEB9F, version: int = 1) -> bytes:
        """Return the data."""
        sizes = (0, len(self._types), len(self._types), len(self._strings))
        return struct.pack("<HBBIIIII", magic, version, 0, 24, *sizes) + self._types + self._strings


def write_kernel(machine: str = "x86_64", without: str = "", functions: tuple[str, ...] = ()) -> bytes:
    """Return the types that the recorder reads, and functions. without: name of a type or member that is left out."""
    writer = Writer()
    number = writer.add(1, "int", 4, tail=struct.pack("<I", 32))
    mode = writer.add_struct("seccomp", ("mode", number, 0), ("filter", number, 64))
    info = writer.add_struct("thread_info", ("flags", number, 0), ("status", number, 128))
    inner = writer.add_struct("", ("regs", number, 0), ("pstate", number, 2112))
    registers = writer.add_struct("", ("", inner, 0), kind=5)
    members = {
        "task_struct": [("thread_info", info, 0), ("pid", number, 960), ("seccomp", mode, 1600)],
        "pt_regs": [("bx", number, 320), ("ax", number, 640), ("di", number, 896), ("orig_ax", number, 960)]
        if machine == "x86_64"
        else [("", registers, 0), ("orig_x0", number, 2176), ("syscallno", number, 2240)],
        "kernfs_node": [("id", number, 768)],
        "cgroup": [("kn", number, 2048)],
    }
    for name, fields in members.items():
        writer.add_struct(name, *(field for field in fields if f"{name}.{field[0]}" != without))
    for name in ("btf_trace_sys_enter", "btf_trace_sys_exit", "btf_trace_cgroup_mkdir"):
        if name != without:
            writer.add(8, name, number)
    for name in functions:
        writer.add(12, name, number)
    return writer.write()
