# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences of instructions that several programs have."""

from __future__ import annotations

from ..recorder.assembler import FRAME, R0, R1, R2, R6, R7, R8, R9, Program
from ..recorder.bpf import ANY, IF_NEW
from ..recorder.layout import ABIS, UNKNOWN_NUMBER
from ..recorder.steps import count_loss, look_up, point, update
from .layout import COMM_SIZE, LOST, NAME_SIZE, DenialOffsets

# Numbers of helpers (include/uapi/linux/bpf.h).
DELETE = 3
THREAD_ID, COMM, CGROUP, READ, READ_TEXT, BOOT_TIME, TASK, REGISTERS, RETURN_VALUE = 14, 16, 80, 113, 115, 125, 158, 175, 184
_EEXIST = 17
_TS_COMPAT, _X32_BIT = 0x2, 0x40000000  # arch/x86/include/asm/thread_info.h; arch/x86/include/uapi/asm/unistd.h
_MODE_32BIT = 0x10  # PSR_MODE32_BIT, arch/arm64/include/uapi/asm/ptrace.h
_LAST_NUMBER = 1023
# Places on the stack: key of `denials` (cgroup, call, cause with errno), thread, mark (call, cause), value of `denials` (count, first, last),
# cgroup of the task, index of `lost`, result of a function, what was read, key of `recent` (cgroup, name of the process), name.
KEY, THREAD, MARK, VALUE, GROUP, INDEX, RESULT, BUFFER, RECENT, NAME = -16, -24, -32, -56, -64, -72, -80, -88, -112, -112 - NAME_SIZE


def start_return(program: Program) -> None:
    """Add: r6 = context; r1 = what the function returned."""
    program.copy(R6, R1)
    point(program, R2, RESULT)
    program.call(RETURN_VALUE)
    program.load(8, R1, FRAME, RESULT)


def store_container(program: Program) -> None:
    """Add: store the container's cgroup in the key; end for a task outside of containers."""
    program.call(CGROUP)
    program.store(8, FRAME, GROUP, R0)
    look_up(program, "containers", GROUP)
    program.jump_if(R0, "==", 0, "end")
    program.load(8, R1, R0, 0)
    program.store(8, FRAME, KEY, R1)


def store_thread(program: Program) -> None:
    program.call(THREAD_ID)
    program.store(8, FRAME, THREAD, R0)


def load_task(program: Program) -> None:
    """Add: r7 = the task, r6 = its registers."""
    program.call(TASK)
    program.copy(R7, R0)
    program.copy(R1, R0)
    program.call(REGISTERS)
    program.copy(R6, R0)


def mark_call(program: Program, offsets: DenialOffsets, machine: str) -> None:
    """Add: store the mark for the present call of the task; its cause is on the stack."""
    load_task(program)
    read_call(program, offsets, machine)
    program.store(4, FRAME, MARK, R8)
    store_mark(program)


def store_mark(program: Program) -> None:
    store_thread(program)
    update(program, "marks", THREAD, MARK, ANY)


def read_call(program: Program, offsets: DenialOffsets, machine: str) -> None:
    """Add: r8 = number of the ABI << 24 | number of the call. r6: registers, r7: task. Uses r9."""
    program.load(4, R8, R6, offsets.number)
    if machine == "x86_64":
        # A 64-bit program can make a 32-bit call (int 0x80), so the kernel marks the call and not the program.
        program.load(4, R1, R7, offsets.status)
        program.compute("=", R9, ABIS.index("i386") << 24)
        program.jump_if(R1, "&", _TS_COMPAT, "abi is known")
        program.compute("=", R9, ABIS.index("x86_64") << 24)
        program.jump_if(R8, "&", _X32_BIT, "x32")
        program.jump("abi is known")
        program.place("x32")
        program.compute("^", R8, _X32_BIT)
        program.compute("=", R9, ABIS.index("x32") << 24)
    else:
        program.load(4, R1, R6, offsets.state)
        program.compute("=", R9, ABIS.index("arm") << 24)
        program.jump_if(R1, "&", _MODE_32BIT, "abi is known")
        program.compute("=", R9, ABIS.index("aarch64") << 24)
    program.place("abi is known")
    program.jump_if(R8, "<=", _LAST_NUMBER, "number is known")
    program.compute("=", R8, UNKNOWN_NUMBER)
    program.place("number is known")
    program.combine("|", R8, R9)


def count(program: Program) -> None:
    """Add: count the key on the stack, with the time of the first and the last one, and continue at `end`."""
    program.load(8, R1, FRAME, KEY)
    program.store(8, FRAME, RECENT, R1)
    point(program, R1, RECENT + 8)
    program.compute("=", R2, COMM_SIZE)
    program.call(COMM)
    update(program, "recent", RECENT, KEY + 8, ANY)
    program.call(BOOT_TIME)
    program.copy(R6, R0)
    look_up(program, "denials", KEY)
    program.jump_if(R0, "!=", 0, "count")
    program.store_constant(8, FRAME, VALUE, 1)
    program.store(8, FRAME, VALUE + 8, R6)
    program.store(8, FRAME, VALUE + 16, R6)
    update(program, "denials", KEY, VALUE, IF_NEW)
    program.jump_if32(R0, "==", 0, "end")
    program.jump_if32(R0, "!=", -_EEXIST, "denials are lost")
    look_up(program, "denials", KEY)  # another processor was first
    program.jump_if(R0, "!=", 0, "count")
    program.place("denials are lost")
    add_lost(program, "denials")
    program.place("count")
    program.compute("=", R1, 1)
    program.add_atomically(R0, 0, R1)
    program.store(8, R0, 16, R6)
    program.jump("end")


def add_lost(program: Program, name: str) -> None:
    """Add: count a loss of a map, and end."""
    count_loss(program, LOST.index(name), INDEX)
