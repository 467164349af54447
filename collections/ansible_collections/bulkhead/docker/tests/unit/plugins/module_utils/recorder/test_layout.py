# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import layout
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.btf import Btf, BtfError

from .samples import write_kernel

FUNCTIONS = ("trace_syscall_enter", "trace_syscall_exit")
PREEMPTION = "trace_call_bpf_faultable"


def test_offsets_on_x86_64():
    offsets = layout.find_offsets(Btf(write_kernel("x86_64")), "x86_64")
    assert (offsets.mode, offsets.thread, offsets.status) == (200, 120, 16)
    assert (offsets.number, offsets.result, offsets.argument, offsets.argument_32bit) == (120, 80, 112, 40)
    assert (offsets.node, offsets.identifier) == (256, 96)
    assert [name for name, _identifier in offsets.tracepoints] == list(layout.TRACEPOINTS)


def test_offsets_on_aarch64():
    offsets = layout.find_offsets(Btf(write_kernel("aarch64")), "aarch64")
    assert (offsets.number, offsets.result, offsets.argument, offsets.argument_32bit, offsets.state) == (280, 0, 272, 272, 264)


@pytest.mark.parametrize(
    ("machine", "without", "message"),
    [
        ("x86_64", "btf_trace_sys_enter", "no typedef btf_trace_sys_enter"),
        ("x86_64", "task_struct.seccomp", "no member seccomp.mode in structure task_struct"),
        ("x86_64", "pt_regs.orig_ax", "no member orig_ax in structure pt_regs"),
        ("aarch64", "pt_regs.syscallno", "no member syscallno in structure pt_regs"),
        ("aarch64", "cgroup.kn", "no member kn in structure cgroup"),
    ],
)
def test_kernel_without_a_type_is_an_error(machine, without, message):
    with pytest.raises(BtfError, match=message):
        layout.find_offsets(Btf(write_kernel(machine, without)), machine)


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), {}), (FUNCTIONS, {}), ((PREEMPTION, *FUNCTIONS), dict(zip(("sys_enter", "sys_exit"), FUNCTIONS, strict=True)))],
)
def test_functions_are_used_where_tasks_interrupt_programs(names, expected):
    assert layout.find_functions(Btf(write_kernel(functions=names))) == expected


def test_missing_function_is_named():
    btf = Btf(write_kernel(functions=(PREEMPTION, FUNCTIONS[0])))
    with pytest.raises(BtfError, match="no function trace_syscall_exit, without which some calls would not be counted"):
        layout.find_functions(btf)
