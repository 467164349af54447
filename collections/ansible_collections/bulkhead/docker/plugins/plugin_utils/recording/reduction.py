# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a seccomp profile with the engine's default: calls that it takes away, and known vulnerabilities of the kernel that need them. Pure.

The vulnerabilities are in vulnerabilities.yml.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from ...module_utils.seccomp import bpf
from ...module_utils.seccomp.check import DEFAULT_CAPABILITIES, RECENT_KERNEL
from ...module_utils.seccomp.profile import parse_profile
from ...module_utils.seccomp.semantics import Expanded, expand_profile
from ...module_utils.seccomp.syscalls import X86_64, load_table
from .call_descriptions import FAMILIES
from .seccomp_base import get_engine_default, list_possible_answers

_SOURCE = "https://nvd.nist.gov/vuln/detail/"
_USER_NAMESPACE, _SOCKET = "new user namespace", "socket "
_CLONE_NEWUSER = 0x10000000


@dataclass(frozen=True)
class Vulnerability:
    """A vulnerability of the kernel. needs: what an attack needs, all of it; of each tuple, one is enough."""

    cve: str
    title: str
    needs: tuple[tuple[str, ...], ...]

    @property
    def url(self) -> str:
        """Where it is described."""
        return f"{_SOURCE}{self.cve}"


@dataclass(frozen=True)
class Reduction:
    """What a profile takes away, on one machine.

    allowed, default_allowed: how many calls the profile and the engine's default allow, at least for some arguments. removed: calls that only the
    default allows. stopped: vulnerabilities that the profile stops and the default does not -> what the attack lacks. already: those that the
    default stops and the profile too. open: those that neither profile stops alone.
    """

    allowed: int
    default_allowed: int
    removed: list[str]
    stopped: dict[Vulnerability, str]
    already: list[Vulnerability]
    open: list[Vulnerability]

    @property
    def share(self) -> float:
        """The share of the default's calls that is gone, from 0 to 1."""
        return 1 - self.allowed / self.default_allowed


@functools.cache
def load_vulnerabilities() -> tuple[Vulnerability, ...]:
    """Return the list of vulnerabilities.yml."""
    data = yaml.safe_load((Path(__file__).parent / "vulnerabilities.yml").read_text(encoding="utf-8"))
    return tuple(
        Vulnerability(each["cve"], each["title"], tuple((need,) if isinstance(need, str) else tuple(need) for need in each["needs"]))
        for each in data["vulnerabilities"]
    )


def compare_with_default(text: str, machine: str = X86_64, capabilities: Collection[str] = DEFAULT_CAPABILITIES) -> Reduction:
    """Return what a profile (its text) takes away from the engine's default. capabilities: of the container, with CAP_."""
    profile, default = (
        expand_profile(parsed, machine, RECENT_KERNEL, capabilities)
        for parsed in (parse_profile(text, "profile"), get_engine_default().profile)
    )
    own, before = (_list_allowed(expanded) for expanded in (profile, default))
    stopped: dict[Vulnerability, str] = {}
    already, left = [], []
    for vulnerability in load_vulnerabilities():
        missing, missing_before = (_find_missing(vulnerability, expanded) for expanded in (profile, default))
        if missing and missing_before:
            already.append(vulnerability)
        elif missing:
            stopped[vulnerability] = missing
        else:
            left.append(vulnerability)
    return Reduction(len(own), len(before), sorted(before - own), stopped, already, left)


def _list_allowed(expanded: Expanded) -> set[str]:
    return {name for name, number in load_table(expanded.machine).items() if any(map(bpf.is_allowing, expanded.answers(number)))}


def _find_missing(vulnerability: Vulnerability, expanded: Expanded) -> str:
    """Return what an attack needs and the profile denies; empty if it denies nothing of it."""
    return next((" or ".join(need) for need in vulnerability.needs if not any(_is_possible(each, expanded) for each in need)), "")


def _is_possible(need: str, expanded: Expanded) -> bool:
    if need == _USER_NAMESPACE:
        return (
            _is_allowed("unshare", None, expanded)
            or _is_allowed("clone3", None, expanded)
            or _is_allowed("clone", _CLONE_NEWUSER, expanded)
        )
    if need.startswith(_SOCKET):
        return _is_allowed("socket", FAMILIES[need.removeprefix(_SOCKET)], expanded)
    return _is_allowed(need, None, expanded)


def _is_allowed(name: str, argument: int | None, expanded: Expanded) -> bool:
    number = load_table(expanded.machine).get(name)
    if number is None:
        return False
    default, rules = expanded.list_rules(number)
    return any(map(bpf.is_allowing, list_possible_answers(name, argument, default, rules)))
