# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp profile beyond which a generated one never goes: what it grants per call, and whether another profile exceeds it. Pure."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...module_utils.capabilities import CAPABILITIES
from ...module_utils.seccomp import bpf
from ...module_utils.seccomp.blocks import NAMESPACE_FLAGS
from ...module_utils.seccomp.check import DEFAULT_CAPABILITIES, RECENT_KERNEL
from ...module_utils.seccomp.profile import parse_profile
from ...module_utils.seccomp.regions import Budget, TooComplex, has_excess
from ...module_utils.seccomp.semantics import (
    ACTIONS,
    NATIVE,
    Condition,
    Expanded,
    ParsedProfile,
    Rule,
    RuleFilter,
    SyscallRule,
    expand_profile,
)
from ...module_utils.seccomp.syscalls import load_table
from .engine_default import format_engine_default

ENGINE_DEFAULT = "the engine's default"
_ACTION_NAMES = {value: name for name, value in ACTIONS.items() if name != "SCMP_ACT_KILL"}
# The machines of generated profiles, as `includes` and `excludes` name their ABIs.
_ARCHES = {"amd64", "x32", "x86", "arm64", "arm"}


class Grant(NamedTuple):
    """The arguments, containers and hosts for which a profile allows a call."""

    conditions: tuple[Condition, ...] = ()
    includes: RuleFilter = RuleFilter()
    excludes: RuleFilter = RuleFilter()

    @property
    def is_free(self) -> bool:
        """Whether it is for any arguments, containers and hosts."""
        return self == Grant()


# ABIs besides those of semantics.NATIVE, and their architectures.
OTHER_ABIS = {"i386": "SCMP_ARCH_X86", "x32": "SCMP_ARCH_X32", "arm": "SCMP_ARCH_ARM"}
FREE = Grant()


@dataclass(frozen=True)
class Base:
    """A seccomp profile. name: for messages. text: in Docker's format."""

    name: str
    text: str

    @functools.cached_property
    def profile(self) -> ParsedProfile:
        return parse_profile(self.text, self.name)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The calls that its rules name."""
        return frozenset(name for rule in self.profile.rules for name in rule.names)

    def list_grants(self, name: str) -> list[Grant]:
        """Return the grants of the profile for a call; empty if it denies the call."""
        rules = [rule for rule in self.profile.rules if name in rule.names and _is_for_known_machine(rule)]
        if bpf.is_allowing(self.profile.default):
            # A rule that denies anything decides about the whole call: what remains besides it has no simple form.
            return [] if any(not bpf.is_allowing(rule.answer) for rule in rules) else [Grant()]
        return [Grant(rule.conditions, rule.includes, rule.excludes) for rule in rules if bpf.is_allowing(rule.answer)]

    def list_denials(self) -> list[SyscallRule]:
        """Return the rules that deny calls in another way than the profile's default does."""
        return [
            rule
            for rule in self.profile.rules
            if not bpf.is_allowing(rule.answer) and rule.answer != self.profile.default and _is_for_known_machine(rule)
        ]

    def list_architectures(self) -> list[str]:
        """Return the ABIs of x86-64 and arm64 machines whose calls the filter knows."""
        found = list(self.profile.architectures)
        for name, others in self.profile.arch_map:
            found += [name, *others] if name in NATIVE.values() else []
        return list(dict.fromkeys(found)) or list(NATIVE.values())


def get_engine_default() -> Base:
    """Return the engine's built-in profile."""
    return Base(ENGINE_DEFAULT, format_engine_default())


def _is_for_known_machine(rule: SyscallRule) -> bool:
    return not rule.includes.arches or bool(_ARCHES & set(rule.includes.arches))


def narrow_grants(grants: Sequence[Grant], capabilities: Collection[str]) -> list[Grant]:
    """Return the grants that apply to a container with these capabilities (names with CAP_)."""
    return [grant for grant in grants if set(grant.includes.caps) <= set(capabilities) and not set(grant.excludes.caps) & set(capabilities)]


def build_rule(names: Collection[str], answer: int, grant: Grant = FREE, comment: str = "", errno: int | None = None) -> dict[str, Any]:
    """Return an entry of a profile's `syscalls`."""
    rule: dict[str, Any] = {"names": sorted(names), "action": _ACTION_NAMES[bpf.extract_action(answer)]}
    if errno is not None:
        rule["errnoRet"] = errno
    if grant.conditions:
        rule["args"] = [_build_condition(condition) for condition in grant.conditions]
    for key, part in (("includes", grant.includes), ("excludes", grant.excludes)):
        if part != RuleFilter():
            rule[key] = _build_filter(part)
    if comment:
        rule["comment"] = comment
    return rule


def _build_condition(condition: Condition) -> dict[str, Any]:
    two = {"valueTwo": condition.value_two} if condition.op == "SCMP_CMP_MASKED_EQ" else {}
    return {"index": condition.index, "value": condition.value, **two, "op": condition.op}


def _build_filter(part: RuleFilter) -> dict[str, Any]:
    kernel = {"minKernel": f"{part.min_kernel[0]}.{part.min_kernel[1]}"} if part.min_kernel else {}
    return {key: list(value) for key, value in (("caps", part.caps), ("arches", part.arches)) if value} | kernel


def is_met(conditions: Sequence[Condition], arguments: Mapping[int, int]) -> bool:
    """Return whether a call's arguments (index -> value) meet all conditions (man 3 seccomp_rule_add). Missing ones meet none."""
    return all(condition.index in arguments and condition.is_met(arguments[condition.index]) for condition in conditions)


def list_possible_answers(name: str, argument: int | None, default: int, rules: Sequence[Rule]) -> Iterator[int]:
    """Yield the answers of the rules that a call meets or, if its first argument is not known, may meet. argument: as it is recorded."""
    for answer, conditions in rules:
        results = [_meets(name, argument, condition) for condition in conditions]
        if False in results:
            continue
        yield answer
        if None not in results:
            return
    yield default


def _meets(name: str, argument: int | None, condition: Condition) -> bool | None:
    """Return whether the recorded argument, which is the first one, meets a condition; None if it is not known."""
    if argument is None or condition.index != 0:
        return None
    # For clone, only the flags of new namespaces are recorded.
    if name == "clone" and (condition.op != "SCMP_CMP_MASKED_EQ" or condition.value & ~NAMESPACE_FLAGS):
        return None
    return condition.is_met(argument)


def find_excess(profile: ParsedProfile, base: Base, capabilities: Collection[str] = DEFAULT_CAPABILITIES) -> list[str]:
    """Return the calls that a profile allows and the base denies, for some arguments, on some machine and with some capabilities.

    Compared are containers without capabilities, with all, with the engine's default ones and with these.
    """
    every = frozenset(f"CAP_{name}" for name in CAPABILITIES)
    found: set[str] = set()
    for machine, caps in itertools.product(NATIVE, {frozenset(), DEFAULT_CAPABILITIES, every, frozenset(capabilities)}):
        inner, outer = (expand_profile(each, machine, RECENT_KERNEL, caps) for each in (profile, base.profile))
        found.update(name for name, number in load_table(machine).items() if _exceeds(inner, outer, number))
        found.update(name for name in inner.by_name if name not in load_table(machine) and _exceeds_by_name(inner, outer, name))
    return sorted(found)


def _exceeds(inner: Expanded, outer: Expanded, number: int) -> bool:
    default, rules = inner.list_rules(number)
    outer_default, outer_rules = outer.list_rules(number)
    if not any(map(bpf.is_allowing, inner.answers(number))) or all(map(bpf.is_allowing, outer.answers(number))):
        return False
    try:
        return bpf.is_allowing(default) or has_excess(rules, outer_default, outer_rules, Budget())
    except TooComplex:
        return True


def _exceeds_by_name(inner: Expanded, outer: Expanded, name: str) -> bool:
    """Return whether a call that only other ABIs have is allowed in one profile and denied in the other."""
    return inner.is_allowing(name) and not outer.is_allowing(name)
