# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers evidence of seccomp: the probe's filters in the kernel, compared with the deployed profile."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...capabilities import decode_capabilities
from ...host.files import sha256
from ...host.root import Host
from ...seccomp import bpf, dump
from ...seccomp.compare import compare_filters, list_allowed_calls
from ...seccomp.profile import ProfileError, parse_profile
from ...seccomp.semantics import Expanded, expand_profile
from ...seccomp.syscalls import AARCH64, X86_64

# Calls that every default profile of Docker denies to a container without added capabilities (moby profiles/seccomp, 19.03 to 29). A
# filter that allows one of them gives little protection.
NEVER = [
    "acct",
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "fsmount",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mount",
    "move_mount",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
    "userfaultfd",
]


def gather_evidence(host: Host, probe: Mapping[str, Any] | None, expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence of the probe.

    filters: number of instructions per filter (None: not read; `error` says why). file: the file of the daemon-wide profile. comparison:
    as Comparison.to_dict. never: allowed calls that no profile should allow. profile_error: why the profile could not be read.
    """
    found: dict[str, Any] = {
        "filters": None, "error": None, "file": None, "comparison": None, "never": [], "profile_error": None,
    }  # fmt: skip
    desired = expect.get("daemon_profile")
    text = desired.get("content") if desired else None
    if desired:
        found["file"] = _read_profile_file(host, desired["path"])
        if text is None:
            text = found["file"].pop("text")
        found["file"].pop("text", None)
    if probe is None:
        return found
    try:
        raw = dump.read_filters(probe["pid"])
    except OSError as error:
        found["error"] = str(error)
        return found
    return {**found, **examine_filters(raw, probe["kernel"], text)}


def examine_filters(raw: Sequence[bytes], kernel: Mapping[str, Any], text: str | None, desired: bool = True) -> dict[str, Any]:
    """Return what the kernel's filters allow, and how they differ from a profile's text.

    kernel: the process as host/process.py reads it; its bounding set decides which rules apply. desired: the profile is the inventory's,
    so what it allows is not reported as `never`.
    """
    system = os.uname()
    found: dict[str, Any] = {"filters": None, "error": None}
    if system.machine not in (X86_64, AARCH64):
        return {**found, "error": f"{system.machine} has no table of system calls; filters are judged on x86_64 and aarch64"}
    try:
        programs = [bpf.decode_program(one) for one in raw]
    except bpf.BpfError as error:
        return {**found, "error": f"the filter could not be read: {error}"}
    found["filters"] = [len(program) for program in programs]
    if not programs:
        return found
    capabilities = {f"CAP_{name}" for name in decode_capabilities(kernel.get("cap", {}).get("bnd", 0))}
    # Docker's default profile allows these calls to a container with the matching capability.
    found["never"] = (
        list_allowed_calls(programs, system.machine, NEVER) if not capabilities & {"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_BPF"} else []
    )
    if text is not None:
        try:
            expected = expand_profile(
                parse_profile(text, "the profile"), system.machine, parse_kernel_version(system.release), capabilities
            )
        except ProfileError as error:
            return {**found, "profile_error": str(error)}
        found["comparison"] = compare_filters(programs, expected).to_dict()
        if desired:
            found["never"] = [name for name in found["never"] if not _is_in_profile(expected, name)]
    return found


def _is_in_profile(expected: Expanded, name: str) -> bool:
    """Return whether the profile itself allows the call."""
    from ...seccomp.syscalls import load_table

    return any(map(bpf.is_allowing, expected.answers(load_table(expected.machine)[name])))


def parse_kernel_version(text: str) -> tuple[int, int]:
    """Return major and minor version of the kernel, as `includes.minKernel` uses them."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _read_profile_file(host: Host, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "sha256": None, "mtime": None, "error": None, "text": None}
    try:
        found["text"] = host.read(path)
        if found["text"] is not None:
            found.update(sha256=sha256(found["text"]), mtime=host.path(path).stat().st_mtime)
    except OSError as error:
        found["error"] = str(error)
    return found
