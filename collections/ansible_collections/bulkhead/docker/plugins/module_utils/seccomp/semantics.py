# SPDX-License-Identifier: GPL-3.0-or-later
"""Expands a profile for one container: the rules that Docker keeps, and the filter that runc and libseccomp build from them.

Sources: moby/profiles seccomp/seccomp_linux.go (which rules apply), runc libcontainer/seccomp/seccomp_linux.go (rules that repeat the
default, several conditions on one argument) and patchbpf/enosys_linux.go (ENOSYS for calls newer than the profile), libseccomp src/db.c.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from . import bpf
from .profile import ENOSYS, Condition, ParsedProfile, RuleFilter
from .syscalls import AARCH64, X86_64, load_table

NATIVE = {X86_64: "SCMP_ARCH_X86_64", AARCH64: "SCMP_ARCH_AARCH64"}
_DOCKER_ARCH = {X86_64: "amd64", AARCH64: "arm64"}
MAX_VECTORS = 2048


@dataclass
class Expanded:
    """A profile for one machine, kernel and set of capabilities.

    default: the answer for a call without a rule. rules: number → (answer, conditions), in the order that libseccomp gets.
    newest: above this number, the answer is ENOSYS (None: no limit). architectures: those whose calls the filter knows.
    """

    machine: str
    default: int
    rules: dict[int, list[tuple[int, tuple[Condition, ...]]]] = field(default_factory=dict)
    newest: int | None = None
    architectures: tuple[str, ...] = ()

    def answers(self, number: int) -> frozenset[int]:
        """Return every answer that a call can get, for some arguments."""
        if self.newest is not None and number > self.newest:
            return frozenset({bpf.ERRNO | ENOSYS})
        rules = self.rules.get(number)
        if not rules:
            return frozenset({self.default})
        for answer, conditions in rules:
            if not conditions:  # libseccomp drops rules with conditions if one has none
                return frozenset({answer})
        return frozenset({self.default, *(answer for answer, unused in rules)})

    def answer(self, number: int, args: Sequence[int]) -> int | None:
        """Return the answer for one call; None if rules with different actions match, because then libseccomp's order decides."""
        possible = self.answers(number)
        if len(possible) == 1:
            return next(iter(possible))
        matching = {answer for answer, conditions in self.rules[number] if all(meets_condition(c, args) for c in conditions)}
        if len(matching) > 1:
            return None
        return matching.pop() if matching else self.default


def expand_profile(profile: ParsedProfile, machine: str, kernel: tuple[int, int], capabilities: Collection[str]) -> Expanded:
    """Return a profile as Docker and runc apply it.

    machine: as `uname -m` prints it. kernel: major and minor version. capabilities: the container's bounding set, names with CAP_.
    """
    numbers = load_table(machine)
    architectures = profile.architectures
    for name, others in profile.arch_map:
        if name == NATIVE[machine]:
            architectures = (name, *others)
            break
    expanded = Expanded(machine, profile.default, architectures=architectures or (NATIVE[machine],))
    named = 0
    for rule in profile.rules:
        if not _applies(rule.includes, rule.excludes, machine, kernel, capabilities):
            continue
        for number in (numbers[name] for name in rule.names if name in numbers):
            named = max(named, number)
            if rule.answer == profile.default:
                continue
            indexes = [c.index for c in rule.conditions]
            if len(set(indexes)) < len(indexes):  # runc makes a rule of each, so either is enough
                expanded.rules.setdefault(number, []).extend((rule.answer, (c,)) for c in rule.conditions)
            else:
                expanded.rules.setdefault(number, []).append((rule.answer, rule.conditions))
    if architectures and named and bpf.extract_action(profile.default) not in (bpf.ALLOW, bpf.LOG, bpf.TRACE):
        expanded.newest = named
    return expanded


def _applies(includes: RuleFilter, excludes: RuleFilter, machine: str, kernel: tuple[int, int], capabilities: Collection[str]) -> bool:
    """Return whether a rule applies: all of `includes` and nothing of `excludes` is met."""
    arch = _DOCKER_ARCH[machine]
    if arch in excludes.arches or any(cap in capabilities for cap in excludes.caps):
        return False
    if excludes.min_kernel and kernel >= excludes.min_kernel:
        return False
    if includes.arches and arch not in includes.arches:
        return False
    if not all(cap in capabilities for cap in includes.caps):
        return False
    return not (includes.min_kernel and kernel < includes.min_kernel)


def meets_condition(condition: Condition, args: Sequence[int]) -> bool:
    """Return whether a call's arguments (unsigned, 64 bits) meet a condition."""
    arg, value = args[condition.index], condition.value
    return {
        "SCMP_CMP_NE": arg != value,
        "SCMP_CMP_LT": arg < value,
        "SCMP_CMP_LE": arg <= value,
        "SCMP_CMP_EQ": arg == value,
        "SCMP_CMP_GE": arg >= value,
        "SCMP_CMP_GT": arg > value,
        "SCMP_CMP_MASKED_EQ": arg & value == condition.value_two & value,
    }[condition.op]


def list_boundary_arguments(
    rules: Sequence[tuple[int, tuple[Condition, ...]]], others: Mapping[int, set[int]] | None = None
) -> Iterator[tuple[int, ...]]:
    """Yield arguments at and next to every boundary of a call's conditions, for which a filter of another profile would answer differently.

    others: index of an argument -> further values to try.
    """
    values: dict[int, set[int]] = {index: set(own) for index, own in (others or {}).items()}
    for condition in (c for unused, conditions in rules for c in conditions):
        near = values.setdefault(condition.index, set())
        if condition.op == "SCMP_CMP_MASKED_EQ":
            desired = condition.value_two & condition.value
            near |= {desired, desired | (~condition.value & 0xFFFFFFFF)}
            near |= {desired ^ 1 << bit for bit in range(64) if condition.value >> bit & 1}
        else:
            near |= {(condition.value + step) % 2**64 for step in (-1, 0, 1, 2**32)}
    for near in values.values():
        near |= {0, 1, 2**32, 2**64 - 1}
    indexes = sorted(values)
    for chosen in itertools.islice(itertools.product(*(sorted(values[i]) for i in indexes)), MAX_VECTORS):
        args = [0] * 6
        for index, value in zip(indexes, chosen, strict=True):
            args[index] = value
        yield tuple(args)
