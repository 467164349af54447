# SPDX-License-Identifier: GPL-3.0-or-later
"""How Docker, runc and libseccomp apply a profile. The cases were verified with libseccomp 2.5.4 and 2.6.1."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import DEFAULT_CAPABILITIES
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Condition, Expanded, expand_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table

from .programs import answer, meets_condition

ALLOW, EPERM, ENOSYS = bpf.ALLOW, bpf.ERRNO | 1, bpf.ERRNO | 38
NUMBERS = load_table("x86_64")


def expanded(*rules: dict[str, Any], capabilities: Collection[str] = DEFAULT_CAPABILITIES, machine: str = "x86_64", **top: Any) -> Expanded:
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules, **top})
    return expand_profile(parse_profile(text, "x"), machine, (6, 1), capabilities)


def allow(name: str, *args: tuple[int, str, int], **keys: Any) -> dict[str, Any]:
    return {
        "names": [name],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": i, "op": f"SCMP_CMP_{op}", "value": v} for i, op, v in args],
        **keys,
    }


@pytest.mark.parametrize(
    ("keys", "counts"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
    ],
)
def test_rules_that_apply(keys: dict[str, Any], counts: bool) -> None:
    assert bool(expanded(allow("ptrace", **keys)).rules) is counts


@pytest.mark.parametrize(
    ("op", "value", "two", "arg", "met"),
    [
        ("NE", 5, 0, 5, False),
        ("NE", 40, 0, 2**32 | 40, True),  # the kernel would look at 40 here: why a negative list is none
        ("LT", 5, 0, 4, True),
        ("LT", 5, 0, 5, False),
        ("LE", 5, 0, 5, True),
        ("EQ", 5, 0, 2**32 | 5, False),
        ("GE", 5, 0, 5, True),
        ("GT", 5, 0, 2**63, True),
        ("MASKED_EQ", 0x7E020000, 0, 0x00010000, True),
        ("MASKED_EQ", 0x7E020000, 0, 0x00020000, False),
        ("MASKED_EQ", 6, 9, 0, True),  # libseccomp masks the second value too
    ],
)
def test_conditions(op: str, value: int, two: int, arg: int, met: bool) -> None:
    assert meets_condition(Condition(0, f"SCMP_CMP_{op}", value, two), (arg,)) is met


def test_rule_without_conditions_replaces_others() -> None:
    for rules in ((allow("clone"), allow("clone", (0, "EQ", 1))), (allow("clone", (0, "EQ", 1)), allow("clone"))):
        assert expanded(*rules).answers(NUMBERS["clone"]) == {ALLOW}


def test_rules_are_alternatives_and_conditions_combine() -> None:
    either = expanded(allow("socket", (0, "EQ", 1)), allow("socket", (0, "EQ", 2)))
    both = expanded(allow("socket", (0, "EQ", 1), (1, "EQ", 2)))
    socket = NUMBERS["socket"]
    assert [answer(either, socket, (n, 0)) for n in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]
    assert [answer(both, socket, args) for args in ((1, 2), (1, 3))] == [ALLOW, EPERM]
    assert both.answers(socket) == {ALLOW, EPERM}


def test_two_conditions_on_one_argument_are_alternatives_to_runc() -> None:
    one = expanded(allow("socket", (0, "NE", 38), (0, "NE", 40)))
    assert answer(one, NUMBERS["socket"], (38,)) == ALLOW


def test_contradicting_rules_have_no_answer() -> None:
    one = expanded(allow("socket", (0, "GT", 1)), {**allow("socket", (0, "GT", 2)), "action": "SCMP_ACT_KILL_PROCESS"})
    assert answer(one, NUMBERS["socket"], (3,)) is None
    assert answer(one, NUMBERS["socket"], (2,)) == ALLOW


def test_calls_newer_than_the_profile_do_not_exist() -> None:
    one = expanded(allow("read"), allow("clone"), archMap=[{"architecture": "SCMP_ARCH_X86_64"}])
    assert one.answers(NUMBERS["clone"] - 1) == {EPERM}
    assert one.answers(NUMBERS["clone"] + 1) == {ENOSYS}
    permissive = expanded(allow("read"), archMap=[{"architecture": "SCMP_ARCH_X86_64"}], defaultAction="SCMP_ACT_LOG")
    assert permissive.newest is None


def test_architectures_are_those_of_the_machine() -> None:
    arch_map = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
    ]
    assert expanded(archMap=arch_map).architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    assert expanded(archMap=arch_map, machine="aarch64").architectures == ("SCMP_ARCH_AARCH64",)
    assert expanded().architectures == ("SCMP_ARCH_X86_64",)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], False),
        ([allow("umount")], True),  # only 32-bit ABIs have it
        ([allow("umount", (0, "EQ", 1))], True),
        ([allow("umount", (0, "EQ", 1)), {**allow("umount"), "action": "SCMP_ACT_KILL"}], False),
        ([allow("umount", includes={"caps": ["CAP_SYS_ADMIN"]})], False),
    ],
)
def test_calls_of_other_abis_are_looked_up_by_name(rules: list[dict[str, Any]], allowed: bool) -> None:
    assert expanded(*rules).is_allowing("umount") is allowed


def test_default_decides_about_calls_without_a_rule() -> None:
    deny = {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}
    one = expanded(
        deny, {**deny, "names": ["mount"], "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}, defaultAction="SCMP_ACT_LOG"
    )
    assert [one.is_allowing(name) for name in ("reboot", "mount", "umount")] == [False, True, True]
