# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recorder's programs and their readers share: maps, keys, and where this kernel keeps what is read."""

from __future__ import annotations

from dataclasses import dataclass

from .bpf import ARRAY, HASH, LRU_HASH
from .btf import TYPEDEF, Btf, BtfError

MACHINES = ("x86_64", "aarch64")
ABIS = ("x86_64", "i386", "x32", "aarch64", "arm")  # place: the number of an ABI in a key
CALL_ENTRIES = 65_536
UNKNOWN_NUMBER = 0xFFFFFF  # stands for every number beyond the kernel's table, so that a container cannot fill a map with them
HAS_ARGUMENT = 1 << 31
LOST = ("calls", "denied", "tasks", "names", "missed")  # place: the index in map `lost`
NAME_SIZE = 256
TRACEPOINTS = ("sys_enter", "sys_exit", "cgroup_mkdir")
# Functions that the kernel calls for these tracepoints (include/linux/entry-common.h), and a name that only exists where they are needed.
FUNCTIONS = {"sys_enter": "trace_syscall_enter", "sys_exit": "trace_syscall_exit"}
_MARK_OF_PREEMPTION = "trace_call_bpf_faultable"


@dataclass(frozen=True)
class Map:
    """A map of the recorder."""

    kind: int
    key_size: int
    value_size: int
    entries: int


@dataclass(frozen=True)
class CallOffsets:
    """Where this kernel keeps what the programs read, in bytes, and the BTF IDs of the tracepoints."""

    mode: int  # task_struct.seccomp.mode
    thread: int  # task_struct.pid
    status: int  # task_struct.thread_info.status (x86)
    number: int  # pt_regs.orig_ax, or syscallno
    result: int  # pt_regs: result of a call
    argument: int  # pt_regs: first argument of a call
    argument_32bit: int  # pt_regs: first argument of a 32-bit call
    state: int  # pt_regs.pstate (arm64)
    node: int  # cgroup.kn
    identifier: int  # kernfs_node.id
    tracepoints: tuple[tuple[str, int], ...]


def list_maps(calls: int = CALL_ENTRIES) -> dict[str, Map]:
    """Return the maps by name. calls: number of entries of map `calls`."""
    return {
        "calls": Map(HASH, 16, 8, calls),
        "denied": Map(HASH, 16, 8, 16_384),
        "tasks": Map(LRU_HASH, 4, 16, 32_768),
        "names": Map(LRU_HASH, 8, NAME_SIZE, 4096),
        "lost": Map(ARRAY, 4, 8, len(LOST)),
    }


def find_offsets(btf: Btf, machine: str) -> CallOffsets:
    """Return the offsets of this kernel. Raises BtfError for a type or member that it lacks."""
    x86 = machine == "x86_64"
    return CallOffsets(
        mode=btf.find_offset("task_struct", "seccomp.mode"),
        thread=btf.find_offset("task_struct", "pid"),
        status=btf.find_offset("task_struct", "thread_info.status") if x86 else 0,
        number=btf.find_offset("pt_regs", "orig_ax" if x86 else "syscallno"),
        result=btf.find_offset("pt_regs", "ax" if x86 else "regs"),
        argument=btf.find_offset("pt_regs", "di" if x86 else "orig_x0"),
        argument_32bit=btf.find_offset("pt_regs", "bx" if x86 else "orig_x0"),
        state=0 if x86 else btf.find_offset("pt_regs", "pstate"),
        node=btf.find_offset("cgroup", "kn"),
        identifier=btf.find_offset("kernfs_node", "id"),
        tracepoints=tuple((name, btf.find_id(TYPEDEF, f"btf_trace_{name}")) for name in TRACEPOINTS),
    )


def find_functions(btf: Btf) -> dict[str, str]:
    """Return the functions to which programs are attached instead of tracepoints; empty for most kernels. Raises BtfError.

    A program does not run while the same program of another task was interrupted on this processor (kernel/trace/bpf_trace.c,
    __bpf_trace_run). Linux 7.2 lets tasks interrupt it at tracepoints of system calls (include/trace/bpf_probe.h). At a function they
    cannot: kprobes run without preemption (Documentation/trace/kprobes.rst).
    """
    if not btf.has_name(_MARK_OF_PREEMPTION):
        return {}
    for function in FUNCTIONS.values():
        if not btf.has_name(function):
            raise BtfError(f"has no function {function}, without which some calls would not be counted")
    return FUNCTIONS
