# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import (
    load_table,
    name_syscall,
    parse_table,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls_other import list_known_names

HEADERS = {"x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")}


def test_compact_table_is_parsed() -> None:
    assert parse_table("read write @9 mmap") == {"read": 0, "write": 1, "mmap": 9}


@pytest.mark.parametrize(
    ("machine", "name", "number"),
    [
        ("x86_64", "read", 0),
        ("x86_64", "clone", 56),
        ("x86_64", "rseq", 334),
        ("x86_64", "pidfd_send_signal", 424),
        ("x86_64", "mseal", 462),
        ("aarch64", "io_setup", 0),
        ("aarch64", "read", 63),
        ("aarch64", "clone", 220),
        ("aarch64", "statx", 291),
        ("aarch64", "mseal", 462),
    ],
)
def test_numbers(machine: str, name: str, number: int) -> None:
    assert load_table(machine)[name] == number
    assert name_syscall(machine, number) == name


def test_a_number_without_a_name() -> None:
    assert name_syscall("x86_64", 511) == "syscall 511"


@pytest.mark.parametrize("machine", HEADERS)
def test_tables_agree_with_kernel_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("no kernel headers here (linux-libc-dev)")
    defined = re.findall(r"#define __NR_(\w+) (\d+)", HEADERS[machine].read_text())
    known = load_table(machine)
    assert len(defined) > 300
    # the headers may be newer than the table
    assert {name: int(number) for name, number in defined if name in known} == {n: known[n] for n, unused in defined if n in known}


def test_names_of_other_architectures_are_known() -> None:
    assert {"socketcall", "arm_fadvise64_64", "s390_pci_mmio_read", "mmap2", "riscv_flush_icache"} <= list_known_names()
    assert "opennat" not in list_known_names()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_shared_numbers_give_the_full_table_of_each_machine(machine: str) -> None:
    full = (Path(__file__).parent / "fixtures" / f"syscalls-{machine}.txt").read_text()
    assert load_table(machine) == parse_table(full)
