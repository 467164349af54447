# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF programs that count what the kernel ignores in a program that is executed under no-new-privileges.

The kernel executes it without the rights of its file, and returns no error. So the rights that the task would have gained are computed, as
the kernel does without no-new-privileges (fs/exec.c, bprm_fill_uid; security/commoncap.c, bprm_caps_from_vfs_caps).
"""

from __future__ import annotations

from ..recorder.assembler import FRAME, R0, R1, R2, R3, R6, R7, R8, R9, Program
from ..recorder.bpf import ANY
from ..recorder.steps import end, look_up, point, update
from . import layout
from .layout import DenialOffsets
from .sequences import BUFFER, KEY, NAME, READ, TASK, THREAD, count, load_task, read_call, start_return, store_container, store_thread

_UNSAFE = 0x4  # LSM_UNSAFE_NO_NEW_PRIVS, include/linux/security.h
_FLAG = 0x1  # 1 << PFA_NO_NEW_PRIVS, include/linux/sched.h
_NO_SETUID_MOUNT = 0x1  # MNT_NOSUID, include/linux/mount.h
_SETUID, _SETGID = 0o4000, 0o2010  # S_ISUID; S_ISGID with S_IXGRP
_RANGES, _RANGE_SIZE = 5, 12  # UID_GID_MAP_MAX_BASE_EXTENTS, struct uid_gid_extent: first, lower_first, count
# Places on the stack: owner and group of the file, its mode, its directory entry, the ranges of a user namespace.
_OWNER, _GROUP, _MODE, _ENTRY, _MAP = NAME + 248, NAME + 240, NAME + 232, NAME + 224, NAME


def build_program_rights(offsets: DenialOffsets, machine: str) -> Program:
    """Return the program for cap_bprm_creds_from_file(binprm, file)."""
    program = Program()
    start_return(program)
    program.jump_if32(R1, "!=", 0, "end")
    program.load(8, R7, R6, 0)
    program.load(4, R1, R7, offsets.unsafe)
    program.jump_if(R1, "&", _UNSAFE, "no new privileges")
    program.jump("end")
    program.place("no new privileges")
    program.load(8, R9, R6, 8)
    store_container(program)
    program.load(8, R8, R9, offsets.mount)
    program.load(4, R1, R8, offsets.mount_flags)
    program.jump_if(R1, "&", _NO_SETUID_MOUNT, "end")
    _read(program, R9, offsets.entry, 8, _ENTRY)
    program.load(8, R7, R9, offsets.inode)
    for size, place, offset in ((2, _MODE, offsets.mode), (4, _OWNER, offsets.owner), (4, _GROUP, offsets.owning_group)):
        program.load(size, R1, R7, offset)
        program.store(4, FRAME, place, R1)
    load_task(program)
    _end_at_other_users(program, offsets)
    read_call(program, offsets, machine)
    program.store(4, FRAME, KEY + 8, R8)
    program.load(8, R6, R7, offsets.credentials)
    for place, members in ((_OWNER, offsets.users), (_GROUP, offsets.groups)):
        program.load(8, R9, R6, offsets.namespace)
        _jump_unless_mapped(program, place, members, "file capabilities")
    program.load(4, R7, FRAME, _MODE)
    for what, bits, place, member in (("setuid", _SETUID, _OWNER, offsets.user), ("setgid", _SETGID, _GROUP, offsets.group_id)):
        program.copy(R1, R7)
        program.compute("&", R1, bits)
        program.jump_if(R1, "!=", bits, f"no {what}")
        program.load(4, R1, FRAME, place)
        program.load(4, R2, R6, member)
        program.compute("=", R9, layout.IGNORED.index(what))
        program.combine("^", R1, R2)
        program.jump_if(R1, "!=", 0, "ignored")
        program.place(f"no {what}")
    program.place("file capabilities")
    store_thread(program)
    look_up(program, "files", THREAD)
    program.jump_if(R0, "==", 0, "end")
    program.load(8, R1, R0, 0)
    program.load(8, R2, FRAME, _ENTRY)
    program.combine("^", R1, R2)
    program.jump_if(R1, "!=", 0, "end")
    program.compute("=", R9, layout.IGNORED.index("file capabilities"))
    program.place("ignored")
    program.compute("<<", R9, 14)
    program.compute("|", R9, layout.NO_NEW_PRIVILEGES << 16 | layout.NO_CAPABILITY << 24)
    program.store(4, FRAME, KEY + 12, R9)
    count(program)
    end(program)
    return program


def _end_at_other_users(program: Program, offsets: DenialOffsets) -> None:
    """Add: end if the mount in r8 maps users to others, because the file's owner is another one then."""
    *pointers, last = offsets.id_map
    for size, offset in (*((8, pointer) for pointer in pointers), (4, last)):
        _read(program, R8, offset, size, BUFFER)
        program.load(size, R8, FRAME, BUFFER)
    program.jump_if(R8, "!=", 0, "end")


def _jump_unless_mapped(program: Program, place: int, members: int, label: str) -> None:
    """Add: jump to the label unless the user at this place is in a range of the namespace in r9. The kernel ignores an unmapped owner anyway.

    A namespace with more than 5 ranges has them elsewhere, so none is found.
    """
    _read(program, R9, members, _RANGES * _RANGE_SIZE, _MAP)
    found = f"mapped {place}"
    for number in range(_RANGES):
        program.load(4, R1, FRAME, place)
        program.load(4, R2, FRAME, _MAP + number * _RANGE_SIZE + 4)
        program.combine("-", R1, R2)
        program.jump_if(R1, "signed<", 0, f"next {place} {number}")
        program.load(4, R2, FRAME, _MAP + number * _RANGE_SIZE + 8)
        program.combine("-", R1, R2)
        program.jump_if(R1, "signed<", 0, found)
        program.place(f"next {place} {number}")
    program.jump(label)
    program.place(found)


def _read(program: Program, base: int, offset: int, size: int, place: int) -> None:
    """Add: copy memory of the kernel, at this offset of a register, to the stack."""
    program.copy(R3, base)
    program.compute("+", R3, offset)
    point(program, R1, place)
    program.compute("=", R2, size)
    program.call(READ)


def build_file_capabilities(offsets: DenialOffsets) -> Program:
    """Return the program for get_vfs_caps_from_disk(map, entry, capabilities).

    The kernel also calls it for messages of its audit. So this notes the file, and the program above counts it if the file is executed.
    """
    program = Program()
    start_return(program)
    program.jump_if32(R1, "!=", 0, "end")
    program.call(TASK)
    program.copy(R7, R0)
    program.load(8, R1, R7, offsets.flags)
    program.jump_if(R1, "&", _FLAG, "no new privileges")
    program.jump("end")
    program.place("no new privileges")
    store_container(program)
    program.load(8, R8, R6, 16)
    program.load(8, R9, R7, offsets.credentials)
    # Bounding set & permitted ones of the file | inheritable ones of both, without those that the task has.
    for base, offset, place in (
        (R8, offsets.file_permitted, _OWNER),
        (R8, offsets.file_inheritable, _GROUP),
        (R9, offsets.bounding, _MODE),
        (R9, offsets.inheritable, _ENTRY),
        (R9, offsets.permitted, BUFFER),
    ):
        _read(program, base, offset, 8, place)
    program.load(8, R8, FRAME, _OWNER)
    program.load(8, R1, FRAME, _MODE)
    program.combine("&", R8, R1)
    program.load(8, R9, FRAME, _GROUP)
    program.load(8, R1, FRAME, _ENTRY)
    program.combine("&", R9, R1)
    program.combine("|", R8, R9)
    program.load(8, R1, FRAME, BUFFER)
    program.compute("^", R1, -1)
    program.combine("&", R8, R1)
    program.jump_if(R8, "==", 0, "end")
    _read(program, R6, 8, 8, _ENTRY)
    store_thread(program)
    update(program, "files", THREAD, _ENTRY, ANY)
    end(program)
    return program
