# SPDX-License-Identifier: GPL-3.0-or-later
"""Assembles eBPF programs: instructions as data, jumps by label, maps by name.

Sources: Documentation/bpf/standardization/instruction-set.rst, include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME = range(11)  # FRAME is r10, read-only; the stack is below it
BYTES = {2: 0x08, 4: 0x00, 8: 0x18}  # BPF_H, BPF_W, BPF_DW: size of a memory access in bytes
_LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = 0x61, 0x62, 0x63, 0x04, 0x05, 0x06, 0x07
_REGISTER, _ATOMIC, _LOAD_MAP, _MAP_DESCRIPTOR = 0x08, 0xC0, 0x18, 1  # BPF_X, BPF_ATOMIC, BPF_LD | BPF_IMM | BPF_DW, BPF_PSEUDO_MAP_FD
_OPERATIONS = {"+": 0x00, "-": 0x10, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "neg": 0x80, "^": 0xA0, "=": 0xB0}
_CONDITIONS = {"always": 0x00, "==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "signed>=": 0x70, "<=": 0xB0, "signed<": 0xC0}
_CALL, _EXIT = 0x85, 0x95


class Instruction(NamedTuple):
    """One instruction (struct bpf_insn). label: where it jumps to. map: whose descriptor it loads; such an instruction takes two places."""

    code: int
    target: int = 0
    source: int = 0
    offset: int = 0
    constant: int = 0
    label: str = ""
    map: str = ""


class Program:
    """A program that is written instruction by instruction."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._places = 0

    def _add(self, code: int, target: int = 0, source: int = 0, offset: int = 0, constant: int = 0, label: str = "") -> None:
        self.instructions.append(Instruction(code, target, source, offset, constant, label))
        self._places += 1

    def load(self, size: int, target: int, source: int, offset: int) -> None:
        """Add: target = the memory at source + offset."""
        self._add(_LDX | BYTES[size], target, source, offset)

    def store(self, size: int, target: int, offset: int, source: int) -> None:
        """Add: the memory at target + offset = source."""
        self._add(_STX | BYTES[size], target, source, offset)

    def store_constant(self, size: int, target: int, offset: int, constant: int) -> None:
        """Add: the memory at target + offset = constant."""
        self._add(_ST | BYTES[size], target, 0, offset, constant)

    def add_atomically(self, target: int, offset: int, source: int) -> None:
        """Add: the 8 bytes at target + offset += source, also while other processors do the same."""
        self._add(_ATOMIC | 0x03 | BYTES[8], target, source, offset)

    def copy(self, target: int, source: int) -> None:
        """Add: target = source."""
        self._add(_ALU64 | _REGISTER | _OPERATIONS["="], target, source)

    def combine(self, operation: str, target: int, source: int) -> None:
        """Add: target = target OPERATION source, in 64 bits."""
        self._add(_ALU64 | _REGISTER | _OPERATIONS[operation], target, source)

    def compute(self, operation: str, target: int, constant: int = 0) -> None:
        """Add: target = target OPERATION constant, in 64 bits; the constant is signed and has 32 bits."""
        self._add(_ALU64 | _OPERATIONS[operation], target, 0, 0, constant)

    def compute32(self, operation: str, target: int, constant: int = 0) -> None:
        """Add: target = target OPERATION constant, in 32 bits; the upper half becomes 0."""
        self._add(_ALU | _OPERATIONS[operation], target, 0, 0, constant)

    def jump(self, label: str) -> None:
        """Add: continue at label."""
        self._add(_JMP, label=label)

    def jump_if(self, target: int, condition: str, constant: int, label: str) -> None:
        """Add: continue at label if target CONDITION constant, in 64 bits; `&` is a test of bits."""
        self._add(_JMP | _CONDITIONS[condition], target, 0, 0, constant, label=label)

    def jump_if32(self, target: int, condition: str, constant: int, label: str) -> None:
        """Add: the same with the lower 32 bits of target."""
        self._add(_JMP32 | _CONDITIONS[condition], target, 0, 0, constant, label=label)

    def load_map(self, target: int, name: str) -> None:
        """Add: target = the map with this name."""
        self.instructions.append(Instruction(_LOAD_MAP, target, _MAP_DESCRIPTOR, map=name))
        self._places += 2

    def call(self, helper: int) -> None:
        """Add: r0 = helper(r1, …, r5). The registers r1 to r5 have no value afterwards."""
        self._add(_CALL, 0, 0, 0, helper)

    def exit(self) -> None:
        """Add: return r0."""
        self._add(_EXIT)

    def place(self, label: str) -> None:
        """Give the next instruction a label."""
        if label in self._labels:
            raise ValueError(f"label {label!r} is placed twice")
        self._labels[label] = self._places

    def assemble(self, maps: Mapping[str, int]) -> bytes:
        """Return the program's bytes. maps: descriptor of each map by name. Raises ValueError for a label that is not placed further down."""
        raw, place = b"", 0
        for instruction in self.instructions:
            place += 2 if instruction.map else 1
            offset, constant = instruction.offset, instruction.constant
            if instruction.label:
                offset = self._labels.get(instruction.label, -1) - place
                if offset < 0:
                    raise ValueError(f"label {instruction.label!r} is not placed after its jump")
            if instruction.map:
                constant = maps[instruction.map]
            raw += struct.pack("<BBhi", instruction.code, instruction.source << 4 | instruction.target, offset, constant)
            raw += bytes(8) if instruction.map else b""
        return raw
