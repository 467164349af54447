# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import programs
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.assembler import R1, R6, R7, R8, Instruction
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.btf import Btf, BtfError

from .samples import write_kernel

LOAD_4, LOAD_8, CALL = 0x61, 0x79, 0x85
OFFSETS = {machine: programs.find_offsets(Btf(write_kernel(machine)), machine) for machine in programs.MACHINES}


def list_instructions(machine: str, name: str) -> list[Instruction]:
    return programs.build_programs(OFFSETS[machine], machine)[name].instructions


def test_offsets_on_x86_64():
    offsets = OFFSETS["x86_64"]
    assert (offsets.mode, offsets.thread, offsets.status) == (200, 120, 16)
    assert (offsets.number, offsets.argument, offsets.argument_32bit) == (120, 112, 40)
    assert (offsets.node, offsets.identifier) == (256, 96)
    assert [name for name, _identifier in offsets.tracepoints] == list(programs.TRACEPOINTS)


def test_offsets_on_aarch64():
    offsets = OFFSETS["aarch64"]
    assert (offsets.number, offsets.argument, offsets.argument_32bit, offsets.state) == (280, 272, 272, 264)


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
        programs.find_offsets(Btf(write_kernel(machine, without)), machine)


@pytest.mark.parametrize("machine", programs.MACHINES)
@pytest.mark.parametrize("name", ["sys_enter", "sys_exit"])
def test_mode_is_read_before_anything_else(machine, name):
    """A task without a filter costs one helper call."""
    first = list_instructions(machine, name)[:5]
    assert first[1] == Instruction(CALL, constant=158)
    assert first[3] == Instruction(LOAD_4, R1, R7, OFFSETS[machine].mode)
    assert first[4] == Instruction(0x55, R1, constant=2, label="end")


def test_abi_is_read_from_the_task_on_x86_64():
    for name in ("sys_enter", "sys_exit"):
        assert Instruction(LOAD_4, R1, R7, OFFSETS["x86_64"].status) in list_instructions("x86_64", name)


def test_abi_is_read_from_the_registers_on_aarch64():
    for name in ("sys_enter", "sys_exit"):
        found = list_instructions("aarch64", name)
        at = found.index(Instruction(LOAD_4, R1, R1, OFFSETS["aarch64"].state))
        assert found[at - 1] == Instruction(LOAD_8, R1, R6, 0)
        assert found[at + 2] == Instruction(0x45, R1, constant=0x10, label="arm")


@pytest.mark.parametrize(
    ("machine", "calls"),
    [
        ("x86_64", {41, 56, 135, 1 << 24 | 359, 1 << 24 | 120, 1 << 24 | 136, 2 << 24 | 41, 2 << 24 | 56, 2 << 24 | 135}),
        ("aarch64", {3 << 24 | 198, 3 << 24 | 220, 3 << 24 | 92, 4 << 24 | 281, 4 << 24 | 120, 4 << 24 | 136}),
    ],
)
def test_calls_whose_argument_is_recorded(machine, calls):
    found = list_instructions(machine, "sys_enter")
    assert {item.constant for item in found if item.target == R8 and item.code == 0x15} == calls


@pytest.mark.parametrize("machine", programs.MACHINES)
def test_denied_number_is_read_from_the_registers(machine):
    assert Instruction(LOAD_4, R8, R1, OFFSETS[machine].number) in list_instructions(machine, "sys_exit")


@pytest.mark.parametrize("machine", programs.MACHINES)
def test_programs_use_known_helpers_and_maps(machine):
    maps = programs.list_maps()
    used = {}
    for name, program in programs.build_programs(OFFSETS[machine], machine).items():
        used[name] = {item.map for item in program.instructions if item.map}
        assert {item.constant for item in program.instructions if item.code == CALL} <= {1, 2, 80, 115, 158}
        assert len(program.assemble(dict.fromkeys(maps, 3))) % 8 == 0
    assert used == {"sys_enter": {"tasks", "calls", "lost"}, "sys_exit": {"tasks", "denied", "lost"}, "cgroup_mkdir": {"names", "lost"}}


def test_version_depends_on_the_machine_and_the_maps(monkeypatch):
    versions = {programs.find_version(machine) for machine in programs.MACHINES}
    maps = programs.list_maps(calls=1)
    monkeypatch.setattr(programs, "list_maps", lambda: maps)
    versions.add(programs.find_version("x86_64"))
    assert len(versions) == 3
    assert all(len(version) == 12 for version in versions)
