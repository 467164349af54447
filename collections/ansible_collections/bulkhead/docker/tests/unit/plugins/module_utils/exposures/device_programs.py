# SPDX-License-Identifier: GPL-3.0-or-later
"""Assembles the device programs of runc, crun and systemd, from their rules. Only for tests."""

from __future__ import annotations

import struct

TYPES, ACCESS = {"b": 1, "c": 2}, {"m": 1, "r": 2, "w": 4}
Rule = tuple[str, int, int, str]  # type, major, minor (-1 for all) and access
# What runc allows every container (libcontainer/specconv/spec_linux.go, AllowedDevices), and moby's oci/defaults.go.
DEFAULT: tuple[Rule, ...] = (
    *((kind, -1, -1, "m") for kind in "bc"),
    *(
        ("c", major, minor, "rwm")
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 200), (136, -1))
    ),
)


def assemble(opcode: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Return one struct bpf_insn."""
    return struct.pack("<BBhI", opcode, target | source << 4, offset, value & 0xFFFFFFFF)


def load_device() -> bytes:
    """Return the first instructions of all three: type in R2, access in R3, major in R4, minor in R5."""
    return b"".join(
        (
            assemble(0x61, 2, 1),
            assemble(0x54, 2, value=0xFFFF),
            assemble(0x61, 3, 1),
            assemble(0x74, 3, value=16),
            assemble(0x61, 4, 1, 4),
            assemble(0x61, 5, 1, 8),
        )
    )


def _sum_access(access: str) -> int:
    return sum(ACCESS[letter] for letter in access)


def build_runc(rules: tuple[Rule, ...], allow: bool = True, move: int = 0xB4) -> bytes:
    """Return runc's program (opencontainers/cgroups devices/devicefilter.go). crun's (src/libcrun/ebpf.c) differs in the opcode of `move`."""
    program = load_device()
    for kind, major, minor, access in rules:
        block = [lambda left, kind=kind: assemble(0x55, 2, offset=left, value=TYPES[kind])]
        if access != "rwm":
            block.append(lambda left: assemble(0xBC, 1, 3))
            block.append(lambda left, access=access: assemble(0x54, 1, value=_sum_access(access)))
            block.append(lambda left: assemble(0x5D, 1, 3, left))
        if major >= 0:
            block.append(lambda left, major=major: assemble(0x55, 4, offset=left, value=major))
        if minor >= 0:
            block.append(lambda left, minor=minor: assemble(0x55, 5, offset=left, value=minor))
        program += b"".join(build(len(block) - number + 1) for number, build in enumerate(block))
        program += assemble(move, value=int(allow)) + assemble(0x95)
    return program + assemble(move, value=int(not allow)) + assemble(0x95)


def build_crun(rules: tuple[Rule, ...]) -> bytes:
    """Return crun's program (src/libcrun/ebpf.c)."""
    return build_runc(rules, move=0xB7)


def build_systemd(rules: tuple[Rule, ...]) -> bytes:
    """Return systemd's program (src/core/bpf-devices.c): each rule jumps to the end, which allows."""
    blocks = []
    for kind, major, minor, access in rules:
        numbers = [(2, TYPES[kind]), *([(4, major)] if major >= 0 else []), *([(5, minor)] if minor >= 0 else [])]
        block = b""
        if access != "rwm":
            block = assemble(0xBC, 1, 3) + assemble(0x54, 1, value=_sum_access(access)) + assemble(0x5D, 1, 3, len(numbers) + 1)
        for at, (register, value) in enumerate(numbers):
            block += assemble(0x55, register, offset=len(numbers) - at, value=value)
        blocks.append(block)
    program = load_device()
    total = len(program) // 8 + sum(len(block) // 8 + 1 for block in blocks) + 4
    for block in blocks:
        program += block
        program += assemble(0x05, offset=total - 2 - len(program) // 8 - 1)
    return program + assemble(0xB7, value=0) + assemble(0x05, offset=1) + assemble(0xB7, value=1) + assemble(0x95)


ALLOW_ALL = assemble(0xB4, value=1) + assemble(0x95)
