# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import bpf, layout, programs
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.assembler import R0, R1, R2, R6, R7, R8, Instruction
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.btf import VMLINUX, Btf

from .samples import write_kernel

LOAD_4, STORE_4, CALL = 0x61, 0x62, 0x85
OFFSETS = {machine: layout.find_offsets(Btf(write_kernel(machine)), machine) for machine in layout.MACHINES}


def list_instructions(machine: str, name: str, second: bool = False) -> list[Instruction]:
    return programs.build_program(name, OFFSETS[machine], machine, second).instructions


@pytest.mark.parametrize("machine", layout.MACHINES)
@pytest.mark.parametrize("name", ["sys_enter", "sys_exit"])
@pytest.mark.parametrize("second", [False, True])
def test_mode_is_read_before_anything_else(machine, name, second):
    """A task without a filter costs one helper call."""
    first = list_instructions(machine, name, second)[:4]
    assert first[0] == Instruction(CALL, constant=158)
    assert first[1] == Instruction(0xBF, R7, R0)
    assert first[2] == Instruction(LOAD_4, R1, R7, OFFSETS[machine].mode)
    assert first[3] == Instruction(0x55, R1, constant=2, label="end")


def test_abi_is_read_from_the_task_on_x86_64():
    for name in ("sys_enter", "sys_exit"):
        assert Instruction(LOAD_4, R1, R7, OFFSETS["x86_64"].status) in list_instructions("x86_64", name)


def test_abi_is_read_from_the_registers_on_aarch64():
    for name in ("sys_enter", "sys_exit"):
        found = list_instructions("aarch64", name)
        at = found.index(Instruction(LOAD_4, R1, R6, OFFSETS["aarch64"].state))
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


@pytest.mark.parametrize("machine", layout.MACHINES)
def test_number_is_read_from_the_registers(machine):
    for name in ("sys_enter", "sys_exit"):
        assert Instruction(LOAD_4, R8, R6, OFFSETS[machine].number) in list_instructions(machine, name)


@pytest.mark.parametrize("machine", layout.MACHINES)
def test_only_negative_results_are_denied_calls(machine):
    found = list_instructions(machine, "sys_exit")
    at = found.index(Instruction(LOAD_4, R2, R6, OFFSETS[machine].result))
    assert found[at + 1 : at + 5] == [
        Instruction(0x76, R2, constant=1, label="entry was missed"),
        Instruction(0x16, R2, constant=0, label="end"),
        Instruction(0xC6, R2, constant=-4095, label="end"),
        Instruction(0x87, R2),
    ]


@pytest.mark.parametrize("machine", layout.MACHINES)
def test_the_second_program_counts_what_the_first_one_missed(machine):
    """Marks of a thread: 0 after both programs of an exit, 1 after an entry, 2 after the first program of an exit."""
    read = Instruction(LOAD_4, R1, R0, 0)
    entry, exit_ = (list_instructions(machine, name, second=True) for name in ("sys_enter", "sys_exit"))
    at = entry.index(read)
    assert entry[at + 1 : at + 3] == [Instruction(0x15, R1, constant=1, label="end"), Instruction(STORE_4, R0, constant=1)]
    at = exit_.index(read)
    assert exit_[at + 1 : at + 3] == [Instruction(STORE_4, R0, constant=0), Instruction(0x55, R1, constant=0, label="end")]
    at = (first := list_instructions(machine, "sys_exit")).index(read)
    assert first[at + 1 : at + 3] == [Instruction(STORE_4, R0, constant=2), Instruction(0x15, R1, constant=1, label="end")]


@pytest.mark.parametrize("machine", layout.MACHINES)
def test_programs_use_known_helpers_and_maps(machine):
    maps = layout.list_maps()
    used = {}
    for name in layout.TRACEPOINTS:
        program = programs.build_program(name, OFFSETS[machine], machine)
        used[name] = {item.map for item in program.instructions if item.map}
        assert {item.constant for item in program.instructions if item.code == CALL} <= {1, 2, 80, 115, 158, 175}
        assert len(program.assemble(dict.fromkeys(maps, 3))) % 8 == 0
    assert used == {"sys_enter": {"tasks", "calls", "lost"}, "sys_exit": {"tasks", "denied", "lost"}, "cgroup_mkdir": {"names", "lost"}}


@pytest.mark.parametrize("machine", layout.MACHINES)
def test_programs_do_not_read_their_context(machine):
    """A program at a function has another context than one at a tracepoint."""
    for name in ("sys_enter", "sys_exit"):
        written = set()
        for item in list_instructions(machine, name):
            if item.code in (LOAD_4, 0x79, 0xBF):
                assert item.source in written | {10}
            written |= {0} if item.code == CALL else {item.target}


def test_version_depends_on_the_machine_and_the_maps(monkeypatch):
    versions = {programs.find_version(machine) for machine in layout.MACHINES}
    maps = layout.list_maps(calls=1)
    monkeypatch.setattr(programs, "list_maps", lambda: maps)
    versions.add(programs.find_version("x86_64"))
    assert len(versions) == 3
    assert all(len(version) == 12 for version in versions)


def test_this_kernel_accepts_the_programs():
    machine = os.uname().machine
    try:
        btf = Btf(Path(VMLINUX).read_bytes())
        maps = {
            name: bpf.create_map(data.kind, data.key_size, data.value_size, data.entries, name)
            for name, data in layout.list_maps(calls=16).items()
        }
    except OSError as error:
        pytest.skip(f"this machine does not let the test load BPF programs: {error}")
    opened = list(maps.values())
    try:
        offsets = layout.find_offsets(btf, machine)
        for name, tracepoint in offsets.tracepoints:
            code = programs.build_program(name, offsets, machine).assemble(maps)
            opened.append(bpf.load_program(code, name, tracepoint))
            if name in layout.FUNCTIONS:
                opened.append(bpf.load_program(code, name, 0))
                code = programs.build_program(name, offsets, machine, second=True).assemble(maps)
                opened.append(bpf.load_program(code, name, tracepoint))
        with pytest.raises(OSError, match="R0 !read_ok"):  # the verifier's reason
            bpf.load_program(bytes.fromhex("95 00 00 00 00 00 00 00"), "faulty", offsets.tracepoints[0][1])
    finally:
        for descriptor in opened:
            os.close(descriptor)
