# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that the kernel holds against what a profile says: call by call, with every telling argument."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import bpf
from .reach import find_reachable_answers, find_tested_arguments
from .semantics import Expanded, list_boundary_arguments
from .syscalls import AARCH64, AUDIT_ARCH, X32_BIT, X86_64, load_table

# Numbers above the table are looked at as well: a filter may let newer calls through that have no name here yet.
NUMBERS = range(512)
# Other ABIs that a kernel may offer to the same process: name → (AUDIT_ARCH_* name, bits added to each number, name in a profile).
_COMPAT = {
    X86_64: {"x86": ("i386", 0, "SCMP_ARCH_X86"), "x32": (X86_64, X32_BIT, "SCMP_ARCH_X32")},
    AARCH64: {"arm": ("arm", 0, "SCMP_ARCH_ARM")},
}

_Answers = list[frozenset[int]]


@dataclass
class Comparison:
    """Names of calls, sorted.

    surplus: the kernel lets through what the profile never does. missing: the kernel refuses what the profile always or sometimes allows.
    loosened, tightened: arguments decide, and for some of them the kernel allows more, or less, than the profile.
    abis: other ABIs whose calls get through although the profile doesn't name their architecture.
    counts: how many calls the kernel's filters allow, allow for some arguments, refuse with an error, and kill for.
    """

    surplus: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    loosened: list[str] = field(default_factory=list)
    tightened: list[str] = field(default_factory=list)
    abis: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return not (self.surplus or self.missing or self.loosened or self.tightened or self.abis)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_answers(programs: Sequence[bpf.Program], arch: int, numbers: Sequence[int]) -> _Answers:
    """For each number, every answer that all filters together can give; `programs` from the oldest to the newest."""
    together = [frozenset({bpf.ALLOW})] * len(numbers)
    for program in programs:
        own = find_reachable_answers(program, arch, numbers)
        together = [mine if before == {bpf.ALLOW} else _combine_answers(mine, before) for mine, before in zip(own, together, strict=True)]
    return together


def _combine_answers(newer: frozenset[int], older: frozenset[int]) -> frozenset[int]:
    return frozenset(bpf.find_strictest((n, o)) for n in newer for o in older)


def count_answers(machine: str, answers: _Answers) -> dict[str, int]:
    """Kinds of answers among the calls that `machine` has; `answers` for NUMBERS."""
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
    """Those of `names` that the filters let through, if only for some arguments."""
    numbers = load_table(machine)
    known = sorted((numbers[name], name) for name in names if name in numbers)
    answers = find_answers(programs, AUDIT_ARCH[machine], [number for number, unused in known])
    return sorted(name for (unused, name), possible in zip(known, answers, strict=True) if any(map(bpf.is_allowing, possible)))


def compare_filters(programs: Sequence[bpf.Program], expected: Expanded) -> Comparison:
    """The filters of a process, oldest first, against a profile expanded for it."""
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
    """Under which list of a Comparison a call belongs; None when kernel and profile agree."""
    desired = expected.answers(number)
    kernel_allows, wanted_allows = ({bpf.is_allowing(value) for value in values} for values in (kernel, desired))
    if kernel_allows == wanted_allows and len(wanted_allows) == 1:
        return None
    if wanted_allows == {False}:
        return "surplus"
    if kernel_allows == {False}:
        return "missing"
    if wanted_allows == {True}:
        return "tightened"
    if kernel_allows == {True}:
        return "loosened"
    return _compare_arguments(programs, expected, number)


def _compare_arguments(programs: Sequence[bpf.Program], expected: Expanded, number: int) -> str | None:
    """Arguments decide on both sides: whether they decide alike. A loosening outweighs a tightening."""
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
