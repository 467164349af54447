# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers evidence of seccomp: filters in the kernel and texts of profiles, what they allow, and how they differ."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...capabilities import CAPABILITIES, ENGINE_DEFAULT, decode_capabilities
from ...host.root import Host, sha256
from ...seccomp import bpf, dump
from ...seccomp.compare import NUMBERS, compare_filters, is_open, list_allowed_abi_calls, list_allowed_calls
from ...seccomp.forbidden import ABIS, list_abi_numbers, list_forbidden_calls
from ...seccomp.reading import read_profile
from ...seccomp.semantics import ProfileError, expand_profile
from ...seccomp.syscalls import load_table


def gather_evidence(host: Host, probe: Mapping[str, Any] | None, expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence of the probe.

    filters: number of instructions per filter (None: not read; `error` says why). file: the file of the daemon-wide profile. comparison:
    as Comparison.to_dict. never: allowed calls that no profile should allow. open: whether every call is allowed. profile_error: why the
    profile could not be read.
    """
    found: dict[str, Any] = {
        "filters": None, "error": None, "file": None, "comparison": None, "never": [], "open": False, "profile_error": None,
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
    if probe.get("untraceable"):
        return {**found, "error": probe["untraceable"]}
    try:
        raw = dump.read_filters(probe["pid"], probe["kernel"].get("started"))
    except OSError as error:
        found["error"] = str(error)
        return found
    return {**found, **examine_filters(raw, list_capabilities(probe["kernel"]), text)}


def list_capabilities(kernel: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> set[str]:
    """Return the capabilities by which rules of a profile apply to a container, with CAP_.

    They are the bounding set of its first process, and what the engine gave at the start: the program may have dropped some since.
    config: HostConfig. Source: moby daemon/pkg/oci/caps/utils.go, TweakCapabilities.
    """
    held = set(decode_capabilities(kernel.get("cap", {}).get("bnd", 0)))
    if config is not None:
        added, dropped = ({str(name).upper().removeprefix("CAP_") for name in config.get(key) or ()} for key in ("CapAdd", "CapDrop"))
        if config.get("Privileged"):
            held |= set(CAPABILITIES)
        elif "ALL" in added:
            held |= set(CAPABILITIES) - dropped
        else:
            held |= added if "ALL" in dropped else (ENGINE_DEFAULT - dropped) | added
    return {f"CAP_{name}" for name in held}


def examine_filters(raw: Sequence[bytes], capabilities: Collection[str], text: str | None, desired: bool = True) -> dict[str, Any]:
    """Return what the kernel's filters allow, and how they differ from a profile's text.

    capabilities: decide which rules apply. desired: the profile is the inventory's, so what it allows is not reported as `never`.
    """
    system = os.uname()
    found: dict[str, Any] = {"filters": None, "error": None}
    if system.machine not in ABIS:
        return {**found, "error": _explain_machine(system.machine)}
    try:
        programs = [bpf.decode_program(one) for one in raw]
    except bpf.BpfError as error:
        return {**found, "error": f"the filter could not be read: {error}"}
    found["filters"] = [len(program) for program in programs]
    if not programs:
        return found
    names = list_forbidden_calls(capabilities)
    if text is not None:
        try:
            expected = expand_profile(read_profile(text, "the profile"), system.machine, parse_kernel_version(system.release), capabilities)
        except ProfileError as error:
            found["profile_error"] = str(error)
        else:
            found["comparison"] = compare_filters(programs, expected).to_dict()
            names -= {name for name in names if desired and expected.is_allowing(name)}
    found["never"] = list_allowed_calls(programs, system.machine, names)
    if not found.get("comparison"):  # that covers the other ABIs
        for abi in ABIS[system.machine]:
            found["never"] += list_allowed_abi_calls(programs, system.machine, abi, names) or []
    found["open"] = bool(found["never"]) and is_open(programs, system.machine)
    return found


def examine_profile(text: str, capabilities: Collection[str]) -> dict[str, Any]:
    """Return what a profile's text allows to a container with these capabilities, as expanded by the engine on this host.

    error: why that is unknown, or None. never: allowed calls that no profile should allow. open: whether every call is allowed. allowed,
    calls: how many calls are allowed for some arguments, of how many.
    """
    system = os.uname()
    if system.machine not in ABIS:
        return {"error": _explain_machine(system.machine)}
    try:
        expanded = expand_profile(read_profile(text, "seccomp"), system.machine, parse_kernel_version(system.release), capabilities)
    except ProfileError as error:
        return {"error": str(error)}
    known = set(load_table(system.machine))
    calls = len(known)
    for abi, (*unused, architecture) in ABIS[system.machine].items():
        known.update(list_abi_numbers(system.machine, abi) if architecture in expanded.architectures else ())
    return {
        "error": None,
        "never": sorted(name for name in list_forbidden_calls(capabilities) & known if expanded.is_allowing(name)),
        "open": all(bpf.is_allowing(value) for number in NUMBERS for value in expanded.answers(number)),
        "allowed": sum(any(map(bpf.is_allowing, expanded.answers(number))) for number in load_table(system.machine).values()),
        "calls": calls,
    }


def _explain_machine(machine: str) -> str:
    return f"{machine} has no table of system calls; filters are judged on {' and '.join(ABIS)}"


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
