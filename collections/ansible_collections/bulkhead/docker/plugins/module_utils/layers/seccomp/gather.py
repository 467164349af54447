# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of seccomp: the probe's filters as the kernel holds them, against the profile that was deployed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...host.files import sha256
from ...host.root import Host
from ...seccomp import bpf, dump
from ...seccomp.compare import compare_filters, list_allowed_calls
from ...seccomp.profile import CAPABILITIES, ProfileError, parse_profile
from ...seccomp.semantics import Expanded, expand_profile
from ...seccomp.syscalls import AARCH64, X86_64

# What every profile of Docker's refuses to a container without added capabilities (moby profiles/seccomp, 19.03 to 29): who meets one of
# these allowed has no profile worth the name.
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
    """filters: instructions of each filter of the probe (None: not read, and error says why). file: the daemon-wide profile as it stands.
    against: what the filters were compared with (`inventory`, `file`, None). comparison: as Comparison.to_dict.
    never: calls that are let through although no profile should. profile_error: why the profile could not be read.
    """
    found: dict[str, Any] = {
        "filters": None, "error": None, "file": None, "against": None, "comparison": None, "never": [], "profile_error": None,
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
    """What filters (as the kernel gave them) let through, and how they differ from a profile's text.

    kernel: what host/process.py read of the process; its bounding set decides which rules count.
    desired: the profile is the inventory's, so that what it allows is no surprise.
    """
    system = os.uname()
    found: dict[str, Any] = {"filters": None, "error": None}
    if system.machine not in (X86_64, AARCH64):
        return {**found, "error": f"there is no table of system calls for {system.machine} here; filters are judged on x86_64 and aarch64"}
    try:
        programs = [bpf.decode_program(one) for one in raw]
    except bpf.BpfError as error:
        return {**found, "error": f"the filter could not be read: {error}"}
    found["filters"] = [len(program) for program in programs]
    if not programs:
        return found
    capabilities = list_capabilities(kernel.get("cap", {}).get("bnd", 0))
    # What a capability is for, Docker's own profile allows to who has it.
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
    """Whether the profile itself allows the call."""
    from ...seccomp.syscalls import load_table

    return any(map(bpf.is_allowing, expected.answers(load_table(expected.machine)[name])))


def list_capabilities(mask: int) -> set[str]:
    """Capabilities of a bit mask of /proc/PID/status."""
    return {name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1}


def parse_kernel_version(text: str) -> tuple[int, int]:
    """Major and minor version of the kernel, as `includes.minKernel` means it."""
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
