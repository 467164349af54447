# SPDX-License-Identifier: GPL-3.0-or-later
"""A real filter compared with its profile and with others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import BLOCKS, PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import DEFAULT_CAPABILITIES
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compare import Comparison, compare_filters, list_allowed_calls
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import expand_profile

from .programs import JEQ, LD, NR, RET, X86_64, arg, dumped, program

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
