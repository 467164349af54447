# SPDX-License-Identifier: GPL-3.0-or-later
"""A real filter compared with its profile and with others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, regions
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import BLOCKS, PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import DEFAULT_CAPABILITIES
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compare import (
    Comparison,
    compare_filters,
    is_open,
    list_allowed_abi_calls,
    list_allowed_calls,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.forbidden import NEVER
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import expand_profile

from .programs import ALLOW_ALL, ARCH, I386, JEQ, LD, NR, RET, X32_BIT, X86_64, allow_only, arg, dumped, open_abi, program

WEB = compose_profile(PRESETS["web"])


def against(profile: dict[str, Any], fixture: str = "web-trixie") -> Comparison:
    return compare_filters(
        dumped(fixture), expand_profile(parse_profile(format_profile(profile), "x"), "x86_64", (6, 12), DEFAULT_CAPABILITIES)
    )


def changed(**keys: Any) -> dict[str, Any]:
    return compose_profile(PRESETS["web"], **keys)


def test_the_kernel_enforces_the_profile() -> None:
    found = against(WEB)
    assert found.is_equal, found
    assert found.counts["conditional"] == 4  # clone, personality, socket, socketpair


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (changed(deny=["ptrace", "chmod"]), {"surplus": ["chmod"]}),
        (changed(allow=["ptrace"]), {"missing": ["ptrace"]}),
        (changed(allow=["socket"]), {"tightened": ["socket"]}),
        (changed(deny=["socket"]), {"surplus": ["socket"]}),
        ({**WEB, "syscalls": [r for r in WEB["syscalls"] if r.get("args", [{}])[0].get("value") != 16]}, {"loosened": ["socket"]}),
    ],
)
def test_each_difference_is_listed_by_kind(profile: dict[str, Any], expected: dict[str, list[str]]) -> None:
    found = against(profile)
    assert not found.is_equal
    assert {key: value for key, value in found.to_dict().items() if value and key != "counts"} == expected


def test_differing_arguments_are_found() -> None:
    wider = json.loads(json.dumps(WEB))
    for rule in wider["syscalls"]:
        if rule["names"] == ["clone"]:
            rule["args"][0]["value"] = 0x3E020000  # without CLONE_NEWNET
    assert against(wider).tightened == ["clone"]
    narrower = json.loads(json.dumps(WEB))
    for rule in narrower["syscalls"]:
        if rule["names"] == ["clone"]:
            rule["args"][0]["value"] = 0x7E020100  # CLONE_VM too
    assert against(narrower).loosened == ["clone"]


def test_calls_of_other_abis_are_found() -> None:
    assert against(WEB, "default-trixie").abis == ["x32", "x86"] or against(WEB, "default-trixie").abis == ["x86", "x32"]
    assert against(changed(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]), "default-trixie").abis == []


def test_no_filter_allows_everything() -> None:
    assert list_allowed_calls([], "x86_64", ["kexec_load", "read"]) == ["kexec_load", "read"]
    assert list_allowed_calls(dumped("default-trixie"), "x86_64", ["kexec_load", "read", "socket"]) == ["read", "socket"]


def test_a_second_filter_tightens() -> None:
    (web,) = dumped("web-trixie")
    no_unix = program(
        (LD, 0, 0, NR), (JEQ, 0, 3, 41), (LD, 0, 0, arg(0)), (JEQ, 0, 1, 1), (RET, 0, 0, bpf.ERRNO | 1), (RET, 0, 0, bpf.ALLOW)
    )
    assert bpf.run_program(no_unix, 41, X86_64, (1,)) == bpf.ERRNO | 1
    expected = expand_profile(parse_profile(format_profile(WEB), "x"), "x86_64", (6, 12), DEFAULT_CAPABILITIES)
    assert compare_filters([web, no_unix], expected).tightened == ["socket"]


def test_every_block_has_a_description() -> None:
    assert all(block.about and len(block.about) < 140 for block in BLOCKS.values())


ALL_ABIS = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def compare_with(profile: dict[str, Any], *programs: bpf.Program) -> dict[str, Any]:
    """Return what differs."""
    expanded = expand_profile(parse_profile(format_profile(profile), "x"), "x86_64", (6, 12), DEFAULT_CAPABILITIES)
    found = compare_filters(programs, expanded)
    assert found.is_equal is not any(value for key, value in found.to_dict().items() if key != "counts")
    return {key: value for key, value in found.to_dict().items() if value and key != "counts"}


@pytest.mark.parametrize("abi", ["x86", "x32"])
@pytest.mark.parametrize(("architectures", "key"), [(ALL_ABIS[:1], "abis"), (ALL_ABIS, "abi_calls")])
def test_a_filter_that_lets_all_calls_of_another_abi_through(abi: str, architectures: list[str], key: str) -> None:
    (web,) = dumped("web-trixie")
    named = abi if key == "abis" else f"every call ({abi})"
    assert compare_with(changed(architectures=architectures), open_abi(web, abi)) == {key: [named]}


@pytest.mark.parametrize(
    ("number", "arch", "found"),
    [
        (21, I386, ["mount (x86)"]),
        (22, I386, ["umount (x86)"]),  # a name that x86-64 does not have
        (X32_BIT | 528, X86_64, ["kexec_load (x32)"]),
        (X32_BIT | 165, X86_64, ["mount (x32)"]),
        (3, I386, None),  # read
    ],
)
def test_a_dangerous_call_of_another_abi_is_named(number: int, arch: int, found: list[str] | None) -> None:
    differences = compare_with(changed(architectures=ALL_ABIS), allow_only(number, arch=arch))
    assert differences.get("abi_calls") == found
    assert "abis" not in differences


def test_a_call_that_the_profile_allows_is_allowed_in_its_abis() -> None:
    profile = changed(architectures=ALL_ABIS, allow=["mount", "umount"])
    for number in (21, 22):
        assert "abi_calls" not in compare_with(profile, allow_only(number, arch=I386))
    assert compare_with(profile, allow_only(115, arch=I386))["abi_calls"] == ["swapoff (x86)"]


def test_arm_calls_on_arm64() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]}
    expanded = expand_profile(parse_profile(json.dumps(profile), "x"), "aarch64", (6, 12), DEFAULT_CAPABILITIES)
    assert compare_filters([allow_only(21, arch=0x40000028)], expanded).abi_calls == ["mount (arm)"]
    assert compare_filters([allow_only(2, arch=0x40000028)], expanded).is_equal  # fork: not dangerous
    assert compare_filters([ALLOW_ALL], expanded).abi_calls == ["every call (arm)"]


def test_a_profile_that_allows_everything_has_no_surplus() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ALL_ABIS}
    assert compare_with(profile, ALLOW_ALL) == {}
    assert "every call (x86)" in compare_with({**profile, "defaultAction": "SCMP_ACT_ERRNO"}, ALLOW_ALL)["abi_calls"]
    deny = {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}
    assert compare_with({**profile, "syscalls": [deny]}, ALLOW_ALL) == {
        "surplus": ["reboot"], "abi_calls": ["every call (x86)", "every call (x32)"],
    }  # fmt: skip


def test_real_default_filter_allows_no_dangerous_call_in_any_abi() -> None:
    default = dumped("default-trixie")
    assert {abi: list_allowed_abi_calls(default, "x86_64", abi, NEVER) for abi in ("x86", "x32")} == {"x86": [], "x32": []}
    assert list_allowed_abi_calls(dumped("web-trixie"), "x86_64", "x86", NEVER) is None
    assert list_allowed_calls(default, "x86_64", NEVER) == []
    assert [is_open(one, "x86_64") for one in (default, dumped("wide-trixie"), [ALLOW_ALL])] == [False, False, True]


def test_too_many_conditions_are_reported_and_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MAX_WORK", 10)
    found = against(WEB)
    assert (found.unchecked, found.surplus, found.is_equal) == (["clone", "personality", "socket", "socketpair"], [], False)


def test_contradicting_tests_of_one_argument_do_not_count() -> None:
    """The filter allows `reboot` only for an argument that is 1 and 2."""
    never = program(
        (LD, 0, 0, ARCH), (JEQ, 0, 6, X86_64),
        (LD, 0, 0, NR), (JEQ, 0, 4, 169), (LD, 0, 0, arg(0)), (JEQ, 0, 2, 1), (JEQ, 0, 1, 2), (RET, 0, 0, bpf.ALLOW),
        *dumped("web-trixie")[0],
    )  # fmt: skip
    assert compare_with(WEB, never) == {}
