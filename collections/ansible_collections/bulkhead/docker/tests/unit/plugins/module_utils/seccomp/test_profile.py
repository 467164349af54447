# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that Docker ignores give a message with file and place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import FLOOR, find_missing_calls, find_profile_problems
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Condition, ProfileError, RuleFilter

FLOOR_RULE = {"names": FLOOR, "action": "SCMP_ACT_ALLOW"}


def profile(*rules: Any, **top: Any) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [FLOOR_RULE, *rules], **top})


def rule(**keys: Any) -> dict[str, Any]:
    return {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", **keys}


def arg(**keys: Any) -> dict[str, Any]:
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **keys}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "x.json: defaultAction: is missing, and without it the engine may start containers without a filter"),
        ("", "x.json: is not valid JSON"),
        ("[1]", "x.json: a seccomp profile is a JSON object, not a list"),
        ("[" * 100_000, "x.json: is n"),  # nested too deeply, or not JSON: as the interpreter has it
        ("\ufeff{}", "x.json: begins with a byte order mark"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultAction": "SCMP_ACT_ALLOW"}', 'the key "defaultAction" is in one object twice'),
        (profile(syscallz=[]), 'syscallz: is not a key of a seccomp profile, and the engine would ignore it; write "syscalls"'),
        (profile(DefaultErrnoRet=1), 'DefaultErrnoRet: is not a key of a seccomp profile, and the engine would ignore it; write "def'),
        (profile(defaultAction="SCMP_ACT_ERNO"), 'defaultAction: "SCMP_ACT_ERNO" is not an action; write SCMP_ACT_ERRNO'),
        (profile(defaultAction="deny"), 'defaultAction: "deny" is not an action; write one of SCMP_ACT_KILL_PROCESS'),
        (profile(defaultAction="SCMP_ACT_NOTIFY"), "defaultAction: runc rejects SCMP_ACT_NOTIFY"),
        (profile(defaultErrnoRet=5000), "defaultErrnoRet: 5000 is not an integer from 0 to 4095"),
        (profile(defaultErrnoRet=True), "defaultErrnoRet: true is not an integer"),
        (profile(defaultAction="SCMP_ACT_KILL", defaultErrnoRet=1), "defaultErrnoRet: has no meaning with SCMP_ACT_KILL"),
        (profile(architectures=["x86_64"]), 'architectures[0]: "x86_64" is not an architecture; write one of SCMP_ARCH_X86,'),
        (profile(architectures="SCMP_ARCH_X86"), "architectures: a string is not a list"),
        (
            profile(architectures=["SCMP_ARCH_X86_64"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]),
            'archMap: cannot be combined with "architectures"',
        ),
        (profile(archMap=[{"architecture": "SCMP_ARCH_X86_46"}]), "archMap[0].architecture: "),
        (profile(archMap=["SCMP_ARCH_X86"]), "archMap[0]: a string is not an entry of archMap"),
        (profile(flags=["LOG"]), 'flags[0]: "LOG" is not a filter flag'),
        (profile(syscalls={}), "syscalls: an object is not a list"),
        (profile("read"), "syscalls[1]: a string is not a rule"),
        (profile({"names": ["read"]}), "syscalls[1].action: is missing"),
        (profile({"action": "SCMP_ACT_ALLOW"}), "syscalls[1].names: is empty or missing"),
        (profile(rule(names=[7])), "syscalls[1].names[0]: a number is not the name of a system call"),
        (profile(rule(name="read")), 'syscalls[1].name: cannot be combined with "names"'),
        (profile(rule(action="SCMP_ACT_NOTIFY")), "listenerPath: is missing"),
        (profile(rule(arg=[])), 'syscalls[1].arg: is not a key of a seccomp profile, and the engine would ignore it; write "args"'),
        (profile(arg(op="SCMP_CMP_EQUAL")), 'syscalls[1].args[0].op: "SCMP_CMP_EQUAL" is not a comparison; write SCMP_CMP_EQ'),
        (profile(arg(index=6)), "syscalls[1].args[0].index: 6 is not an integer from 0 to 5"),
        (profile(arg(value=-1)), "syscalls[1].args[0].value: -1 is not an integer from 0 to 18446744073709551615"),
        (profile(arg(value="0x10")), 'syscalls[1].args[0].value: "0x10" is not an integer'),
        (profile(arg(valueTwo=3)), "syscalls[1].args[0].valueTwo: has no meaning with SCMP_CMP_EQ"),
        (profile(rule(args=[{"index": 0, "op": "SCMP_CMP_EQ"}])), "syscalls[1].args[0].value: is missing"),
        (profile(rule(includes={"cap": ["CAP_KILL"]})), 'syscalls[1].includes.cap: is not a key of a seccomp profile'),
        (profile(rule(includes={"caps": ["SYS_ADMIN"]})), 'includes.caps[0]: "SYS_ADMIN" is not a capability; write CAP_SYS_ADMIN'),
        (profile(rule(excludes={"arches": ["x86_64"]})), 'excludes.arches[0]: "x86_64" is not an architecture name of Docker'),
        (profile(rule(includes={"minKernel": "4"})), 'syscalls[1].includes.minKernel: "4" is not a kernel version; write it like "5.10"'),
        (profile(rule(names=["opennat"])), 'syscalls[1].names: "opennat" is not a system call that libseccomp knows'),
        (profile(defaultAction="SCMP_ACT_ALLOW"), "defaultAction: ALLOW allows every call that no rule names"),
        (profile(defaultAction="SCMP_ACT_LOG"), "or write `permissive: true` in the entry"),
        (json.dumps({"defaultAction": "SCMP_ACT_ERRNO"}), "no container would start: runc needs capget, capset, chdir"),
        (
            json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(names=[n for n in FLOOR if n not in ("setuid", "openat")])]}),
            "no container would start: runc needs openat, setuid after",
        ),
        (
            json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(names=[n for n in FLOOR if n != "setuid"])]}),
            "no container would start without no-new-privileges: runc needs setuid after",
        ),
        (profile(rule(action="SCMP_ACT_ERRNO", errnoRet=1, errno="ENOSYS")), 'syscalls[1].errno: "ENOSYS" is error 38, but Docker ignores this '),
        (profile(rule(action="SCMP_ACT_ERRNO", errno="ENOSYS")), "uses 1, because errnoRet is missing; write \"errnoRet\": 38, or remove it"),
        (profile(rule(action="SCMP_ACT_ERRNO", errnoRet=38, errno="38 ")), 'syscalls[1].errno: "38 " is not an error of Linux'),
        (profile(rule(action="SCMP_ACT_ERRNO", errnoRet=1, errno="EPREM")), '"EPREM" is not an error of Linux; write "EPERM"'),
        (profile(rule(action="SCMP_ACT_ERRNO", errnoRet=1, errno=1)), "syscalls[1].errno: 1 is not an error of Linux"),
        (profile(rule(errno="EPERM")), "syscalls[1].errno: has no meaning with SCMP_ACT_ALLOW"),
        (profile(defaultErrnoRet=1, defaultErrno="ENOSYS"), 'defaultErrno: "ENOSYS" is error 38, but Docker ignores this key and uses "defaultErrnoRet": 1'),
        (profile(defaultErrno="ENOSYS"), 'defaultErrno: "ENOSYS" is error 38'),
        (profile(rule(), arg()), 'syscalls[2]: the conditions on "ptrace" have no effect, because syscalls[1] names it without any'),
        (profile(rule(args=[{"index": 0, "value": n, "op": "SCMP_CMP_NE"} for n in (38, 40)])), "has two conditions on one argument"),
    ],
)  # fmt: skip
def test_fault_messages(text: str, message: str) -> None:
    found = find_profile_problems(text, "x.json")
    assert any(message in one for one in found), found
    assert all(one.startswith("x.json: ") and not one.endswith(".") for one in found)


@pytest.mark.parametrize(
    "text",
    [
        profile(),
        profile(rule(names=["socketcall", "mmap2"])),
        profile(architectures=["SCMP_ARCH_AARCH64"]),
        profile(rule(includes={"caps": ["CAP_SYS_PTRACE"]}), arg() | {"excludes": {"caps": ["CAP_SYS_PTRACE"]}}),
        profile(rule(action="SCMP_ACT_ERRNO", errnoRet=38, comment="so that libc falls back")),
        # As containers/common has them (pkg/seccomp/seccomp.json), for Podman and Docker alike.
        profile(rule(action="SCMP_ACT_ERRNO", errnoRet=1, errno="EPERM", args=[], comment="", includes={}, excludes={"caps": ["CAP_BPF"]})),
        profile(rule(action="SCMP_ACT_ERRNO", errnoRet=38, errno="38"), defaultErrnoRet=38, defaultErrno="ENOSYS"),
        profile(rule(action="SCMP_ACT_ERRNO", errno="EPERM"), defaultErrno="EPERM"),
        profile(rule(action="SCMP_ACT_ERRNO", errnoRet=95, errno="ENOTSUP"), rule(names=["bpf"], action="SCMP_ACT_ERRNO", errno="")),
        # Docker's format until 1.13, and of Chrome's public profile.
        json.dumps(
            {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": name, "action": "SCMP_ACT_ALLOW", "args": None} for name in FLOOR]}
        ),
        profile(rule(includes={"minKernel": "4.8", "arches": ["amd64"], "caps": []}, excludes=None), listenerPath="", listenerMetadata=""),
    ],
)
def test_good_profiles_pass(text: str) -> None:
    assert find_profile_problems(text, "x.json") == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((1, 1, 5), ([], [])),
        ((1, 1, 15), ([], [])),
        ((1, 2, 7), ([], [])),
        ((1, 2, 8), (["statx"], [])),
        ((1, 3, 2), ([], [])),
        ((1, 3, 6), (["statx"], [])),
        ((1, 4, 0), (["statx"], [])),
        ((2, 0, 0), (["statx"], [])),
        (None, ([], ["statx"])),
    ],
)
def test_missing_calls_depend_on_the_version(version: Any, expected: Any) -> None:
    assert find_missing_calls(profile(), version) == expected
    assert find_missing_calls(profile(rule(names=["statx"])), version) == ([], [])


def test_permissive_profile_can_be_allowed() -> None:
    assert find_profile_problems('{"defaultAction": "SCMP_ACT_LOG"}', "x.json", permissive=True) == []


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(profile(rule(acton=1), arg(index=9), syscallz=1), "x.json")
    assert len(caught.value.problems) == 3


def test_profile_is_parsed() -> None:
    text = profile(
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            "includes": {"minKernel": "4.8", "arches": ["amd64"]},
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    )
    read = parse_profile(text, "x.json")
    assert read.default == bpf.ERRNO | 1  # runc's own default errno
    assert read.arch_map == (("SCMP_ARCH_X86_64", ("SCMP_ARCH_X86",)),)
    assert read.rules[1].conditions == (Condition(0, "SCMP_CMP_MASKED_EQ", 2114060288, 0),)
    assert read.rules[1].includes == RuleFilter(arches=("amd64",), min_kernel=(4, 8))
    assert read.rules[1].excludes == RuleFilter(caps=("CAP_SYS_ADMIN",))
