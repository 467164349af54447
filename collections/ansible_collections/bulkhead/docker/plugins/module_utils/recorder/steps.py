# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that eBPF programs have in common, of the recorder and of the denial counters: access to maps, losses, and the end."""

from __future__ import annotations

from .assembler import FRAME, R0, R1, R2, R3, R4, Program

LOOK_UP, UPDATE = 1, 2  # numbers of helpers (include/uapi/linux/bpf.h)


def point(program: Program, register: int, place: int) -> None:
    program.copy(register, FRAME)
    program.compute("+", register, place)


def look_up(program: Program, name: str, key: int) -> None:
    """Add: r0 = address of the value of the key at this place of the stack, or 0."""
    program.load_map(R1, name)
    point(program, R2, key)
    program.call(LOOK_UP)


def update(program: Program, name: str, key: int, value: int, flags: int) -> None:
    program.load_map(R1, name)
    point(program, R2, key)
    point(program, R3, value)
    program.compute("=", R4, flags)
    program.call(UPDATE)


def count_loss(program: Program, index: int, place: int) -> None:
    """Add: count a loss at this index of map `lost`, which is stored at this place of the stack, and end."""
    program.store_constant(4, FRAME, place, index)
    look_up(program, "lost", place)
    program.jump_if(R0, "==", 0, "end")
    program.compute("=", R1, 1)
    program.add_atomically(R0, 0, R1)
    program.jump("end")


def end(program: Program) -> None:
    program.place("end")
    program.compute("=", R0, 0)
    program.exit()
