# SPDX-License-Identifier: GPL-3.0-or-later
"""Examines what seccomp filters and the texts of profiles allow, and how they differ. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ...capabilities import decode_capabilities, list_granted
from ...seccomp import bpf
from ...seccomp.compare import NUMBERS, compare_filters, is_open, list_allowed_abi_calls, list_allowed_calls
from ...seccomp.encoding import decode_filters
from ...seccomp.examples import describe_denied_arguments
from ...seccomp.forbidden import ABIS, list_abi_numbers, list_forbidden_calls
from ...seccomp.reading import read_profile
from ...seccomp.semantics import ProfileError, expand_profile
from ...seccomp.syscalls import AUDIT_ARCH, load_table


class System(NamedTuple):
    """The host's machine and kernel release, as `uname -m` and `uname -r` print them."""

    machine: str
    kernel: str


def list_capabilities(kernel: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> set[str]:
    """Return the capabilities by which rules of a profile apply to a container, with CAP_.

    They are the bounding set of its first process, and what the engine gave at the start: the program may have dropped some since.
    config: HostConfig.
    """
    held = set(decode_capabilities(kernel.get("cap", {}).get("bnd", 0)))
    if config is not None:
        held |= list_granted(config)
    return {f"CAP_{name}" for name in held}


def get_system(evidence: Mapping[str, Any]) -> System:
    """Return the system that evidence is from."""
    system = evidence["observed"]["system"]
    return System(system["machine"], system["kernel"])


def examine_probe(own: Mapping[str, Any], evidence: Mapping[str, Any], desired: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what `gather_evidence` returned, and what the probe's filters allow.

    filters: number of instructions per filter (None: not read; `error` says why). comparison: as Comparison.to_dict. never: allowed calls that
    no profile should allow. open: whether every call is allowed. profile_error: why the profile could not be read.
    """
    found: dict[str, Any] = {
        "filters": None,
        "error": None,
        "file": None,
        "comparison": None,
        "never": [],
        "open": False,
        "profile_error": None,
    }
    found.update(own)
    if own.get("dumped") is None:
        return found
    text = desired.get("content") if desired else None
    if desired and text is None:
        text = (own["file"] or {}).get("text")
    raw = decode_filters(own["dumped"])
    return {**found, **examine_filters(raw, get_system(evidence), list_capabilities(evidence["probe"]["kernel"]), text)}


def examine_filters(
    raw: Sequence[bytes], system: System, capabilities: Collection[str], text: str | None, desired: bool = True
) -> dict[str, Any]:
    """Return what the kernel's filters allow, and how they differ from a profile's text.

    capabilities: decide which rules apply. desired: the profile is the inventory's, so what it allows is not reported as `never`.
    """
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
            expected = expand_profile(read_profile(text, "the profile"), system.machine, parse_kernel_version(system.kernel), capabilities)
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


def examine_default(own: Mapping[str, Any], evidence: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return what a profile's text allows and the engine's built-in profile, as its own filter shows it, denies.

    own: what `gather_evidence` and `examine_probe` returned. error: why that is unknown, or None. weaker: the calls, each with examples of
    arguments if the engine denies only some. unchecked: calls that could not be compared. A call that libseccomp does not know is denied by
    both filters, so it does not count.
    """
    system, capabilities = get_system(evidence), list_capabilities(evidence["probe"]["kernel"])
    builtin = own["builtin"]
    if builtin["dumped"] is None or system.machine not in ABIS:
        return {"error": builtin["error"] or _explain_machine(system.machine)}
    try:
        programs = [bpf.decode_program(one) for one in decode_filters(builtin["dumped"])]
        expanded = expand_profile(read_profile(text, "the profile"), system.machine, parse_kernel_version(system.kernel), capabilities)
    except (bpf.BpfError, ProfileError) as error:
        return {"error": str(error)}
    comparison = compare_filters(programs, expanded)
    denied = set((own.get("comparison") or {}).get("missing") or ())
    weaker = [name for name in comparison.missing if name not in denied]
    numbers, arch = load_table(system.machine), AUDIT_ARCH[system.machine]
    for name in comparison.tightened:
        example = describe_denied_arguments(programs, arch, numbers[name], *expanded.list_rules(numbers[name])) if name in numbers else ""
        weaker.append(f"{name} ({example})" if example else name)
    for abi, (*unused, architecture) in ABIS[system.machine].items():
        if architecture in expanded.architectures and list_allowed_abi_calls(programs, system.machine, abi, ()) is None:
            weaker.append(f"every call ({abi})")
    return {"error": None, "weaker": sorted(weaker), "unchecked": comparison.unchecked, "counts": comparison.counts}


def examine_profile(text: str, system: System, capabilities: Collection[str]) -> dict[str, Any]:
    """Return what a profile's text allows to a container with these capabilities, as expanded by the engine on this host.

    error: why that is unknown, or None. never: allowed calls that no profile should allow. open: whether every call is allowed. allowed,
    calls: how many calls are allowed for some arguments, of how many.
    """
    if system.machine not in ABIS:
        return {"error": _explain_machine(system.machine)}
    try:
        expanded = expand_profile(read_profile(text, "seccomp"), system.machine, parse_kernel_version(system.kernel), capabilities)
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
