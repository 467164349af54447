# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds recorded calls that a desired seccomp profile would deny, before it is switched on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.capabilities import parse_names
from ...module_utils.formatting import format_names
from ...module_utils.layers.seccomp.examine import parse_kernel_version
from ...module_utils.recorder.instances import BUILTIN, UNCONFINED
from ...module_utils.seccomp import bpf
from ...module_utils.seccomp.desired import SeccompProfiles
from ...module_utils.seccomp.semantics import NATIVE, Expanded, expand_profile
from ...module_utils.seccomp.syscalls import load_table
from .call_descriptions import describe_argument
from .generation import shorten_list
from .seccomp_base import OTHER_ABIS, Base, list_possible_answers, narrow_grants

_MOST_CALLS = 10


@dataclass(frozen=True)
class BrokenCall:
    """A recorded call of a container that a profile would deny. is_certain: False if an argument decides that was not recorded."""

    container: str
    profile: str
    call: str
    abi: str
    argument: int | None
    count: int
    last: float
    answer: str
    is_certain: bool = True

    def describe(self) -> str:
        """Return `socket AF_ALG (12 times)`, with the ABI of other programs than those of the machine."""
        argument = f" {describe_argument(self.call, self.argument)}" if self.argument is not None else ""
        abi = f" ({self.abi})" if self.abi in OTHER_ABIS else ""
        possible = "" if self.is_certain else ", with some arguments"
        return f"{self.call}{argument}{abi} ({self.count:,} {'time' if self.count == 1 else 'times'}{possible})"


@dataclass
class Breakage:
    """What desired profiles would deny: broken, by container and call. unknown: container -> why nothing is known about it."""

    broken: list[BrokenCall] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)


def find_breakage(
    recorded: Mapping[str, Any],
    default: Base | None,
    own: Mapping[str, Base],
    containers: Mapping[str, Base],
) -> Breakage:
    """Return which recorded calls of a host's running containers the desired profiles would deny.

    recorded: of module record_containers. default: the profile that containers without an option would get; None if it does not change.
    own: profile by its name. containers: profile by the name of a container, with precedence. Containers with other profiles keep them and are left out.
    """
    found = Breakage()
    source = recorded["sources"]["calls"]
    for instance in sorted(recorded["instances"], key=lambda each: (each["name"], each["id"])):
        if not instance["running"]:
            continue
        name = instance["name"]
        profile = containers.get(name) or (default if instance["seccomp"] == BUILTIN else own.get(instance["seccomp"]))
        if instance["seccomp"] == UNCONFINED:
            profile = containers.get(name)
            if profile or default:
                found.unknown[name] = "without a seccomp filter, calls cannot be recorded"
        elif profile and source["status"] != "recording":
            found.unknown[name] = source["reason"] or "calls are not recorded on this host"
        elif profile and not instance["calls"]:
            found.unknown[name] = "no call has been recorded yet"
        elif profile:
            found.broken += find_broken_calls(instance, recorded["host"], profile)
    return found


def list_desired_profiles(
    listed: SeccompProfiles, containers: Iterable[Mapping[str, Any]] = ()
) -> tuple[Base | None, dict[str, Base], dict[str, Base]]:
    """Return the arguments `default`, `own` and `containers` of `find_breakage`. listed: seccomp_profiles_list. containers: of hardened_container_list."""
    by_name = {profile.name: Base(profile.name, profile.text) for profile in listed.profiles if profile.state == "present"}
    selected = ((each["name"], each.get("seccomp_profile")) for each in containers if each.get("state", "present") == "present")
    named = {name: by_name[profile] for name, profile in selected if profile in by_name}
    return by_name.get(listed.daemon_default.name) if listed.daemon_default else None, by_name, named


def describe_breakage(found: Breakage) -> list[str]:
    """Return one warning per container that a profile would break, and one about those of which nothing is known."""
    warnings = []
    for container, profile in dict.fromkeys((each.container, each.profile) for each in found.broken):
        calls = [each.describe() for each in found.broken if (each.container, each.profile) == (container, profile)]
        warnings.append(f"container {container}: profile {profile} would deny calls that it makes: {format_names(calls, _MOST_CALLS)}")
    for why in sorted(set(found.unknown.values())):
        names = [name for name, reason in found.unknown.items() if reason == why]
        warnings.append(f"it is not known what the seccomp profile would deny to {shorten_list(names)}: {why}")
    return warnings


def find_broken_calls(instance: Mapping[str, Any], host: Mapping[str, Any], profile: Base) -> list[BrokenCall]:
    """Return the recorded calls of one container that a profile would deny, by call. host: `machine` and `kernel`."""
    machine = host["machine"]
    if machine not in NATIVE:
        return []
    capabilities = frozenset(f"CAP_{name}" for name in parse_names(instance["capabilities"]))
    expanded = expand_profile(profile.profile, machine, parse_kernel_version(host["kernel"]), capabilities)
    found = []
    for call in instance["calls"]:
        possible = set(_list_answers(call, expanded, profile, capabilities))
        denied = sorted(value for value in possible if not bpf.is_allowing(value))
        if denied:
            found.append(
                BrokenCall(
                    instance["name"], profile.name, call["name"], call["abi"], call["argument"], call["count"], call["last"],
                    bpf.describe_answer(denied[0]), len(denied) == len(possible),
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: (each.call, each.abi, each.argument if each.argument is not None else -1))


def _list_answers(call: Mapping[str, Any], expanded: Expanded, profile: Base, capabilities: frozenset[str]) -> Iterator[int]:
    """Yield the possible answers of a profile to a recorded call."""
    name, argument = call["name"], call["argument"]
    if call["abi"] in OTHER_ABIS:
        yield from _list_other_abi_answers(call, expanded, profile, capabilities)
        return
    number = int(name) if name.isdigit() else load_table(expanded.machine).get(name)
    if number is None:
        return  # a call of the next release, which no profile here can name
    default, rules = expanded.list_rules(number)
    yield from list_possible_answers(name, argument, default, rules)


def _list_other_abi_answers(call: Mapping[str, Any], expanded: Expanded, profile: Base, capabilities: frozenset[str]) -> Iterator[int]:
    """Yield the possible answers to a call of a 32-bit or x32 program. The kernel kills it if the profile does not name its ABI."""
    if OTHER_ABIS[call["abi"]] not in expanded.architectures:
        yield bpf.KILL_PROCESS
        return
    grants = narrow_grants(profile.list_grants(call["name"]), capabilities)
    if any(not grant.conditions for grant in grants):
        yield bpf.ALLOW
        return
    denied = expanded.default if not bpf.is_allowing(expanded.default) else bpf.ERRNO | 1
    yield from list_possible_answers(call["name"], call["argument"], denied, [(bpf.ALLOW, grant.conditions) for grant in grants])
