# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the kernel's filters with a profile, call by call, with every argument that could differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import bpf
from .forbidden import ABIS, NEVER, list_abi_numbers
from .reach import find_reachable_answers
from .regions import Budget, TooComplex, compare_arguments
from .semantics import Expanded
from .syscalls import AUDIT_ARCH, load_table

# Includes numbers above the table: a filter may allow newer calls, which have no name yet.
NUMBERS = range(512)
# In another ABI also a number that none of its calls has: what the filter does by default.
_ABI_NUMBERS = (*range(548), 4095)

_Answers = list[frozenset[int]]


@dataclass
class Comparison:
    """Names of calls, sorted.

    surplus: the kernel allows what the profile never allows. missing: the kernel denies what the profile always or sometimes allows.
    loosened, tightened: for some arguments the kernel allows more, or less, than the profile. unchecked: calls whose arguments could not
    be compared. abis: other ABIs whose calls are allowed although the profile does not name their architecture. abi_calls: forbidden calls
    of other ABIs that are allowed although the profile denies them, such as `mount (x86)`, or `every call (x86)`. counts: how many calls
    the filters allow, allow for some arguments, deny with an error, and kill for.
    """

    surplus: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    loosened: list[str] = field(default_factory=list)
    tightened: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    abis: list[str] = field(default_factory=list)
    abi_calls: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        return not any(value for name, value in asdict(self).items() if name != "counts")

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


def is_open(programs: Sequence[bpf.Program], machine: str) -> bool:
    """Return whether the filters allow every call of a machine, with any arguments."""
    return all(bpf.is_allowing(value) for possible in find_answers(programs, AUDIT_ARCH[machine], NUMBERS) for value in possible)


def list_allowed_abi_calls(programs: Sequence[bpf.Program], machine: str, abi: str, names: Collection[str]) -> list[str] | None:
    """Return those of `names` that the filters allow in another ABI, each with its ABI. None: they allow none of its calls at all."""
    arch, bits, unused = ABIS[machine][abi]
    numbers = [number | bits for number in _ABI_NUMBERS]
    answers = [set(map(bpf.is_allowing, possible)) for possible in find_answers(programs, AUDIT_ARCH[arch], numbers)]
    if all(allowing == {False} for allowing in answers):
        return None
    if all(allowing == {True} for allowing in answers):
        return [f"every call ({abi})"]
    possible = {number for number, allowing in zip(numbers, answers, strict=True) if True in allowing}
    return sorted(f"{name} ({abi})" for name, number in list_abi_numbers(machine, abi).items() if name in names and number in possible)


def compare_filters(programs: Sequence[bpf.Program], expected: Expanded) -> Comparison:
    """Compare the filters of a process, the oldest first, with a profile that is expanded for it."""
    machine = expected.machine
    answers = find_answers(programs, AUDIT_ARCH[machine], NUMBERS)
    result = Comparison(counts=count_answers(machine, answers))
    names = {number: name for name, number in load_table(machine).items()}
    budget = Budget()
    for number in NUMBERS:
        heading = _choose_list(programs, expected, number, answers[number], budget)
        if heading:
            getattr(result, heading).append(names.get(number, f"syscall {number}"))
    denied = {name for name in NEVER if not expected.is_allowing(name)}
    for abi, (*unused, architecture) in ABIS[machine].items():
        calls = list_allowed_abi_calls(programs, machine, abi, denied)
        if calls is None:
            continue
        if architecture not in expected.architectures:
            result.abis.append(abi)
        elif denied or not bpf.is_allowing(expected.default):
            result.abi_calls += calls
    for calls in (result.surplus, result.missing, result.loosened, result.tightened, result.unchecked):
        calls.sort()
    return result


def _choose_list(programs: Sequence[bpf.Program], expected: Expanded, number: int, kernel: frozenset[int], budget: Budget) -> str | None:
    """Return the list of a Comparison to which a call belongs; None if kernel and profile agree."""
    kernel_allows, profile_allows = ({bpf.is_allowing(value) for value in values} for values in (kernel, expected.answers(number)))
    if len(kernel_allows) == len(profile_allows) == 1:
        return None if kernel_allows == profile_allows else "surplus" if True in kernel_allows else "missing"
    try:
        loosened, tightened = compare_arguments(programs, AUDIT_ARCH[expected.machine], number, *expected.list_rules(number), budget)
    except TooComplex:
        return "unchecked"
    if loosened:
        return "surplus" if profile_allows == {False} else "loosened"
    if tightened:
        return "missing" if kernel_allows == {False} else "tightened"
    return None
