# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles are read as the engine does; a valid one as the strict parser reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.reading import read_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import (
    ACTIONS,
    OPERATORS,
    Condition,
    ParsedProfile,
    ProfileError,
    RuleFilter,
    SyscallRule,
)

ERRNO = bpf.ERRNO | 1


def profile(*rules: Any, **top: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules, **top}


def rule(**keys: Any) -> dict[str, Any]:
    return {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", **keys}


def arg(**keys: Any) -> dict[str, Any]:
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **keys}])


VALID = [
    *map(compose_profile, PRESETS.values()),
    profile(),
    *(profile(rule(action=action), listenerPath="/run/agent.sock") for action in ACTIONS),
    *(profile(defaultAction=action) for action in ACTIONS if action != "SCMP_ACT_NOTIFY"),
    *(profile(arg(op=op, index=index, value=2**64 - 1)) for index, op in enumerate(OPERATORS[:6])),
    profile(arg(op="SCMP_CMP_MASKED_EQ", valueTwo=2**63)),
    profile(rule(name="read", names=[]), rule(names=["socketcall", "no_such_call"]), rule(args=[], comment="no conditions")),
    profile(rule(action="SCMP_ACT_ERRNO", errnoRet=38), rule(action="SCMP_ACT_TRACE", errnoRet=4095), defaultErrnoRet=0),
    profile(rule(includes={"caps": ["CAP_KILL"], "arches": ["amd64"], "minKernel": "4.8"}, excludes={"minKernel": "6.12"})),
    profile(rule(includes={}, excludes=None, args=None, errnoRet=None), architectures=None, archMap=[]),
    profile(architectures=["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], flags=["SECCOMP_FILTER_FLAG_LOG"]),
    profile(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_ARM"}]),
]


@pytest.mark.parametrize("content", VALID)
def test_a_valid_profile_is_read_as_it_is_parsed(content: dict[str, Any]) -> None:
    text = json.dumps(content)
    assert read_profile(text, "x") == parse_profile(text, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # unknown keys, as those of Podman's profiles
        (
            profile(rule(errno="EPERM"), defaultErrno="ENOSYS", syscallz=[]),
            ParsedProfile(ERRNO, rules=(SyscallRule(("ptrace",), bpf.ALLOW),)),
        ),
        (profile(DefaultErrnoRet=38), ParsedProfile(bpf.ERRNO | 38, errno=38)),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "DEFAULTACTION": "SCMP_ACT_LOG"}', ParsedProfile(bpf.LOG)),
        # no filter at all
        ("{}", ParsedProfile(bpf.ALLOW)),
        ("null", ParsedProfile(bpf.ALLOW)),
        ({"defaultAction": "", "syscalls": []}, ParsedProfile(bpf.ALLOW)),
        # what is missing is 0 or empty
        (profile({"action": "SCMP_ACT_ALLOW"}), ParsedProfile(ERRNO, rules=(SyscallRule((), bpf.ALLOW),))),
        (
            profile(rule(args=[{"op": "SCMP_CMP_EQ"}])),
            ParsedProfile(ERRNO, rules=(SyscallRule(("ptrace",), bpf.ALLOW, (Condition(0, "SCMP_CMP_EQ", 0),)),)),
        ),
        (
            profile(rule(excludes={"minKernel": ""})),  # excluded on every kernel
            ParsedProfile(ERRNO, rules=(SyscallRule(("ptrace",), bpf.ALLOW, excludes=RuleFilter(min_kernel=(0, 0))),)),
        ),
        (profile(architectures=["SCMP_ARCH_OF_TOMORROW"]), ParsedProfile(ERRNO, ("SCMP_ARCH_OF_TOMORROW",))),
    ],
)
def test_the_engine_is_not_strict(text: Any, expected: ParsedProfile) -> None:
    assert read_profile(text if isinstance(text, str) else json.dumps(text), "x") == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("\ufeff{}", "is not valid JSON"),
        ("[" * 100_000, "is n"),  # nested too deeply, or not JSON: as the interpreter has it
        ('{"a": NaN}', "rejects NaN"),
        ("[1]", "the profile: [1] is not an object"),
        ({"syscalls": [rule()]}, 'rejects defaultAction ""'),
        (profile(defaultAction="deny"), 'rejects defaultAction "deny"'),
        (profile(defaultAction="SCMP_ACT_NOTIFY"), "rejects SCMP_ACT_NOTIFY as default"),
        (profile(defaultAction=7), "defaultAction: 7 is not a string"),
        (profile(defaultErrnoRet=5000), "rejects defaultErrnoRet 5000"),
        (profile(defaultErrnoRet=True), "defaultErrnoRet: true is not an integer"),
        (profile(architectures="SCMP_ARCH_X86"), 'architectures: "SCMP_ARCH_X86" is not a list'),
        (profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]), "architectures together with archMap"),
        (profile(archMap=["SCMP_ARCH_X86"]), 'archMap: "SCMP_ARCH_X86" is not an object'),
        (profile(flags=[1]), "flags: 1 is not a string"),
        (profile(syscalls={}), "syscalls: {} is not a list"),
        (profile({"names": ["read"]}), 'rejects action ""'),
        (profile(rule(names=[7])), "names: 7 is not a string"),
        (profile(rule(names=["read", None])), "rejects an empty name"),
        (profile(rule(name="read")), "name together with names"),
        (profile(rule(action="SCMP_ACT_NOTIFY")), "SCMP_ACT_NOTIFY without listenerPath"),
        (profile(rule(names=["write"], action="SCMP_ACT_NOTIFY"), listenerPath="/run/a"), "SCMP_ACT_NOTIFY as default and for write"),
        (profile(arg(index=6)), "rejects index 6"),
        (profile(arg(value=-1)), "value: -1 is not an integer"),
        (profile(arg(value=1.0)), "value: 1.0 is not an integer"),
        (profile(arg(value=2**64)), "value: 18446744073709551616 is not an integer"),
        (profile(arg(op=None)), 'rejects op ""'),
        (profile(rule(includes={"minKernel": "4.8.1"})), 'rejects minKernel "4.8.1"'),
        (profile(rule(excludes={"caps": "CAP_KILL"})), 'caps: "CAP_KILL" is not a list'),
    ],
)
def test_what_the_engine_rejects_has_one_reason(text: Any, reason: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_profile(text if isinstance(text, str) else json.dumps(text), "x.json")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("x.json: ")
    assert len(caught.value.problems) == 1
