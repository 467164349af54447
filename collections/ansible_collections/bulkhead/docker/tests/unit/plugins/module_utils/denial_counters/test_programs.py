# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import layout, programs
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.assembler import R1, R6, R8, R9, Instruction
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.btf import VMLINUX, Btf, BtfError
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.layout import MACHINES

from .samples import FUNCTIONS, write_kernel

CALL, LOAD_4 = 0x85, 0x61
OFFSETS = {machine: layout.find_offsets(Btf(write_kernel(machine)), machine) for machine in MACHINES}
EXIT_FUNCTIONS = ("trace_call_bpf_faultable", "trace_syscall_enter", "trace_syscall_exit")
RIGHTS = (layout.PROGRAM_RIGHTS, layout.FILE_CAPABILITIES)
PLACES = (*layout.TRACEPOINTS, *FUNCTIONS)


def list_instructions(machine: str, place: str) -> list[Instruction]:
    return programs.build_counter(place, OFFSETS[machine], machine).instructions


@pytest.mark.parametrize("machine", MACHINES)
def test_other_results_end_before_the_container_is_looked_up(machine):
    found = list_instructions(machine, "sys_exit")
    first = next(at for at, item in enumerate(found) if item.map)
    results = [item.constant for item in found[:first] if item.code == 0x16 and item.target == R9]
    assert results == [-1, -13, -30, -38, -11]
    assert Instruction(0x05, label="end") in found[:first]
    assert {item.constant for item in found[:first] if item.code == CALL} == {158, 175, 80}
    assert found.index(Instruction(0x05, label="end")) < next(at for at, item in enumerate(found) if item.code == CALL)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {*RIGHTS}))
def test_success_of_a_function_ends_its_program(machine, name):
    found = list_instructions(machine, name)
    calls = [at for at, item in enumerate(found) if item.code == CALL]
    assert found[calls[0]].constant == 184
    assert found[calls[0] + 2] == Instruction(0x16, R1, constant=0, label="end")


@pytest.mark.parametrize(
    ("machine", "calls"),
    [
        ("x86_64", {56, 57, 58, 435, *(1 << 24 | n for n in (120, 2, 190, 435)), *(2 << 24 | n for n in (56, 57, 58, 435))}),
        ("aarch64", {3 << 24 | 220, 3 << 24 | 435, *(4 << 24 | n for n in (120, 2, 190, 435))}),
    ],
)
def test_eagain_counts_for_calls_that_start_a_task(machine, calls):
    found = list_instructions(machine, "sys_exit")
    assert {item.constant for item in found if item.code == 0x15 and item.target == R8 and item.label == "counted call"} == calls


@pytest.mark.parametrize("machine", MACHINES)
def test_programs_use_known_helpers_and_maps(machine):
    maps = layout.list_maps()
    for place in PLACES:
        program = programs.build_counter(place, OFFSETS[machine], machine)
        assert {item.constant for item in program.instructions if item.code == CALL} <= {1, 2, 3, 14, 16, 80, 113, 115, 125, 158, 175, 184}
        assert {item.map for item in program.instructions if item.map} <= set(maps)
        assert len(program.assemble(dict.fromkeys(maps, 3))) % 8 == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_success_ends_the_program_at_the_exit_at_once(machine):
    """Before any helper is called: this is what nearly every call of every task costs."""
    found = list_instructions(machine, "sys_exit")
    assert found[:2] == [Instruction(0x79, R9, R1, 8), Instruction(0x76, R9, label="end")]
    assert [item.code for item in found[-2:]] == [0xB7, 0x95]


@pytest.mark.parametrize(
    ("machine", "functions", "place"),
    [("x86_64", (), 8), ("x86_64", EXIT_FUNCTIONS, 104), ("aarch64", (), 8), ("aarch64", EXIT_FUNCTIONS, 8)],
)
def test_result_is_the_second_argument(machine, functions, place):
    """Of a tracepoint, or of the function that Linux 7.2 calls: rsi or x1."""
    assert layout.find_offsets(Btf(write_kernel(machine, (*FUNCTIONS, *functions))), machine).returned == place


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_at_the_exit_reads_its_context_once(machine):
    """At a function it has another context than at a tracepoint."""
    written = set()
    for item in list_instructions(machine, "sys_exit")[1:]:
        if item.code in (LOAD_4, 0x79, 0xBF):
            assert item.source in written | {10}
        written |= {0} if item.code == CALL else {item.target}


@pytest.mark.parametrize(("name", "flag"), [(layout.PROGRAM_RIGHTS, 4), (layout.FILE_CAPABILITIES, 1)])
def test_program_with_new_privileges_ends_first(name, flag):
    """Before the container is looked up. So does one that is not executed, or has no capabilities."""
    found = list_instructions("x86_64", name)
    calls = [at for at, item in enumerate(found) if item.code == CALL]
    assert found[calls[0] + 2] == Instruction(0x56, R1, constant=0, label="end")
    first = next(at for at, item in enumerate(found) if item.map)
    test = next(at for at, item in enumerate(found) if item.code == 0x45)
    assert test < first
    assert (found[test].constant, found[test].label) == (flag, "no new privileges")
    assert found[test + 1] == Instruction(0x05, label="end")


@pytest.mark.parametrize(
    ("without", "way"),
    [("", (24, 60)), ("mnt_idmap.uid_map", (24, 64, 200)), ("vfsmount.mnt_idmap", (32, 200))],
)
def test_map_of_a_mount_is_found_on_each_kernel(without, way):
    """Linux 6.8 and later, from 6.2 on, and before."""
    assert layout.find_offsets(Btf(write_kernel(without=without)), "x86_64").id_map == way


def test_nominal_offsets_differ():
    """Two programs that differ in an offset have different versions."""
    nominal = programs._build_nominal_offsets()
    numbers = [value for value in vars(nominal).values() if isinstance(value, int)]
    assert len(set(numbers)) == len(numbers)


def test_a_question_is_no_denial():
    """CAP_OPT_NOAUDIT."""
    assert Instruction(0x45, R1, constant=2, label="end") in list_instructions("x86_64", layout.CAPABLE)


def test_older_name_of_a_function_is_used_without_the_newer():
    new, old = layout.MOUNT_FUNCTIONS
    both = layout.find_offsets(Btf(write_kernel(functions=(*FUNCTIONS, old))), "x86_64")
    one = layout.find_offsets(Btf(write_kernel(functions=(layout.FILTER, layout.CAPABLE, old))), "x86_64")
    assert (new in dict(both.functions), old in dict(both.functions)) == (True, False)
    assert [name for name, _identifier in one.functions] == sorted((layout.FILTER, layout.CAPABLE, old))


@pytest.mark.parametrize("name", [layout.FILTER, layout.CAPABLE])
def test_a_function_that_is_needed_is_named(name):
    with pytest.raises(BtfError, match=f"has no function {name}"):
        layout.find_offsets(Btf(write_kernel(functions=tuple(each for each in FUNCTIONS if each != name))), "x86_64")


def test_version_depends_on_the_machine_and_the_maps(monkeypatch):
    versions = {programs.find_version(machine) for machine in MACHINES}
    maps = layout.list_maps(denials=1)
    monkeypatch.setattr(programs, "list_maps", lambda: maps)
    versions.add(programs.find_version("x86_64"))
    assert len(versions) == 3


def test_capability_is_read_from_the_arguments():
    found = list_instructions("x86_64", layout.CAPABLE)
    assert Instruction(0x79, R8, R6, 16) in found


def test_this_kernel_accepts_the_programs():
    machine = os.uname().machine
    try:
        btf = Btf(Path(VMLINUX).read_bytes())
        opened = {
            name: bpf.create_map(data.kind, data.key_size, data.value_size, data.entries, name)
            for name, data in layout.list_maps(denials=16).items()
        }
    except OSError as error:
        pytest.skip(f"this machine does not let the test load BPF programs: {error}")
    loaded = []
    try:
        offsets = layout.find_offsets(btf, machine)
        for place, identifier in (*offsets.tracepoints, *offsets.functions):
            code = programs.build_counter(place, offsets, machine).assemble(opened)
            try:
                loaded.append(bpf.load_program(code, "test", identifier, *([] if place in layout.TRACEPOINTS else [bpf.AT_RETURN])))
            except PermissionError as error:
                pytest.skip(f"this kernel does not let the test attach to {place}: {error}")
        loaded.append(bpf.load_program(programs.build_empty().assemble({}), "empty", offsets.tracepoints[0][1]))
    finally:
        for descriptor in (*opened.values(), *loaded):
            os.close(descriptor)
