# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the kernel's filters with a profile, call by call, with every argument that could differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import bpf
from .reach import find_reachable_answers, find_tested_arguments
from .semantics import Expanded, list_boundary_arguments
from .syscalls import AARCH64, AUDIT_ARCH, X32_BIT, X86_64, load_table

# Includes numbers above the table: a filter may allow newer calls, which have no name yet.
NUMBERS = range(512)
# Other ABIs of the same process: name → (AUDIT_ARCH_* name, bits added to each number, name in a profile).
_COMPAT = {
    X86_64: {"x86": ("i386", 0, "SCMP_ARCH_X86"), "x32": (X86_64, X32_BIT, "SCMP_ARCH_X32")},
    AARCH64: {"arm": ("arm", 0, "SCMP_ARCH_ARM")},
}

_Answers = list[frozenset[int]]


@dataclass
class Comparison:
    """Names of calls, sorted.

    surplus: the kernel allows what the profile never allows. missing: the kernel denies what the profile always or sometimes allows.
    loosened, tightened: for some arguments the kernel allows more, or less, than the profile. abis: other ABIs whose calls are allowed
    although the profile does not name their architecture. counts: how many calls the filters allow, allow for some arguments, deny with
    an error, and kill for.
    """

    surplus: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    loosened: list[str] = field(default_factory=list)
    tightened: list[str] = field(default_factory=list)
    abis: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        return not (self.surplus or self.missing or self.loosened or self.tightened or self.abis)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_answers(programs: Sequence[bpf.Program], arch: int, numbers: Sequence[int]) -> _Answers:
    """Return per number the possible answers of all filters together. programs: the oldest first."""
    together = [frozenset({bpf.ALLOW})] * len(numbers)
    for program in programs:
        own = find_reachable_answers(program, arch, numbers)
        together = [mine if before == {bpf.ALLOW} else _combine_answers(mine, before) for mine, before in zip(own, together, strict=True)]
    return together


def _combine_answers(newer: frozenset[int], older: frozenset[int]) -> frozenset[int]:
    return frozenset(bpf.find_strictest((n, o)) for n in newer for o in older)


def count_answers(machine: str, answers: _Answers) -> dict[str, int]:
    """Count the kinds of answers of the calls of a machine. answers: for NUMBERS."""
    counts = {"allowed": 0, "conditional": 0, "errno": 0, "kill": 0}
    for number in load_table(machine).values():
        possible = answers[number]
        open_to = [bpf.is_allowing(value) for value in possible]
        if all(open_to):
            counts["allowed"] += 1
        elif any(open_to):
            counts["conditional"] += 1
        elif all(bpf.extract_action(value) == bpf.ERRNO for value in possible):
            counts["errno"] += 1
        else:
            counts["kill"] += 1
    return counts


def list_allowed_calls(programs: Sequence[bpf.Program], machine: str, names: Collection[str]) -> list[str]:
    """Return those of `names` that the filters allow, for all or some arguments."""
    numbers = load_table(machine)
    known = sorted((numbers[name], name) for name in names if name in numbers)
    answers = find_answers(programs, AUDIT_ARCH[machine], [number for number, unused in known])
    return sorted(name for (unused, name), possible in zip(known, answers, strict=True) if any(map(bpf.is_allowing, possible)))


def compare_filters(programs: Sequence[bpf.Program], expected: Expanded) -> Comparison:
    """Compare the filters of a process, the oldest first, with a profile that is expanded for it."""
    machine = expected.machine
    answers = find_answers(programs, AUDIT_ARCH[machine], NUMBERS)
    result = Comparison(counts=count_answers(machine, answers))
    names = {number: name for name, number in load_table(machine).items()}
    for number in NUMBERS:
        heading = _choose_list(programs, expected, number, answers[number])
        if heading:
            getattr(result, heading).append(names.get(number, f"syscall {number}"))
    for name, (audit_arch, bits, architecture) in _COMPAT[machine].items():
        if architecture not in expected.architectures:
            others = find_answers(programs, AUDIT_ARCH[audit_arch], [number | bits for number in NUMBERS])
            if any(bpf.is_allowing(value) for possible in others for value in possible):
                result.abis.append(name)
    for calls in (result.surplus, result.missing, result.loosened, result.tightened):
        calls.sort()
    return result


def _choose_list(programs: Sequence[bpf.Program], expected: Expanded, number: int, kernel: frozenset[int]) -> str | None:
    """Return the list of a Comparison to which a call belongs; None if kernel and profile agree."""
    desired = expected.answers(number)
    kernel_allows, profile_allows = ({bpf.is_allowing(value) for value in values} for values in (kernel, desired))
    if kernel_allows == profile_allows and len(profile_allows) == 1:
        return None
    if profile_allows == {False}:
        return "surplus"
    if kernel_allows == {False}:
        return "missing"
    if profile_allows == {True}:
        return "tightened"
    if kernel_allows == {True}:
        return "loosened"
    return _compare_arguments(programs, expected, number)


def _compare_arguments(programs: Sequence[bpf.Program], expected: Expanded, number: int) -> str | None:
    """Compare kernel and profile for arguments that both test. `loosened` takes precedence over `tightened`."""
    tightened = False
    tested: dict[int, set[int]] = {}
    for program in programs:
        for index, values in find_tested_arguments(program, AUDIT_ARCH[expected.machine], number).items():
            tested.setdefault(index, set()).update(values)
    for args in list_boundary_arguments(expected.rules[number], tested):
        desired = expected.answer(number, args)
        if desired is None:
            continue
        kernel = bpf.find_strictest(bpf.run_program(program, number, AUDIT_ARCH[expected.machine], args) for program in reversed(programs))
        if bpf.is_allowing(kernel) and not bpf.is_allowing(desired):
            return "loosened"
        tightened = tightened or (bpf.is_allowing(desired) and not bpf.is_allowing(kernel))
    return "tightened" if tightened else None
