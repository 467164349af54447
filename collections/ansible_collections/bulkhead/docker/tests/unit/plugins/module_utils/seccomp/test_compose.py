# SPDX-License-Identifier: GPL-3.0-or-later
"""The building blocks and the profiles that are composed of them."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import BLOCKS, PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import DEFAULT_CAPABILITIES, FLOOR, find_profile_problems
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compare import list_allowed_calls
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import SeccompProfiles, read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.forbidden import NEVER
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Expanded, expand_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls_other import list_known_names

from .programs import answer, dumped

DENIED_CALLS = (
    *NEVER, "io_uring_setup", "io_uring_enter", "io_uring_register", "ptrace", "process_vm_readv", "process_vm_writev", "modify_ldt",
    "vmsplice", "name_to_handle_at", "fanotify_init", "memfd_secret",
)  # fmt: skip
# Newer than the engine's default of 26.1, and harmless: the calls that libc uses instead are allowed too.
NEWER = {"file_getattr", "fchmodat2", "map_shadow_stack", "mseal", "getxattrat", "listxattrat", "removexattrat", "setxattrat", "uretprobe"}


def expanded(preset: str, machine: str = "x86_64") -> Expanded:
    return expand_profile(parse_profile(format_profile(compose_profile(PRESETS[preset])), "x"), machine, (6, 12), DEFAULT_CAPABILITIES)


def is_open(profile: Expanded, name: str, *args: int) -> bool:
    found = answer(profile, load_table(profile.machine)[name], (*args, 0, 0, 0, 0, 0, 0)[:6])
    assert found is not None
    return bpf.is_allowing(found)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_name_real_calls(block: str) -> None:
    assert set(BLOCKS[block].names.split()) | {n for r in BLOCKS[block].rules for n in r["names"]} <= list_known_names()


def test_block_runc_contains_the_calls_that_runc_needs() -> None:
    assert set(FLOOR) <= set(BLOCKS["runc"].names.split())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_pass_their_own_check(preset: str) -> None:
    assert find_profile_problems(format_profile(compose_profile(PRESETS[preset])), preset) == []


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_deny_calls_of_attacks(preset: str, machine: str) -> None:
    profile, numbers = expanded(preset, machine), load_table(machine)
    assert [n for n in DENIED_CALLS if n in numbers and any(map(bpf.is_allowing, profile.answers(numbers[n])))] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_stricter_than_the_engines_default(preset: str) -> None:
    profile = expanded(preset)
    opened = {name for name, number in load_table("x86_64").items() if any(map(bpf.is_allowing, profile.answers(number)))}
    assert opened - set(list_allowed_calls(dumped("default-trixie"), "x86_64", load_table("x86_64"))) <= NEWER


@pytest.mark.parametrize("preset", PRESETS)
def test_arguments_decide(preset: str) -> None:
    profile = expanded(preset)
    families = {family for family in range(46) if is_open(profile, "socket", family)}
    assert families == {1, 2, 10, 16}  # AF_ALG is 38, AF_VSOCK 40, AF_PACKET 17
    assert not is_open(profile, "socket", 2**32 | 38)
    assert is_open(profile, "clone", 0x3D0F00)  # what pthread_create asks for
    assert not any(is_open(profile, "clone", 1 << bit | 17) for bit in (17, 25, 26, 27, 28, 29, 30))
    assert profile.answers(load_table("x86_64")["clone3"]) == {bpf.ERRNO | 38}
    assert is_open(profile, "personality", 0xFFFFFFFF) and not is_open(profile, "personality", 0x0040000)


def test_allow_ignores_arguments_and_deny_wins() -> None:
    numbers = load_table("x86_64")
    opened = expand_profile(
        parse_profile(format_profile(compose_profile(PRESETS["web"], allow=["socket", "ptrace"])), "x"), "x86_64", (6, 12), ()
    )
    closed = expand_profile(
        parse_profile(format_profile(compose_profile(PRESETS["web"], deny=["socket", "clone3", "chmod"])), "x"), "x86_64", (6, 12), ()
    )
    assert opened.answers(numbers["socket"]) == opened.answers(numbers["ptrace"]) == {bpf.ALLOW}
    assert [closed.answers(numbers[n]) for n in ("socket", "clone3", "chmod")] == [{bpf.ERRNO | 1}] * 3


def test_32_bit_abis_belong_to_their_architecture() -> None:
    names = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"]
    assert compose_profile(["runc"], architectures=names)["archMap"] == [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]
    assert compose_profile(["runc"], architectures=["SCMP_ARCH_X86"])["archMap"] == [
        {"architecture": "SCMP_ARCH_X86", "subArchitectures": []}
    ]


def test_text_is_reproducible() -> None:
    assert format_profile(compose_profile(PRESETS["general"])) == format_profile(compose_profile(list(PRESETS["general"])))
    assert "SECCOMP_FILTER_FLAG_LOG" in format_profile(compose_profile(["runc"], log=True))


def compose_entry(**entry: object) -> SeccompProfiles:
    desired = {"seccomp_profiles_list": [{"name": "x", **entry}], "seccomp_profiles_directory": "/x", "seccomp_profiles_daemon_default": ""}
    return read_seccomp_profiles(desired)


def test_rules_follow_those_of_the_blocks() -> None:
    rule = {"names": ["mknod", "keyctl"], "action": "SCMP_ACT_LOG", "comment": "not recorded"}
    profile = compose_entry(extends="web", rules=[rule, {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
        {"index": 0, "value": 17, "op": "SCMP_CMP_EQ"}]}]).profiles[0]  # fmt: skip
    found = expand_profile(parse_profile(profile.text, "x"), "x86_64", (6, 12), DEFAULT_CAPABILITIES)
    assert answer(found, load_table("x86_64")["mknod"], (0,) * 6) == bpf.LOG
    assert is_open(found, "socket", 17) and is_open(found, "socket", 2) and not is_open(found, "socket", 38)
    assert compose_entry(rules=[{"names": FLOOR, "action": "SCMP_ACT_ALLOW"}]).blockers == []


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("x", "rules: 'x' is not a list; write entries as in `syscalls` of a profile, such as {names: [chroot], action: SCMP_ACT_LOG}"),
        ([{"names": ["mknod"]}], '.rules[0].action: is missing; write for example "SCMP_ACT_ALLOW"'),
        ([{"names": ["mknodd"], "action": "SCMP_ACT_LOG"}], 'names: "mknodd" is not a system call that libseccomp knows; write "mknod"'),
        ([{"names": ["read"], "action": "SCMP_ACT_LOG"}], '"read" is in allow, deny or a block as well, which decides about it; remove it'),
        ([{"names": ["bpf"], "action": "SCMP_ACT_LOG"}], '"bpf" is in allow, deny or a block as well'),
    ],
)
def test_faults_of_rules_are_named(rules: object, problem: str) -> None:
    blockers = compose_entry(extends="web", deny=["bpf"], rules=rules).blockers
    assert len(blockers) == 1 and problem in blockers[0] and blockers[0].startswith("seccomp_profiles_list[0].rules")
