# SPDX-License-Identifier: GPL-3.0-or-later
"""Expands a profile for one container: the rules that Docker keeps, and the filter that runc and libseccomp build from them.

Sources: moby/profiles seccomp/seccomp_linux.go (which rules apply), runc libcontainer/seccomp/seccomp_linux.go (rules that repeat the
default, several conditions on one argument) and patchbpf/enosys_linux.go (ENOSYS for calls newer than the profile), libseccomp src/db.c.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from . import bpf
from .syscalls import AARCH64, X86_64, load_table

NATIVE = {X86_64: "SCMP_ARCH_X86_64", AARCH64: "SCMP_ARCH_AARCH64"}
_DOCKER_ARCH = {X86_64: "amd64", AARCH64: "arm64"}
EPERM, ENOSYS = 1, 38
MAX_ERRNO = 4095  # the kernel's limit (kernel/seccomp.c)
ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_NOTIFY": bpf.USER_NOTIF,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
}
OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
)  # fmt: skip


class ProfileError(ValueError):
    """The profile is invalid; `problems` has one message per fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Condition:
    """One comparison of an argument; with SCMP_CMP_MASKED_EQ, `value` is the mask and `value_two` the masked value."""

    index: int
    op: str
    value: int
    value_two: int = 0

    def is_met(self, argument: int) -> bool:
        """Return whether an argument, unsigned and of 64 bits, meets the condition (man 3 seccomp_rule_add)."""
        return {
            "SCMP_CMP_NE": argument != self.value,
            "SCMP_CMP_LT": argument < self.value,
            "SCMP_CMP_LE": argument <= self.value,
            "SCMP_CMP_EQ": argument == self.value,
            "SCMP_CMP_GE": argument >= self.value,
            "SCMP_CMP_GT": argument > self.value,
            "SCMP_CMP_MASKED_EQ": argument & self.value == self.value_two & self.value,
        }[self.op]


@dataclass(frozen=True)
class RuleFilter:
    """The containers and hosts to which a rule applies."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: tuple[int, int] | None = None


@dataclass(frozen=True)
class SyscallRule:
    """One entry of `syscalls`; `answer` is the filter's return value."""

    names: tuple[str, ...]
    answer: int
    conditions: tuple[Condition, ...] = ()
    includes: RuleFilter = RuleFilter()
    excludes: RuleFilter = RuleFilter()


@dataclass(frozen=True)
class ParsedProfile:
    """A whole profile; `arch_map` pairs an architecture with its sub-architectures."""

    default: int
    architectures: tuple[str, ...] = ()
    arch_map: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rules: tuple[SyscallRule, ...] = ()
    errno: int | None = None


def build_answer(action: int, errno: int | None) -> int:
    """Return the filter's answer; runc uses EPERM if a profile sets no errno (runc libcontainer/seccomp/seccomp_linux.go)."""
    return action | (EPERM if errno is None else errno) if action in (bpf.ERRNO, bpf.TRACE) else action


Rule = tuple[int, tuple[Condition, ...]]


@dataclass
class Expanded:
    """A profile for one machine, kernel and set of capabilities.

    default: the answer for a call without a rule. rules: number → (answer, conditions), in the order that libseccomp gets.
    by_name: name of a call, also of one that only other ABIs have → answer → whether only for some arguments.
    newest: above this number, the answer is ENOSYS (None: no limit). architectures: those whose calls the filter knows.
    """

    machine: str
    default: int
    rules: dict[int, list[Rule]] = field(default_factory=dict)
    by_name: dict[str, dict[int, bool]] = field(default_factory=dict)
    newest: int | None = None
    architectures: tuple[str, ...] = ()

    def answers(self, number: int) -> frozenset[int]:
        """Return every answer that a call can get, for some arguments."""
        default, rules = self.list_rules(number)
        return frozenset({default, *(answer for answer, unused in rules)})

    def list_rules(self, number: int) -> tuple[int, list[Rule]]:
        """Return the answer for a call that meets no rule, and the rules with conditions."""
        if self.newest is not None and number > self.newest:
            return bpf.ERRNO | ENOSYS, []
        rules = self.rules.get(number, [])
        for answer, conditions in rules:
            if not conditions:  # libseccomp drops rules with conditions if one has none
                return answer, []
        return self.default, rules

    def is_allowing(self, name: str) -> bool:
        """Return whether a call is allowed for some arguments, in each ABI that has it and is named by the profile."""
        answers = self.by_name.get(name, {})
        always = [answer for answer, conditional in answers.items() if not conditional]
        return any(map(bpf.is_allowing, always[:1] or [self.default, *answers]))


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
        for name in rule.names if rule.answer != profile.default else ():
            known = expanded.by_name.setdefault(name, {})
            known[rule.answer] = known.get(rule.answer, True) and bool(rule.conditions)
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
