# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.btf import STRUCT, TYPEDEF, Btf, BtfError

from .samples import Writer

WORD = struct.pack("<I", 32)


def test_types_of_every_kind_are_counted():
    """An ID is only right if the size of every kind before it is known."""
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    writer.add(2, other=1)  # pointer
    writer.add(3, tail=bytes(12))  # array
    writer.add_struct("pair", ("a", 1, 0), ("b", 1, 32))
    writer.add_struct("choice", ("a", 1, 0), kind=5)
    writer.add(6, "color", 4, 2, bytes(16))  # enum
    writer.add(7, "pair")  # forward declaration
    writer.add(8, "word", 1)
    for kind in (9, 10, 11):  # volatile, const, restrict
        writer.add(kind, other=1)
    writer.add(12, "main", 13)  # function
    writer.add(13, other=1, elements=3, tail=bytes(24))  # prototype
    writer.add(14, "variable", 1, tail=bytes(4))
    writer.add(15, ".data", 4, 1, bytes(12))  # data section
    writer.add(16, "float", 4)
    writer.add(17, "tag", 1, tail=bytes(4))  # declaration tag
    writer.add(18, "rcu", 1)  # type tag
    writer.add(19, "big", 8, 2, bytes(24))  # enum of 64 bits
    last = writer.add(8, "last", 1)
    btf = Btf(writer.write())
    assert (btf.find_id(STRUCT, "pair"), btf.find_id(TYPEDEF, "word"), btf.find_id(TYPEDEF, "last")) == (4, 8, last)


def test_nested_member():
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    inner = writer.add_struct("inner", ("a", 1, 0), ("b", 1, 32))
    writer.add_struct("outer", ("x", 1, 0), ("inner", inner, 64))
    btf = Btf(writer.write())
    assert btf.find_offset("outer", "inner") == 8
    assert btf.find_offset("outer", "inner.b") == 12


def test_member_behind_typedef_and_const():
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    inner = writer.add_struct("inner", ("a", 1, 32))
    named = writer.add(8, "inner_t", inner)
    constant = writer.add(10, other=named)
    writer.add_struct("outer", ("inner", constant, 64))
    assert Btf(writer.write()).find_offset("outer", "inner.a") == 12


def test_member_of_members_without_name():
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    inner = writer.add_struct("", ("sp", 1, 0), ("pstate", 1, 64))
    union = writer.add_struct("", ("user", 1, 0), ("", inner, 0), kind=5)
    writer.add_struct("pt_regs", ("first", 1, 0), ("", union, 128))
    assert Btf(writer.write()).find_offset("pt_regs", "pstate") == 24


def test_size_of_bit_fields_is_not_part_of_the_offset():
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    writer.add_struct("flags", ("plain", 1, 64), ("bit", 1, 1 << 24 | 97), flag=1)
    btf = Btf(writer.write())
    assert btf.find_offset("flags", "plain") == 8
    with pytest.raises(BtfError, match="bit field as member bit in structure flags"):
        btf.find_offset("flags", "bit")


@pytest.mark.parametrize(
    ("structure", "member", "message"),
    [
        ("missing", "a", "has no structure missing"),
        ("pair", "c", "has no member c in structure pair"),
        ("pair", "a.b", "has no member a.b in structure pair"),
    ],
)
def test_missing_member_is_named(structure, member, message):
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    writer.add_struct("pair", ("a", 1, 0))
    with pytest.raises(BtfError, match=message):
        Btf(writer.write()).find_offset(structure, member)


def test_missing_typedef_is_named():
    with pytest.raises(BtfError, match="has no typedef btf_trace_sys_enter"):
        Btf(Writer().write()).find_id(TYPEDEF, "btf_trace_sys_enter")


def test_functions_are_found_by_name():
    """A name with two functions, a name that only a type has, and a missing one are left out."""
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    writer.add(12, "first", 1)
    writer.add(12, "twice", 1)
    repeated = writer.add(12, "", 1)
    writer.add_struct("structure", ("a", 1, 0))
    last = writer.add(12, "last", 1)
    raw = bytearray(writer.write())
    at = 24 + 16 + 12 * 2  # the functions before it, after the header and the integer
    place = 24 + 16 + 12 * (repeated - 2)
    raw[place : place + 4] = raw[at - 12 : at - 8]
    assert Btf(bytes(raw)).find_functions(["first", "twice", "structure", "last", "missing"]) == {"first": 2, "last": last}


def write_pair() -> bytes:
    writer = Writer()
    writer.add(1, "int", 4, tail=WORD)
    return writer.write()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not BTF data"),
        (Writer().write(magic=0x9FEB), "is not BTF data of this machine's byte order"),
        (Writer().write(version=2), "not version 1"),
        (write_pair()[:-1], "is cut short"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 6, 6, 1) + bytes(7), "is cut short in a type"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + struct.pack("<III", 0, 31 << 24, 0) + b"\0", "unknown kind 31"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + struct.pack("<III", 9, 8 << 24, 0) + b"\0", "name"),
    ],
)
def test_damaged_data_are_an_error(raw, message):
    with pytest.raises(BtfError, match=message):
        Btf(raw)
