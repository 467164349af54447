# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder's eBPF programs and maps.

Every program runs for a task that has a seccomp filter, and for no other. `sys_enter` follows seccomp (kernel/entry/common.c; arm64:
arch/arm64/kernel/ptrace.c, syscall_trace_enter), so it sees what the filter allows. `sys_exit` also runs for a call that the filter
denied: an exit without an entry. The map `tasks` has one mark per thread for that.

Neither of them reads its context, so that both can be attached to a tracepoint or to a function (layout.find_functions). A program
at a function does not run while a task was interrupted in bpf(2) on this processor (kernel/trace/bpf_trace.c, trace_call_bpf), as
systemd at boot. So a second program at the tracepoint counts what the first one missed: the marks say what that one saw.
"""

from __future__ import annotations

import hashlib

from .assembler import FRAME, R0, R1, R2, R3, R6, R7, R8, R9, Program
from .bpf import ANY, IF_NEW
from .layout import ABIS, FUNCTIONS, HAS_ARGUMENT, LOST, NAME_SIZE, TRACEPOINTS, UNKNOWN_NUMBER, CallOffsets, list_maps
from .steps import count_loss, end, look_up, point, update

_HELPER_CGROUP, _HELPER_READ_TEXT, _HELPER_TASK, _HELPER_REGISTERS = 80, 115, 158, 175  # include/uapi/linux/bpf.h
_MODE_FILTER = 2  # SECCOMP_MODE_FILTER
_EEXIST, _MAX_ERRNO = 17, 4095
_TS_COMPAT, _X32_BIT = 0x2, 0x40000000  # arch/x86/include/asm/thread_info.h; arch/x86/include/uapi/asm/unistd.h
_MODE_32BIT = 0x10  # PSR_MODE32_BIT, arch/arm64/include/uapi/asm/ptrace.h
_LAST_NUMBER = 1023
_ARM_PRIVATE, _ARM_PRIVATE_COUNT = 0xF0000, 16  # __ARM_NR_BASE, arch/arm/include/uapi/asm/unistd.h
_NAMESPACES = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME (linux/sched.h)
_LAST_FAMILY = 63
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # that Docker's default profile allows (moby, profiles/seccomp/default_linux.go)
_OUTSIDE, _ENTERED, _EXITED = 0, 1, 2  # marks of a thread; the second program turns `exited` into `outside`
# Numbers of socket, clone and personality by ABI.
_WITH_ARGUMENT = {
    "x86_64": (41, 56, 135),
    "i386": (359, 120, 136),
    "x32": (41, 56, 135),
    "aarch64": (198, 220, 92),
    "arm": (281, 120, 136),
}
# Places on the stack: key of `calls` and `denied` (cgroup, call, argument or errno), thread, value of `tasks`, counter, index of `lost`, name.
_KEY, _THREAD, _TASK, _ONE, _INDEX, _NAME = -16, -24, -40, -48, -56, -320


def find_version(machine: str) -> str:
    """Return what identifies programs and maps of this version, whatever the kernel's offsets are."""
    nominal = CallOffsets(8, 16, 24, 32, 40, 48, 56, 64, 72, 80, ())
    maps = list_maps()
    built = [build_program(name, nominal, machine, second) for names, second in ((TRACEPOINTS, False), (FUNCTIONS, True)) for name in names]
    code = b"".join(program.assemble(dict.fromkeys(maps, 0)) for program in built)
    return hashlib.sha256(repr(sorted(maps.items())).encode() + code).hexdigest()[:12]


def build_program(tracepoint: str, offsets: CallOffsets, machine: str, second: bool = False) -> Program:
    """Return the program for a tracepoint. second: the one that runs after the program at the function (sys_enter and sys_exit)."""
    if tracepoint == "sys_enter":
        return _build_enter(offsets, machine, second)
    return _build_exit(offsets, machine, second) if tracepoint == "sys_exit" else _build_mkdir(offsets)


def _build_enter(offsets: CallOffsets, machine: str, second: bool) -> Program:
    program = Program()
    _start(program, offsets)
    _store_cgroup(program)
    look_up(program, "tasks", _THREAD)
    program.jump_if(R0, "==", 0, "new task")
    if second:
        program.load(4, R1, R0, 0)
        program.jump_if(R1, "==", _ENTERED, "end")
    program.store_constant(4, R0, 0, _ENTERED)
    program.load(8, R1, FRAME, _KEY)
    program.store(8, R0, 8, R1)  # it can have moved, or have the ID of a task that has ended
    program.jump("known task")
    program.place("new task")
    _insert_task(program, _ENTERED)
    program.place("known task")
    _read_number(program, offsets)
    _read_abi(program, offsets, machine)
    program.store_constant(4, FRAME, _KEY + 12, 0)
    _read_argument(program, offsets, machine)
    program.place("no argument")
    program.store(4, FRAME, _KEY + 8, R8)
    _count(program, "calls")
    end(program)
    return program


def _build_exit(offsets: CallOffsets, machine: str, second: bool) -> Program:
    program, mark = Program(), _OUTSIDE if second else _EXITED
    _start(program, offsets)
    look_up(program, "tasks", _THREAD)
    program.jump_if(R0, "!=", 0, "known task")
    # The task was in a call when the recorder was armed, or has just got its filter: this is the exit of seccomp(2) itself.
    _store_cgroup(program)
    _insert_task(program, mark)
    program.jump("end")
    program.place("known task")
    program.load(4, R1, R0, 0)
    program.store_constant(4, R0, 0, mark)
    if second:
        program.jump_if(R1, "!=", _OUTSIDE, "end")
    else:
        program.jump_if(R1, "==", _ENTERED, "end")
    _read_number(program, offsets)
    program.load(4, R2, R6, offsets.result)
    # A denied call has no such result, so this call's entry was missed. 0 is also the result of a clone's child and of seccomp(2).
    program.jump_if32(R2, "signed>=", 1, "entry was missed")
    program.jump_if32(R2, "==", 0, "end")
    program.jump_if32(R2, "signed<", -_MAX_ERRNO, "end")
    program.compute("neg", R2)
    program.store(4, FRAME, _KEY + 12, R2)
    _store_cgroup(program)
    _read_abi(program, offsets, machine)
    program.store(4, FRAME, _KEY + 8, R8)
    _count(program, "denied")
    program.place("entry was missed")
    _add_lost(program, "missed")
    end(program)
    return program


def _build_mkdir(offsets: CallOffsets) -> Program:
    program = Program()
    program.copy(R6, R1)
    program.load(8, R1, R6, 0)
    program.load(8, R1, R1, offsets.node)
    program.load(8, R1, R1, offsets.identifier)
    program.store(8, FRAME, _KEY, R1)
    point(program, R1, _NAME)
    program.compute("=", R2, NAME_SIZE)
    program.load(8, R3, R6, 8)
    program.call(_HELPER_READ_TEXT)
    program.jump_if32(R0, "signed<", 0, "end")
    update(program, "names", _KEY, _NAME, ANY)
    program.jump_if32(R0, "==", 0, "end")
    _add_lost(program, "names")
    end(program)
    return program


def _start(program: Program, offsets: CallOffsets) -> None:
    """Add: r7 = task; end for a task without a filter; store its thread ID on the stack."""
    program.call(_HELPER_TASK)
    program.copy(R7, R0)
    program.load(4, R1, R7, offsets.mode)
    program.jump_if(R1, "!=", _MODE_FILTER, "end")
    program.load(4, R1, R7, offsets.thread)
    program.store(4, FRAME, _THREAD, R1)


def _read_number(program: Program, offsets: CallOffsets) -> None:
    """Add: r6 = registers of the call; r8 = its number."""
    program.copy(R1, R7)
    program.call(_HELPER_REGISTERS)
    program.copy(R6, R0)
    program.load(4, R8, R6, offsets.number)


def _read_abi(program: Program, offsets: CallOffsets, machine: str) -> None:
    """Add: r9 = number of the ABI << 24; r8 = r9 | number of the call, which r8 has."""
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
        program.compute("=", R9, ABIS.index("aarch64") << 24)
        program.jump_if(R1, "&", _MODE_32BIT, "arm")
        program.jump("abi is known")
        program.place("arm")
        program.compute("=", R9, ABIS.index("arm") << 24)
        program.copy(R1, R8)
        program.compute32("-", R1, _ARM_PRIVATE)
        program.jump_if(R1, "<=", _ARM_PRIVATE_COUNT - 1, "number is known")
    program.place("abi is known")
    program.jump_if(R8, "<=", _LAST_NUMBER, "number is known")
    program.compute("=", R8, UNKNOWN_NUMBER)
    program.place("number is known")
    program.combine("|", R8, R9)


def _read_argument(program: Program, offsets: CallOffsets, machine: str) -> None:
    """Add: store the argument of socket, clone and personality in the key, and say so in r8. Continue at `no argument`."""
    native, compat = ("x86_64", "i386") if machine == "x86_64" else ("aarch64", "arm")
    program.jump_if(R9, "==", ABIS.index(compat) << 24, "32-bit call")
    program.load(4, R2, R6, offsets.argument)
    for abi in (native, "x32") if native == "x86_64" else (native,):
        _jump_by_call(program, abi)
    program.jump("no argument")
    program.place("32-bit call")
    program.load(4, R2, R6, offsets.argument_32bit)
    _jump_by_call(program, compat)
    program.jump("no argument")
    program.place("clone")
    program.compute32("&", R2, _NAMESPACES)
    program.jump("argument")
    program.place("personality")
    for value in _PERSONALITIES:
        program.jump_if32(R2, "==", value if value < 1 << 31 else value - (1 << 32), "argument")
    program.jump("no argument")
    program.place("socket")
    program.jump_if(R2, ">", _LAST_FAMILY, "no argument")
    program.place("argument")
    program.store(4, FRAME, _KEY + 12, R2)
    program.compute32("|", R8, -HAS_ARGUMENT)


def _jump_by_call(program: Program, abi: str) -> None:
    for number, label in zip(_WITH_ARGUMENT[abi], ("socket", "clone", "personality"), strict=True):
        program.jump_if(R8, "==", ABIS.index(abi) << 24 | number, label)


def _count(program: Program, name: str) -> None:
    """Add: count the key on the stack in a map, and continue at `end`."""
    look_up(program, name, _KEY)
    program.jump_if(R0, "!=", 0, "count")
    program.store_constant(8, FRAME, _ONE, 1)
    update(program, name, _KEY, _ONE, IF_NEW)
    program.jump_if32(R0, "==", 0, "end")
    program.jump_if32(R0, "!=", -_EEXIST, "counts are lost")
    look_up(program, name, _KEY)  # another processor was first
    program.jump_if(R0, "!=", 0, "count")
    program.place("counts are lost")
    _add_lost(program, name)
    program.place("count")
    program.compute("=", R1, 1)
    program.add_atomically(R0, 0, R1)
    program.jump("end")


def _store_cgroup(program: Program) -> None:
    """Add: store the task's cgroup in the key."""
    program.call(_HELPER_CGROUP)
    program.store(8, FRAME, _KEY, R0)


def _insert_task(program: Program, mark: int) -> None:
    """Add: insert the thread and the cgroup of the key into map `tasks`. End if that fails."""
    program.store_constant(8, FRAME, _TASK, mark)
    program.load(8, R1, FRAME, _KEY)
    program.store(8, FRAME, _TASK + 8, R1)
    update(program, "tasks", _THREAD, _TASK, ANY)
    program.jump_if32(R0, "==", 0, "inserted")
    _add_lost(program, "tasks")
    program.place("inserted")


def _add_lost(program: Program, name: str) -> None:
    """Add: count a loss of a map, and end."""
    count_loss(program, LOST.index(name), _INDEX)
