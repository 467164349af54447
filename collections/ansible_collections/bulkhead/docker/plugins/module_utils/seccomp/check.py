# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a profile is worth installing: what the engine would accept in silence, and what would start no container."""

from __future__ import annotations

from . import bpf
from .profile import DEFAULT_CAPABILITIES, ParsedProfile, ProfileError, parse_profile
from .semantics import NATIVE, expand_profile
from .syscalls import X86_64, list_known_names, load_table

# Without any one of these no container starts, or `docker exec` fails, under runc 1.1.5, 1.1.15 or 1.3.6: taken away one by one from a
# profile that works, with and without no-new-privileges. (With it the filter is loaded later, and fewer are needed; but a container can
# opt out of it.)
FLOOR = [
    "capget",
    "capset",
    "chdir",
    "close",
    "execve",
    "exit_group",
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
    "statx",
    "write",
]
RECENT_KERNEL = (6, 12)


def find_profile_problems(text: str, where: str, permissive: bool = False) -> list[str]:
    """One sentence for each thing that is wrong with a profile's text; `where` names it. `permissive`: it may allow by default."""
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
    for at, rule in enumerate(profile.rules):
        for name in rule.names:
            if name not in known:
                from difflib import get_close_matches  # only where something is wrong

                near = get_close_matches(name, known, 1, 0.75)
                hint = f'write "{near[0]}"' if near else "correct it or take it out"
                found.append(
                    f'{where}: syscalls[{at}].names: "{name}" is no system call that libseccomp knows, and the engine would skip it '
                    f"in silence; {hint}."
                )
    return found


def _find_permissive_default(profile: ParsedProfile, where: str, permissive: bool) -> list[str]:
    if permissive or not bpf.is_allowing(profile.default):
        return []
    return [
        f"{where}: defaultAction: {bpf.describe_answer(profile.default)} lets every call through that no rule names, those of future kernels too; "
        "write SCMP_ACT_ERRNO and list what is needed, or say `permissive: true` in the entry."
    ]


def _find_void_conditions(profile: ParsedProfile, where: str) -> list[str]:
    """Conditions that say less than they seem to, once runc and libseccomp have read them."""
    found = []
    for at, rule in enumerate(profile.rules):
        indexes = [condition.index for condition in rule.conditions]
        if len(set(indexes)) < len(indexes):
            found.append(
                f"{where}: syscalls[{at}].args: has two conditions on one argument, and runc lets a call pass that meets either; "
                "write a rule for each if that is meant, or one condition."
            )
    free: dict[str, int] = {}
    plain = [(at, rule) for at, rule in enumerate(profile.rules) if rule.includes == rule.excludes]
    for at, rule in plain:
        if not rule.conditions and rule.answer != profile.default:
            free.update({name: at for name in rule.names if name not in free})
    for at, rule in plain:
        for name in rule.names if rule.conditions else ():
            if name in free:
                found.append(
                    f'{where}: syscalls[{at}]: the conditions on "{name}" have no effect, because syscalls[{free[name]}] names it '
                    "without any; take it out of one of them."
                )
    return found


def _find_missing_runc_calls(profile: ParsedProfile, where: str) -> list[str]:
    """Calls that runc cannot do without and that the profile refuses whatever their arguments are."""
    machines = [machine for machine, name in NATIVE.items() if _is_covered(profile, name)] or [X86_64]
    for machine in machines:
        expanded = expand_profile(profile, machine, RECENT_KERNEL, DEFAULT_CAPABILITIES)
        numbers = load_table(machine)
        refused = [n for n in FLOOR if n in numbers and not any(map(bpf.is_allowing, expanded.answers(numbers[n])))]
        if refused:
            return [
                f"{where}: no container would start with it: runc itself needs {', '.join(refused)} once the filter is loaded; "
                "allow them (the building block `runc` has them all)."
            ]
    return []


def _is_covered(profile: ParsedProfile, architecture: str) -> bool:
    return architecture in profile.architectures or any(architecture == name for name, unused in profile.arch_map)
