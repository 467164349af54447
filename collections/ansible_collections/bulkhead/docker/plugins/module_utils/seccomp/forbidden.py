# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that no profile should allow, the capabilities that justify them, and their numbers in other ABIs of a machine.

A filter that allows one of them gives little protection. Source of the rules: moby's default profile, 19.03 to 29.7 (profiles/seccomp,
default_linux.go): none of the calls is allowed to a container without the capability. What a default capability justifies (SYS_CHROOT), or
what is harmless (SYS_NICE, SYS_PTRACE, SYS_TTY_CONFIG, SYSLOG), is not in the table.
Source of the numbers: src/syscalls.csv of libseccomp (July 2026).
"""

from __future__ import annotations

from collections.abc import Collection

from .syscalls import AARCH64, X32_BIT, X86_64, load_table, parse_table

_JUSTIFIED_BY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYS_ADMIN": "bpf fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setns umount "
    "umount2 unshare",
    "SYS_BOOT": "reboot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_PACCT": "acct",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
}
_UNJUSTIFIED = "add_key kexec_file_load kexec_load keyctl nfsservctl pivot_root request_key swapoff swapon userfaultfd"
NEVER = frozenset(" ".join([*_JUSTIFIED_BY.values(), _UNJUSTIFIED]).split())

# Machine -> its other ABIs: name -> (AUDIT_ARCH_* name, bits of each number, name in a profile).
ABIS = {
    X86_64: {"x86": ("i386", 0, "SCMP_ARCH_X86"), "x32": (X86_64, X32_BIT, "SCMP_ARCH_X32")},
    AARCH64: {"arm": ("arm", 0, "SCMP_ARCH_ARM")},
}
# The forbidden calls below number 424, from which on all architectures have the same numbers; as in syscalls.py.
_TABLES = {
    "x86": "@21 mount umount @25 stime @51 acct umount2 @79 settimeofday @87 swapon reboot @101 ioperm @110 iopl @115 swapoff @128 init_module "
    "delete_module @131 quotactl @169 nfsservctl @217 pivot_root @264 clock_settime @283 kexec_load @286 add_key request_key keyctl @310 unshare "
    "@336 perf_event_open @342 open_by_handle_at @346 setns @350 finit_module @357 bpf @374 userfaultfd @404 clock_settime64",
    "arm": "@21 mount @51 acct umount2 @79 settimeofday @87 swapon reboot @115 swapoff @128 init_module delete_module @131 quotactl "
    "@169 nfsservctl @218 pivot_root @262 clock_settime @309 add_key request_key keyctl @337 unshare @347 kexec_load @364 perf_event_open "
    "@371 open_by_handle_at @375 setns @379 finit_module @386 bpf @388 userfaultfd @401 kexec_file_load @404 clock_settime64",
    "x32": "@528 kexec_load",  # the others are those of x86-64
}
_COMMON = 424


def list_forbidden_calls(capabilities: Collection[str]) -> set[str]:
    """Return the calls that no profile should allow to a container with these capabilities (names with CAP_)."""
    justified = {call for name, calls in _JUSTIFIED_BY.items() if f"CAP_{name}" in capabilities for call in calls.split()}
    return set(NEVER - justified)


def list_abi_numbers(machine: str, abi: str) -> dict[str, int]:
    """Return name -> number of the forbidden calls in another ABI of a machine."""
    native, bits = load_table(machine), ABIS[machine][abi][1]
    numbers = {name: number for name, number in native.items() if name in NEVER and (bits or number >= _COMMON)}
    numbers.update(parse_table(_TABLES[abi]))
    return {name: number | bits for name, number in numbers.items()}
