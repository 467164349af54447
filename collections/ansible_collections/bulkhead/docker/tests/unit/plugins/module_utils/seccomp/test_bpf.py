# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compare import find_answers
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.reach import find_reachable_answers
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import AUDIT_ARCH, X32_BIT, load_table

from .programs import AND, JA, JEQ, JGE, JGT, JSET, LD, NR, RET, X86_64, arg, assemble, dumped, program

EPERM = bpf.ERRNO | 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\0" * 7, "has 7 bytes"),
        (assemble((RET, 0, 0, 0)) * 4097, "1 to 4096 instructions"),
        (assemble((LD, 0, 0, 0)), "the last instruction is not a return"),
        (assemble((LD, 0, 0, 64), (RET, 0, 0, 0)), "instruction 0.*outside of struct seccomp_data"),
        (assemble((LD, 0, 0, 2), (RET, 0, 0, 0)), "outside of struct seccomp_data"),
        (assemble((JEQ, 1, 0, 0), (RET, 0, 0, 0)), "jumps past the end"),
        (assemble((JA, 0, 0, 1), (RET, 0, 0, 0)), "jumps past the end"),
        (assemble((0x34, 0, 0, 0), (RET, 0, 0, 0)), "divides by zero"),
        (assemble((0x64, 0, 0, 32), (RET, 0, 0, 0)), "shifts by more than 31"),
        (assemble((0x02, 0, 0, 16), (RET, 0, 0, 0)), "memory slot"),
        (assemble((0x30, 0, 0, 0), (RET, 0, 0, 0)), "is not an instruction of seccomp filters"),
    ],
)
def test_programs_that_the_kernel_rejects_are_errors(raw: bytes, message: str) -> None:
    with pytest.raises(bpf.BpfError, match=message):
        bpf.decode_program(raw)


@pytest.mark.parametrize(
    ("value", "text", "open_"),
    [
        (0x80000000, "KILL_PROCESS", False),
        (0, "KILL_THREAD", False),
        (0x00030005, "TRAP(5)", False),
        (0x00050026, "ERRNO(38)", False),
        (0x7FC00000, "USER_NOTIF", True),
        (0x7FF00007, "TRACE(7)", True),
        (0x7FFC0000, "LOG", True),
        (0x7FFF0000, "ALLOW", True),
        (0x12340000, "KILL_PROCESS", False),
    ],
)
def test_answers_are_read(value: int, text: str, open_: bool) -> None:
    assert bpf.describe_answer(value) == text
    assert bpf.is_allowing(value) is open_


def test_strictest_filter_wins_then_the_newest() -> None:
    assert bpf.find_strictest([bpf.ALLOW, EPERM]) == EPERM
    assert bpf.find_strictest([bpf.KILL_THREAD, bpf.KILL_PROCESS, EPERM]) == bpf.KILL_PROCESS
    assert bpf.find_strictest([bpf.ERRNO | 13, EPERM]) == bpf.ERRNO | 13


@pytest.mark.parametrize(
    ("test", "k", "number", "met"),
    [
        (JEQ, 5, 5, True),
        (JEQ, 5, 6, False),
        (JGT, 5, 5, False),
        (JGT, 5, 6, True),
        (JGE, 5, 5, True),
        (JGE, 5, 4, False),
        (JSET, 6, 2, True),
        (JSET, 6, 1, False),
    ],
)
def test_jumps(test: int, k: int, number: int, met: bool) -> None:
    one = program((LD, 0, 0, NR), (test, 0, 1, k), (RET, 0, 0, bpf.ALLOW), (RET, 0, 0, EPERM))
    expected = bpf.ALLOW if met else EPERM
    assert bpf.run_program(one, number, X86_64) == expected
    assert find_reachable_answers(one, X86_64, [number]) == [{expected}]


@pytest.mark.parametrize(
    ("code", "k", "start", "result"),
    [
        (0x04, 3, 0xFFFFFFFF, 2),
        (0x14, 3, 1, 0xFFFFFFFE),
        (0x24, 0x10000, 0x10001, 0x10000),
        (0x34, 3, 10, 3),
        (0x44, 6, 1, 7),
        (0x54, 6, 3, 2),
        (0x64, 4, 0x10000001, 0x10),
        (0x74, 4, 0x31, 3),
        (0xA4, 6, 3, 5),
        (0x84, 0, 1, 0xFFFFFFFF),
    ],
)
def test_arithmetic(code: int, k: int, start: int, result: int) -> None:
    one = program((0x00, 0, 0, start), (code, 0, 0, k), (0x16, 0, 0, 0))
    assert bpf.run_program(one, 0, X86_64) == result
    assert find_reachable_answers(one, X86_64, [0]) == [{result}]


def test_registers_and_memory() -> None:
    one = program(
        (LD, 0, 0, NR),
        (0x07, 0, 0, 0),
        (0x02, 0, 0, 3),
        (0x00, 0, 0, 1),
        (0x0C, 0, 0, 0),
        (0x61, 0, 0, 3),
        (0x1C, 0, 0, 0),
        (0x16, 0, 0, 0),
    )
    assert bpf.run_program(one, 41, X86_64) == 1  # 1 + X - M[3], both the number
    assert find_reachable_answers(one, X86_64, [7, 41]) == [{1}, {1}]


def test_arguments_are_read_in_halves() -> None:
    one = program((LD, 0, 0, arg(2, high=True)), (JEQ, 0, 1, 7), (RET, 0, 0, bpf.ALLOW), (RET, 0, 0, EPERM))
    assert bpf.run_program(one, 0, X86_64, (0, 0, 7 << 32 | 1)) == bpf.ALLOW
    assert bpf.run_program(one, 0, X86_64, (0, 0, 7)) == EPERM
    assert find_reachable_answers(one, X86_64, [0]) == [{bpf.ALLOW, EPERM}]


def test_a_masked_argument_stays_unknown() -> None:
    one = program((LD, 0, 0, arg(0)), (AND, 0, 0, 0x7E020000), (JEQ, 0, 1, 0), (RET, 0, 0, bpf.ALLOW), (RET, 0, 0, EPERM))
    assert find_reachable_answers(one, X86_64, [56]) == [{bpf.ALLOW, EPERM}]


@pytest.mark.parametrize(
    ("fixture", "counts"),
    [
        # measured on these engines, for calls with all arguments 0
        ("default-trixie", (301, 155, 14)),
    ],
)
def test_real_default_filters_give_measured_answers(fixture: str, counts: tuple[int, int, int]) -> None:
    (one,) = dumped(fixture)
    answers = [bpf.describe_answer(bpf.run_program(one, number, X86_64)) for number in range(470)]
    assert tuple(answers.count(a) for a in ("ALLOW", "ERRNO(1)", "ERRNO(38)")) == counts


@pytest.mark.parametrize("fixture", ["default-trixie"])
def test_one_walk_agrees_with_running_each_number(fixture: str) -> None:
    (one,) = dumped(fixture)
    numbers = [*range(512), *(X32_BIT | n for n in range(0, 512, 7))]
    chance = random.Random(1)
    for arch in (X86_64, AUDIT_ARCH["i386"], AUDIT_ARCH["aarch64"]):
        for number, possible in zip(numbers, find_reachable_answers(one, arch, numbers), strict=True):
            for unused in range(6):
                args = tuple(
                    chance.choice((0, 1, 8, 38, 40, 0x20000, 0x7E020000, 0xFFFFFFFF, chance.getrandbits(64))) for unused in range(6)
                )
                assert bpf.run_program(one, number, arch, args) in possible


def test_calls_that_depend_on_arguments_are_distinguished() -> None:
    (one,) = dumped("default-trixie")
    numbers = load_table("x86_64")
    answers = find_answers([one], X86_64, range(512))
    undecided = {name for name, number in numbers.items() if len({bpf.is_allowing(v) for v in answers[number]}) > 1}
    assert undecided == {"clone", "personality", "socket"}
    assert answers[numbers["clone3"]] == {bpf.ERRNO | 38}


def test_filters_are_combined() -> None:
    no_read = program((LD, 0, 0, NR), (JEQ, 0, 1, 0), (RET, 0, 0, bpf.KILL_PROCESS), (RET, 0, 0, bpf.ALLOW))
    no_write = program((LD, 0, 0, NR), (JEQ, 0, 1, 1), (RET, 0, 0, EPERM), (RET, 0, 0, bpf.ALLOW))
    assert find_answers([no_read, no_write], X86_64, [0, 1, 2]) == [{bpf.KILL_PROCESS}, {EPERM}, {bpf.ALLOW}]
    assert find_answers([], X86_64, [0]) == [{bpf.ALLOW}]
