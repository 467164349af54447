# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that no profile should allow, by capability, and their numbers in other ABIs."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.capabilities import CAPABILITIES
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import DEFAULT_CAPABILITIES
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.forbidden import NEVER, list_abi_numbers, list_forbidden_calls
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table

X32 = 0x40000000


@pytest.mark.parametrize(
    ("capability", "justified"),
    [
        ("BPF", {"bpf"}),
        ("PERFMON", {"perf_event_open"}),
        ("DAC_READ_SEARCH", {"open_by_handle_at"}),
        ("SYS_BOOT", {"reboot"}),
        ("SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
        ("SYS_PACCT", {"acct"}),
        ("SYS_RAWIO", {"iopl", "ioperm"}),
        ("SYS_TIME", {"clock_settime", "clock_settime64", "settimeofday", "stime"}),
        ("SYS_PTRACE", set()),
        ("SYS_CHROOT", set()),
        ("NET_ADMIN", set()),
    ],
)
def test_a_capability_justifies_its_own_calls_only(capability: str, justified: set[str]) -> None:
    assert NEVER - list_forbidden_calls({*DEFAULT_CAPABILITIES, f"CAP_{capability}"}) == justified


def test_some_calls_are_never_justified() -> None:
    left = list_forbidden_calls({f"CAP_{name}" for name in CAPABILITIES})
    assert {"kexec_load", "keyctl", "swapon", "userfaultfd"} <= left
    assert left.isdisjoint({"mount", "setns", "bpf", "reboot", "settimeofday"})
    assert list_forbidden_calls(DEFAULT_CAPABILITIES) == NEVER


@pytest.mark.parametrize(
    ("machine", "abi", "numbers"),
    [  # arch/x86/entry/syscalls/syscall_32.tbl, syscall_64.tbl; arch/arm/tools/syscall.tbl (Linux 6.18)
        ("x86_64", "x86", {"mount": 21, "umount": 22, "stime": 25, "umount2": 52, "kexec_load": 283, "keyctl": 288, "fsmount": 432}),
        ("x86_64", "x32", {"mount": X32 | 165, "kexec_load": X32 | 528, "bpf": X32 | 321, "fsmount": X32 | 432}),
        ("aarch64", "arm", {"mount": 21, "umount2": 52, "kexec_load": 347, "keyctl": 311, "bpf": 386, "fsmount": 432}),
    ],
)
def test_numbers_in_other_abis(machine: str, abi: str, numbers: dict[str, int]) -> None:
    found = list_abi_numbers(machine, abi)
    assert {name: found.get(name) for name in numbers} == numbers
    assert set(found) <= NEVER


def test_every_forbidden_call_has_its_numbers() -> None:
    native = {"x86_64": {"clock_settime64", "stime", "umount"}, "aarch64": {"clock_settime64", "stime", "umount", "ioperm", "iopl"}}
    for machine, missing in native.items():
        assert NEVER - set(load_table(machine)) == missing
    assert NEVER - set(list_abi_numbers("x86_64", "x86")) == {"kexec_file_load"}
    assert NEVER - set(list_abi_numbers("x86_64", "x32")) == native["x86_64"]
    assert NEVER - set(list_abi_numbers("aarch64", "arm")) == {"stime", "umount", "ioperm", "iopl"}
