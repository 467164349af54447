# SPDX-License-Identifier: GPL-3.0-or-later
"""What a desired profile would deny of what was recorded, with ABI, argument and capabilities."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.breakage import (
    Breakage,
    describe_breakage,
    find_breakage,
    list_desired_profiles,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp_base import Base, get_engine_default

GENERAL = Base("bulkhead-default", format_profile(compose_profile(PRESETS["general"])))
WEB = Base("bulkhead-web", format_profile(compose_profile(PRESETS["web"])))


def call(name: str, argument: int | None = None, abi: str = "x86_64") -> dict[str, Any]:
    return {"name": name, "abi": abi, "argument": argument, "count": 12, "first": 1.0, "last": 2.0}


def instance(*calls: dict[str, Any], **values: Any) -> dict[str, Any]:
    default = {
        "id": "1" * 64,
        "name": "shop-web-1",
        "running": True,
        "seccomp": "builtin",
        "capabilities": ["cap_chown"],
        "calls": list(calls),
    }
    return {**default, **values}


def recorded(*instances: dict[str, Any], status: str = "recording", machine: str = "x86_64", kernel: str = "6.12.1") -> dict[str, Any]:
    source = {"status": status, "reason": "" if status == "recording" else "this host has no BTF"}
    return {"sources": {"calls": source}, "host": {"machine": machine, "kernel": kernel}, "instances": list(instances)}


def find(*instances: dict[str, Any], own: Any = None, containers: Any = None, **values: Any) -> Breakage:
    return find_breakage(recorded(*instances, **values), GENERAL, own or {}, containers or {})


def describe(*calls: dict[str, Any], **values: Any) -> list[str]:
    return [each.describe() for each in find(instance(*calls, **values)).broken]


def test_calls_that_the_default_denies_are_listed() -> None:
    found = find(instance(call("read"), call("ptrace"), call("keyctl")))
    assert [(each.container, each.profile, each.call, each.count, each.last, each.answer) for each in found.broken] == [
        ("shop-web-1", "bulkhead-default", "keyctl", 12, 2.0, "ERRNO(1)"),
        ("shop-web-1", "bulkhead-default", "ptrace", 12, 2.0, "ERRNO(1)"),
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (call("socket", 2), []),
        (call("socket", 38), ["socket AF_ALG (12 times)"]),
        (call("socket", 99), ["socket family 99 (12 times)"]),
        (call("socket"), ["socket (12 times, with some arguments)"]),
        (call("socketpair"), ["socketpair (12 times, with some arguments)"]),
        (call("clone", 0), []),
        (call("clone", 0x10000000), ["clone with a new user namespace (12 times)"]),
        (call("personality", 8), []),
        (call("personality", 0x40000), ["personality 0x40000 (12 times)"]),
        (call("clone3"), ["clone3 (12 times)"]),
        (call("462"), []),
        (call("470"), ["470 (12 times)"]),
        (call("read", abi="i386"), ["read (i386) (12 times)"]),
        (call("read", abi="x32"), ["read (x32) (12 times)"]),
        (call("unknown_call"), []),
    ],
)
def test_arguments_and_abis_decide(made: dict[str, Any], expected: list[str]) -> None:
    assert describe(made) == expected


def test_capabilities_decide() -> None:
    assert describe(call("chroot")) == ["chroot (12 times)"]
    assert describe(call("chroot"), capabilities=["cap_sys_chroot"]) == []


def test_calls_of_an_abi_that_the_profile_names() -> None:
    engine = get_engine_default()
    calls = [call("socketcall", abi="i386"), call("socket", 38, "i386"), call("ptrace", abi="i386"), call("read", abi="i386")]
    found = find_breakage(recorded(instance(*calls)), engine, {}, {})
    assert [each.describe() for each in found.broken] == ["socket AF_ALG (i386) (12 times)"]


def test_the_kernel_decides() -> None:
    engine = get_engine_default()
    found = find_breakage(recorded(instance(call("ptrace")), kernel="4.7.0"), engine, {}, {})
    assert [each.call for each in found.broken] == ["ptrace"]


def test_a_container_has_its_own_profile() -> None:
    own = instance(call("mq_open"), seccomp="bulkhead-web", name="b")
    other = instance(call("mq_open"), seccomp="custom", name="c")
    found = find(instance(call("mq_open"), name="a"), own, other, own={"bulkhead-web": WEB})
    assert [(each.container, each.profile) for each in found.broken] == [("b", "bulkhead-web")]
    named = find(instance(call("mq_open"), name="a"), containers={"a": WEB})
    assert [(each.container, each.profile) for each in named.broken] == [("a", "bulkhead-web")]


def test_what_is_not_recorded_is_named() -> None:
    found = find(
        instance(seccomp="unconfined", name="a"),
        instance(name="b"),
        instance(name="c", running=False),
        instance(name="d", seccomp="custom"),
    )
    assert (found.broken, found.unknown) == (
        [],
        {"a": "without a seccomp filter, calls cannot be recorded", "b": "no call has been recorded yet"},
    )
    assert find(instance(call("ptrace")), status="unavailable").unknown == {"shop-web-1": "this host has no BTF"}


def test_without_a_change_of_the_default_nothing_breaks() -> None:
    assert find_breakage(recorded(instance(call("ptrace")), instance(seccomp="unconfined")), None, {}, {}) == Breakage()


def test_a_machine_without_a_table_is_left_out() -> None:
    assert find(instance(call("ptrace")), machine="riscv64").broken == []


def test_desired_profiles_come_from_the_inventory() -> None:
    entries = [{"name": "bulkhead-default", "extends": "general"}, {"name": "web", "extends": "web"}, {"name": "old", "state": "absent"}]
    desired = {"seccomp_profiles_list": entries, "seccomp_profiles_directory": "/x", "seccomp_profiles_daemon_default": "bulkhead-default"}
    containers = [{"name": "shop", "seccomp_profile": "web"}, {"name": "gone", "seccomp_profile": "web", "state": "absent"}, {"name": "x"}]
    default, own, named = list_desired_profiles(read_seccomp_profiles(desired), containers)
    assert default == GENERAL
    assert sorted(own) == ["bulkhead-default", "web"]
    assert {name: profile.name for name, profile in named.items()} == {"shop": "web"}
    assert list_desired_profiles(read_seccomp_profiles({**desired, "seccomp_profiles_daemon_default": ""}))[0] is None


def test_warnings_name_container_profile_and_calls() -> None:
    calls = [
        call(name) for name in ("ptrace", "keyctl", "mount", "bpf", "acct", "reboot", "setns", "swapon", "swapoff", "unshare", "add_key")
    ]
    found = find(instance(*calls), instance(seccomp="unconfined", name="a"), instance(seccomp="unconfined", name="b"))
    assert describe_breakage(found) == [
        "container shop-web-1: profile bulkhead-default would deny calls that it makes: acct (12 times), add_key (12 times), bpf (12 times), "
        "keyctl (12 times), mount (12 times), ptrace (12 times), reboot (12 times), setns (12 times), swapoff (12 times), swapon (12 times) and 1 more",
        "it is not known what the seccomp profile would deny to a, b: without a seccomp filter, calls cannot be recorded",
    ]
