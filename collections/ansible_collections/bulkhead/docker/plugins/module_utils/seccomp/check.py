# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a profile for faults that the engine accepts without a message, and for those that no container starts with."""

from __future__ import annotations

from collections.abc import Sequence

from ..capabilities import ENGINE_DEFAULT
from . import bpf
from .profile import parse_profile
from .semantics import NATIVE, ParsedProfile, ProfileError, expand_profile
from .syscalls import X86_64, load_table
from .syscalls_other import list_known_names

# If one of these is denied, no container starts. Measured with runc 1.1.5 by denying 120 calls one by one to a program that makes none
# itself; 1.1.15 and 1.3.6 need them too. `docker exec` needs no others. Calls that only some versions need are in `SINCE`.
FLOOR = [
    "capget",
    "capset",
    "chdir",
    "close",
    "execve",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getppid",
    "newfstatat",
    "openat",
    "prctl",
    "read",
    "rt_sigreturn",
    "setgid",
    "setgroups",
    "setuid",
    "write",
]
# Those that are needed with no-new-privileges too: runc then loads the filter later. A container can opt out of no-new-privileges.
FLOOR_AFTER_USER = {"close", "execve", "fstatfs", "futex", "getdents64", "openat", "rt_sigreturn", "write"}
# Call -> the first versions of runc that need it, one per branch. statx: /proc is checked by its mount ID since the fixes of
# CVE-2025-31133 (runc 1.3.6 measured; read: vendor/cyphar.com/go-pathrs, github.com/cyphar/filepath-securejoin).
SINCE: dict[str, tuple[tuple[int, int, int], ...]] = {"statx": ((1, 2, 8), (1, 3, 3), (1, 4, 0))}
RECENT_KERNEL = (6, 12)
DEFAULT_CAPABILITIES = frozenset(f"CAP_{name}" for name in ENGINE_DEFAULT)


def find_profile_problems(text: str, where: str, permissive: bool = False) -> list[str]:
    """Return a message per fault of a profile's text. where: its name in messages. permissive: it may allow by default."""
    try:
        profile = parse_profile(text, where)
    except ProfileError as error:
        return error.problems
    return [
        *_find_unknown_calls(profile, where),
        *_find_permissive_default(profile, where, permissive),
        *_find_void_conditions(profile, where),
        *_find_missing_runc_calls(profile, where),
    ]


def _find_unknown_calls(profile: ParsedProfile, where: str) -> list[str]:
    known = list_known_names()
    found = []
    for index, rule in enumerate(profile.rules):
        for name in rule.names:
            if name not in known:
                from difflib import get_close_matches  # only needed for messages

                near = get_close_matches(name, known, 1, 0.75)
                hint = f'write "{near[0]}"' if near else "correct or remove it"
                found.append(
                    f'{where}: syscalls[{index}].names: "{name}" is not a system call that libseccomp knows, and the engine ignores it; '
                    f"{hint}"
                )
    return found


def _find_permissive_default(profile: ParsedProfile, where: str, permissive: bool) -> list[str]:
    if permissive or not bpf.is_allowing(profile.default):
        return []
    return [
        f"{where}: defaultAction: {bpf.describe_answer(profile.default)} allows every call that no rule names, also those of future kernels; "
        "write SCMP_ACT_ERRNO and list what is needed, or write `permissive: true` in the entry"
    ]


def _find_void_conditions(profile: ParsedProfile, where: str) -> list[str]:
    """Return a message per condition that runc or libseccomp ignores."""
    found = []
    for index, rule in enumerate(profile.rules):
        indexes = [condition.index for condition in rule.conditions]
        if len(set(indexes)) < len(indexes):
            found.append(
                f"{where}: syscalls[{index}].args: has two conditions on one argument, and runc allows a call that meets either; "
                "write a rule for each if that is intended, or one condition"
            )
    free: dict[str, int] = {}
    plain = [(index, rule) for index, rule in enumerate(profile.rules) if rule.includes == rule.excludes]
    for index, rule in plain:
        if not rule.conditions and rule.answer != profile.default:
            free.update({name: index for name in rule.names if name not in free})
    for index, rule in plain:
        for name in rule.names if rule.conditions else ():
            if name in free:
                found.append(
                    f'{where}: syscalls[{index}]: the conditions on "{name}" have no effect, because syscalls[{free[name]}] names it '
                    "without any; remove it from one of them"
                )
    return found


def _find_missing_runc_calls(profile: ParsedProfile, where: str) -> list[str]:
    """Return a message if the profile always denies calls that each version of runc needs."""
    denied = _list_denied(profile, FLOOR)
    if not denied:
        return []
    kind = "" if FLOOR_AFTER_USER & set(denied) else " without no-new-privileges"
    return [
        f"{where}: no container would start{kind}: runc needs {', '.join(denied)} after the filter is loaded; "
        "allow them (the building block `runc` contains them)"
    ]


def find_missing_calls(text: str, version: tuple[int, int, int] | None) -> tuple[list[str], list[str]]:
    """Return calls that a profile always denies and that this version of runc needs, and those that it may need (None: any version)."""
    denied = _list_denied(parse_profile(text, ""), list(SINCE))
    if version is None:
        return [], denied
    needed = [
        name for name in denied if version >= min(first for first in SINCE[name] if first[:2] == version[:2] or first == SINCE[name][-1])
    ]
    return needed, []


def _list_denied(profile: ParsedProfile, names: Sequence[str]) -> list[str]:
    """Return the calls that the profile denies with any arguments, on the first machine that it is for and that has such calls."""
    machines = [machine for machine, name in NATIVE.items() if _is_covered(profile, name)] or [X86_64]
    for machine in machines:
        expanded = expand_profile(profile, machine, RECENT_KERNEL, DEFAULT_CAPABILITIES)
        numbers = load_table(machine)
        if denied := [name for name in names if name in numbers and not any(map(bpf.is_allowing, expanded.answers(numbers[name])))]:
            return denied
    return []


def _is_covered(profile: ParsedProfile, architecture: str) -> bool:
    return architecture in profile.architectures or any(architecture == name for name, unused in profile.arch_map)
