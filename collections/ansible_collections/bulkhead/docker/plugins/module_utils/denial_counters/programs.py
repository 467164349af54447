# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF programs that count denied calls of containers.

A program at the exit of system calls counts results that mean "denied". Programs at the return of the functions that deny leave a mark
with the cause for it. The program at the return of seccomp's filter (`__secure_computing`, kernel/seccomp.c) counts itself, because a
filter can answer with any error number.

A call that succeeds costs a comparison of its result, of any task. The map `containers` is read only after an error that means "denied".
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

from ..recorder.assembler import FRAME, R0, R1, R2, R3, R6, R7, R8, R9, Program
from ..recorder.bpf import ANY
from ..recorder.layout import ABIS
from ..recorder.steps import end, look_up, point, update
from . import layout, program_rights
from .layout import NAME_SIZE, DenialOffsets, list_maps
from .sequences import (
    BUFFER,
    DELETE,
    GROUP,
    KEY,
    MARK,
    NAME,
    READ,
    READ_TEXT,
    TASK,
    THREAD,
    add_lost,
    count,
    load_task,
    mark_call,
    read_call,
    start_return,
    store_container,
    store_mark,
    store_thread,
)

_EPERM, _EAGAIN, _EACCES, _EROFS, _ENOSYS, _MAX_ERRNO = 1, 11, 13, 30, 38, 4095
_DENIED = (_EPERM, _EACCES, _EROFS, _ENOSYS, _EAGAIN)
_NO_AUDIT = 0x2  # CAP_OPT_NOAUDIT, include/linux/security.h: the kernel only asks
_FILE_SYSTEMS = (0x9FA0, 0x62656572)  # PROC_SUPER_MAGIC, SYSFS_MAGIC (include/uapi/linux/magic.h)
_IN_NAMESPACE, _IS_ROOT = 1, 2
_FULL_ID, _SCOPE = 64 + 1, len("docker-") + 64 + len(".scope") + 1  # lengths of a container's cgroup name, with the end of the string
# Calls that start a task, by ABI: clone, fork, vfork, clone3. Their EAGAIN is a limit of tasks.
_STARTS = {
    "x86_64": (56, 57, 58, 435),
    "i386": (120, 2, 190, 435),
    "x32": (56, 57, 58, 435),
    "aarch64": (220, 435),
    "arm": (120, 2, 190, 435),
}


def build_empty() -> Program:
    """Return a program that does nothing. Attached to a tracepoint, it makes the kernel call the function for it."""
    program = Program()
    end(program)
    return program


def find_version(machine: str) -> str:
    """Return what identifies programs and maps of this version, whatever the kernel's offsets are."""
    names = (
        layout.FILTER,
        layout.CAPABLE,
        layout.PROGRAM_RIGHTS,
        layout.FILE_CAPABILITIES,
        layout.MOUNT_FUNCTIONS[0],
        *layout.SIMPLE_CAUSES,
    )
    nominal = _build_nominal_offsets()
    maps = list_maps()
    code = b"".join(build_counter(name, nominal, machine).assemble(dict.fromkeys(maps, 0)) for name in (*layout.TRACEPOINTS, *names))
    return hashlib.sha256(repr((sorted(maps.items()), names)).encode() + code).hexdigest()[:12]


def _build_nominal_offsets() -> DenialOffsets:
    """Return offsets of no kernel, which differ from each other."""
    special: dict[str, Any] = {"id_map": (0, 0), "tracepoints": (), "functions": ()}
    return DenialOffsets(**{field.name: special.get(field.name, 8 * place) for place, field in enumerate(fields(DenialOffsets), 1)})


def build_counter(place: str, offsets: DenialOffsets, machine: str) -> Program:
    """Return the program for a tracepoint, or for the return of a function."""
    match place:
        case "sys_exit":
            return _build_exit(offsets, machine)
        case "cgroup_mkdir":
            return _build_mkdir(offsets)
        case "cgroup_rmdir":
            return _build_rmdir(offsets)
        case layout.FILTER:
            return _build_filter(offsets, machine)
        case layout.CAPABLE:
            return _build_capable(offsets, machine)
        case layout.PROGRAM_RIGHTS:
            return program_rights.build_program_rights(offsets, machine)
        case layout.FILE_CAPABILITIES:
            return program_rights.build_file_capabilities(offsets)
        case _ if place in layout.MOUNT_FUNCTIONS:
            return _build_mount(offsets, machine)
    return _build_simple(layout.SIMPLE_CAUSES[place], offsets, machine)


def _build_exit(offsets: DenialOffsets, machine: str) -> Program:
    program = Program()
    program.load(8, R9, R1, offsets.returned)
    program.jump_if32(R9, "signed>=", 0, "end")
    for number in _DENIED:
        program.jump_if32(R9, "==", -number, "denied")
    program.jump("end")
    program.place("denied")
    load_task(program)
    program.load(4, R1, R6, offsets.number)
    program.jump_if32(R1, "==", -1, "end")  # rt_sigreturn restores the result of another call
    store_container(program)
    read_call(program, offsets, machine)
    program.store(4, FRAME, KEY + 8, R8)
    program.load(4, R9, R6, offsets.result)  # reading the ABI used the register
    program.jump_if32(R9, "!=", -_EAGAIN, "counted call")
    for abi, numbers in _STARTS.items():
        if (abi in ("aarch64", "arm")) == (machine == "aarch64"):
            for number in numbers:
                program.jump_if(R8, "==", ABIS.index(abi) << 24 | number, "counted call")
    program.jump("end")
    program.place("counted call")
    program.compute32("neg", R9)
    store_thread(program)
    look_up(program, "marks", THREAD)
    program.compute("=", R7, layout.NO_CAPABILITY << 24)
    program.jump_if(R0, "==", 0, "without a mark")
    program.load(4, R1, R0, 0)
    program.load(4, R7, R0, 4)
    program.store(4, FRAME, MARK, R1)
    program.load_map(R1, "marks")
    point(program, R2, THREAD)
    program.call(DELETE)
    program.load(4, R1, FRAME, MARK)
    program.load(4, R2, FRAME, KEY + 8)
    program.combine("^", R1, R2)
    program.jump_if(R1, "==", 0, "marked")
    program.compute("=", R7, layout.NO_CAPABILITY << 24)  # of an earlier call that succeeded in spite of it
    program.jump("without a mark")
    program.place("marked")
    program.copy(R1, R7)
    program.compute("&", R1, 0xFF0000)
    program.jump_if(R1, "==", layout.SECCOMP << 16, "end")  # counted at the filter
    program.place("without a mark")
    program.jump_if32(R9, "==", _ENOSYS, "end")  # a call that this kernel does not have
    program.combine("|", R7, R9)
    program.store(4, FRAME, KEY + 12, R7)
    _add_identity(program, offsets)
    count(program)
    end(program)
    return program


def _add_identity(program: Program, offsets: DenialOffsets) -> None:
    """Add: say in the key whether the task is in a user namespace, and whether it is its root. Bits 12 and 13 of cause and errno."""
    program.call(TASK)
    program.load(8, R6, R0, offsets.credentials)
    program.load(4, R8, R6, offsets.user)
    program.load(8, R6, R6, offsets.namespace)
    program.compute("=", R9, 0)
    program.load(4, R1, R6, offsets.level)
    program.jump_if32(R1, "==", 0, "in the first namespace")
    program.compute("|", R9, _IN_NAMESPACE << 12)
    program.place("in the first namespace")
    program.load(4, R1, R6, offsets.users)  # first user of the first range, and the host's user for it
    program.load(4, R2, R6, offsets.users + 4)
    program.jump_if32(R1, "!=", 0, "not the root")
    program.combine("^", R2, R8)
    program.jump_if(R2, "!=", 0, "not the root")
    program.compute("|", R9, _IS_ROOT << 12)
    program.place("not the root")
    program.load(4, R1, FRAME, KEY + 12)
    program.combine("|", R1, R9)
    program.store(4, FRAME, KEY + 12, R1)


def _build_filter(offsets: DenialOffsets, machine: str) -> Program:
    program = Program()
    start_return(program)
    program.jump_if32(R1, "==", 0, "end")
    load_task(program)
    store_container(program)
    read_call(program, offsets, machine)
    program.store(4, FRAME, KEY + 8, R8)
    program.load(4, R9, R6, offsets.result)
    program.jump_if32(R9, "signed>=", 0, "end")  # a supervisor's answer, or a signal (man 2 seccomp: RET_TRAP)
    program.jump_if32(R9, "signed<", -_MAX_ERRNO, "end")
    program.compute32("neg", R9)
    program.compute("|", R9, layout.SECCOMP << 16 | layout.NO_CAPABILITY << 24)
    program.store(4, FRAME, KEY + 12, R9)
    program.compute32("&", R9, _MAX_ERRNO)
    for number in _DENIED:
        program.jump_if32(R9, "==", number, "seen at the exit")
    program.jump("no mark")
    program.place("seen at the exit")
    program.store(4, FRAME, MARK, R8)
    program.store_constant(4, FRAME, MARK + 4, layout.SECCOMP << 16)
    store_mark(program)
    program.place("no mark")
    count(program)
    end(program)
    return program


def _build_capable(offsets: DenialOffsets, machine: str) -> Program:
    """Return the program for cap_capable(credentials, namespace, capability, options)."""
    program = Program()
    start_return(program)
    program.jump_if32(R1, "==", 0, "end")
    program.load(8, R1, R6, 24)
    program.jump_if(R1, "&", _NO_AUDIT, "end")
    program.load(8, R9, R6, 0)
    program.load(8, R8, R6, 16)
    program.compute("&", R8, 0x3F)
    program.copy(R6, R9)
    store_container(program)
    for name, offset in (("effective", offsets.effective), ("bounding", offsets.bounding)):
        point(program, R1, BUFFER)
        program.compute("=", R2, 8)
        program.copy(R3, R6)
        program.compute("+", R3, offset)
        program.call(READ)
        program.load(8, R1, FRAME, BUFFER)
        program.combine(">>", R1, R8)
        program.compute("&", R1, 1)
        # It has the capability, but not towards this namespace. Or it could have it, as another user.
        program.compute("=", R9, (layout.USERNS if name == "effective" else layout.NON_ROOT_USER) << 16)
        program.jump_if(R1, "==", 1, "cause is known")
    program.compute("=", R9, layout.CAPABILITIES << 16)
    program.place("cause is known")
    program.compute("<<", R8, 24)
    program.combine("|", R9, R8)
    program.store(4, FRAME, MARK + 4, R9)
    mark_call(program, offsets, machine)
    end(program)
    return program


def _build_mount(offsets: DenialOffsets, machine: str) -> Program:
    """Return the program for mnt_get_write_access(mount)."""
    program = Program()
    start_return(program)
    program.jump_if32(R1, "==", 0, "end")
    program.load(8, R6, R6, 0)
    store_container(program)
    program.load(8, R1, R6, offsets.superblock)
    program.load(8, R1, R1, offsets.magic)
    program.compute("=", R9, layout.MASKED_PATHS << 16)
    for magic in _FILE_SYSTEMS:
        program.jump_if(R1, "==", magic, "cause is known")
    program.compute("=", R9, layout.READ_ONLY_ROOT << 16)
    program.place("cause is known")
    program.compute("|", R9, layout.NO_CAPABILITY << 24)
    program.store(4, FRAME, MARK + 4, R9)
    mark_call(program, offsets, machine)
    end(program)
    return program


def _build_simple(cause: int, offsets: DenialOffsets, machine: str) -> Program:
    program = Program()
    start_return(program)
    program.jump_if32(R1, "==", 0, "end")
    store_container(program)
    program.store_constant(4, FRAME, MARK + 4, cause << 16 | layout.NO_CAPABILITY << 24)
    mark_call(program, offsets, machine)
    end(program)
    return program


def _build_mkdir(offsets: DenialOffsets) -> Program:
    program = Program()
    program.load(8, R7, R1, 8)
    program.load(8, R6, R1, 0)
    program.load(8, R9, R6, offsets.node)
    program.load(8, R1, R9, offsets.identifier)
    program.store(8, FRAME, GROUP, R1)
    # Control groups below a container's belong to it, whatever their names are.
    program.load(8, R1, R6, offsets.parent)
    program.load(8, R1, R1, offsets.group)
    program.load(8, R1, R1, offsets.node)
    program.load(8, R1, R1, offsets.identifier)
    program.store(8, FRAME, KEY, R1)
    look_up(program, "containers", KEY)
    program.jump_if(R0, "==", 0, "not below a container")
    program.load(8, R1, R0, 0)
    program.store(8, FRAME, KEY, R1)
    program.jump("insert")
    program.place("not below a container")
    _read_text(program, offsets.name)
    program.jump_if32(R0, "==", _FULL_ID, "container")
    program.jump_if32(R0, "!=", _SCOPE, "end")
    program.load(4, R1, FRAME, NAME)
    program.jump_if32(R1, "!=", int.from_bytes(b"dock", "little"), "end")
    program.load(4, R1, FRAME, NAME + 4)
    program.compute32("&", R1, 0xFFFFFF)
    program.jump_if32(R1, "!=", int.from_bytes(b"er-", "little"), "end")
    program.place("container")
    program.load(8, R1, FRAME, GROUP)
    program.store(8, FRAME, KEY, R1)
    program.copy(R3, R7)
    point(program, R1, NAME)
    program.compute("=", R2, NAME_SIZE)
    program.call(READ_TEXT)
    program.jump_if32(R0, "signed<", 0, "end")
    update(program, "names", GROUP, NAME, ANY)
    program.place("insert")
    update(program, "containers", GROUP, KEY, ANY)
    program.jump_if32(R0, "==", 0, "end")
    add_lost(program, "containers")
    end(program)
    return program


def _read_text(program: Program, offset: int) -> None:
    """Add: the name on the stack = the text to which the pointer at this offset of r9 leads; r0 = its length with the end."""
    point(program, R1, NAME)
    program.compute("=", R2, NAME_SIZE)
    program.load(8, R3, R9, offset)
    program.call(READ_TEXT)


def _build_rmdir(offsets: DenialOffsets) -> Program:
    program = Program()
    program.load(8, R1, R1, 0)
    program.load(8, R1, R1, offsets.node)
    program.load(8, R1, R1, offsets.identifier)
    program.store(8, FRAME, GROUP, R1)
    program.load_map(R1, "containers")
    point(program, R2, GROUP)
    program.call(DELETE)
    end(program)
    return program
