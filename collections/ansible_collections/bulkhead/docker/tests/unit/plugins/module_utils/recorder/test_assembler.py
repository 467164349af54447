# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.assembler import FRAME, R0, R1, R2, R6, R8, R9, Program

# What `llvm-mc -triple bpfel -show-encoding` prints for the text in the comment, or the kernel's macros in include/linux/filter.h.
ENCODINGS = [
    (lambda program: program.load(4, R1, R6, 16), "61 61 10 00 00 00 00 00"),  # w1 = *(u32 *)(r6 + 16)
    (lambda program: program.load(8, R1, R6, 8), "79 61 08 00 00 00 00 00"),  # r1 = *(u64 *)(r6 + 8)
    (lambda program: program.store(8, FRAME, -16, R1), "7b 1a f0 ff 00 00 00 00"),  # *(u64 *)(r10 - 16) = r1
    (lambda program: program.store(4, FRAME, -24, R1), "63 1a e8 ff 00 00 00 00"),  # *(u32 *)(r10 - 24) = w1
    (lambda program: program.store_constant(4, R0, 0, 1), "62 00 00 00 01 00 00 00"),  # *(u32 *)(r0 + 0) = 1
    (lambda program: program.store_constant(8, FRAME, -8, -1), "7a 0a f8 ff ff ff ff ff"),  # *(u64 *)(r10 - 8) = -1
    (lambda program: program.add_atomically(R0, 0, R1), "db 10 00 00 00 00 00 00"),  # lock *(u64 *)(r0 + 0) += r1
    (lambda program: program.copy(R6, R1), "bf 16 00 00 00 00 00 00"),  # r6 = r1
    (lambda program: program.combine("|", R8, R9), "4f 98 00 00 00 00 00 00"),  # r8 |= r9
    (lambda program: program.compute("+", R2, -16), "07 02 00 00 f0 ff ff ff"),  # r2 += -16
    (lambda program: program.compute("=", R0, 0), "b7 00 00 00 00 00 00 00"),  # r0 = 0
    (lambda program: program.compute("neg", R2), "87 02 00 00 00 00 00 00"),  # r2 = -r2
    (lambda program: program.compute("^", R8, 0x40000000), "a7 08 00 00 00 00 00 40"),  # r8 ^= 1073741824
    (lambda program: program.compute32("&", R2, 0x7E020080), "54 02 00 00 80 00 02 7e"),  # w2 &= 2114060416
    (lambda program: program.compute32("-", R1, 0xF0000), "14 01 00 00 00 00 0f 00"),  # w1 -= 983040
    (lambda program: program.call(14), "85 00 00 00 0e 00 00 00"),  # call 14
    (lambda program: program.exit(), "95 00 00 00 00 00 00 00"),  # exit
]


@pytest.mark.parametrize(("write", "expected"), ENCODINGS)
def test_instruction_is_encoded(write, expected):
    program = Program()
    write(program)
    assert program.assemble({}).hex(" ") == expected


def test_map_takes_two_places():
    program = Program()
    program.load_map(R1, "calls")
    assert program.assemble({"calls": 7}).hex(" ") == "18 11 00 00 07 00 00 00 00 00 00 00 00 00 00 00"


@pytest.mark.parametrize(
    ("condition", "code"),
    [("==", 0x15), (">", 0x25), ("&", 0x45), ("!=", 0x55), ("signed>=", 0x75), ("<=", 0xB5), ("signed<", 0xC5)],
)
def test_jump_counts_the_places_after_it(condition, code):
    program = Program()
    program.jump_if(R1, condition, -5, "end")
    program.load_map(R1, "calls")
    program.exit()
    program.place("end")
    program.exit()
    assert program.assemble({"calls": 0})[:8] == bytes([code, 1, 3, 0, 0xFB, 0xFF, 0xFF, 0xFF])


def test_jump_with_32_bits_and_without_condition():
    program = Program()
    program.jump_if32(R0, "signed<", 0, "end")
    program.jump("end")
    program.place("end")
    program.exit()
    assert program.assemble({})[:16].hex(" ") == "c6 00 01 00 00 00 00 00 05 00 00 00 00 00 00 00"


def test_missing_label_is_an_error():
    program = Program()
    program.jump("end")
    with pytest.raises(ValueError, match="'end' is not placed"):
        program.assemble({})


def test_jump_back_is_an_error():
    program = Program()
    program.place("start")
    program.exit()
    program.jump("start")
    with pytest.raises(ValueError, match="'start' is not placed after its jump"):
        program.assemble({})


def test_label_placed_twice_is_an_error():
    program = Program()
    program.place("end")
    with pytest.raises(ValueError, match="'end' is placed twice"):
        program.place("end")
