# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose denial it was: evidence, or unknown."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.attribution import ContainerIndex, KnownContainer, merge_lifetimes
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.denials import count_equal_denials, parse_denial
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import Message, parse_kernel_line

from . import samples
from .samples import T, denied, filtered

A, B = "a" * 64, "b" * 64
WEB = KnownContainer(A, "web", "nginx:1", "docker-default", [(T - 50, None)])
SHOP = KnownContainer(B, "shop", "shop:2", "bulkhead-web", [(T - 50, T + 50)])
IN_WEB = f"0::/system.slice/docker-{A}.scope/init\n"


def owner(message: Message, containers: list[KnownContainer], process: Any = None, complete: float | None = T - 100) -> dict[str, Any]:
    denial = parse_denial(message)
    assert denial
    return ContainerIndex(containers, complete, lambda pid: process).attribute(message, denial)


def test_a_process_that_lives_says_it_by_its_cgroup() -> None:
    found = owner(denied(1), [WEB, SHOP], (T - 10, IN_WEB))
    assert (found["scope"], found["by"], found["container"]) == ("container", "pid", {"id": A, "name": "web", "image": "nginx:1"})
    assert owner(denied(1), [], (T - 10, f"3:pids:/docker/{A}\n"))["container"] == {"id": A, "name": None, "image": None}
    assert owner(denied(1), [WEB], (T - 10, "0::/system.slice/cups.service\n"))["scope"] == "host"


@pytest.mark.parametrize(
    ("group", "container"),
    [
        (f"0::/custom/{A}\n", A),
        (f"12:pids:/\n3:memory:/some/where/{A}/below\n0::/\n", A),
        (f"0::/my.slice/docker-{A}.scope\n", A),
        (f"0::/system.slice:docker:{A}\n", A),
        (f"0::/custom/{A}/docker/{B}\n", A),
        (f"0::/my.slice/docker-{B}.scope\n", B),
        (f"0::/custom/{B}\n", None),
        (f"0::/machine.slice/libpod-{B}.scope\n", None),
        (f"0::/machine.slice/libpod-{B}.scope/docker/{A}\n", None),
        (f"0::/kubepods/burstable/pod-1/{B}\n", None),
    ],
)
def test_a_cgroup_below_any_parent(group: str, container: str | None) -> None:
    found = owner(denied(1), [WEB], (T - 10, group))
    assert (found["scope"], found["by"]) == ("container" if container else "host", "pid")
    assert (found["container"] or {}).get("id") == container


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('operation="signal" class="signal" requested_mask="receive" denied_mask="receive" signal=term peer="runc"', "shop"),
        ('operation="ptrace" class="ptrace" requested_mask="readby" denied_mask="readby" peer="unconfined"', "shop"),
        ('operation="ptrace" requested_mask="tracedby" denied_mask="tracedby" peer="unconfined"', "shop"),
        ('operation="signal" class="signal" requested_mask="send" denied_mask="send" signal=term peer="unconfined"', "web"),
        ('operation="ptrace" requested_mask="trace" denied_mask="trace" peer="unconfined"', "web"),
        ('operation="open" class="file" name="/a" requested_mask="receive" denied_mask="receive"', "web"),
    ],
)
def test_a_denied_signal_is_of_the_receiver(text: str, name: str) -> None:
    # `pid` and `comm` are those of the sender: runc of the host, or a process of another container.
    message = parse_kernel_line(samples.kernel(f'apparmor="DENIED" {text} profile="bulkhead-web" pid=41 comm="runc"', 1))
    assert message
    found = owner(message, [WEB, SHOP], (T - 10, IN_WEB))
    assert found["container"]["name"] == name
    assert found["by"] == ("profile" if name == "shop" else "pid")


def test_a_signal_to_one_of_several_containers_is_not_guessed() -> None:
    text = (
        'apparmor="DENIED" operation="signal" profile="docker-default" pid=41 comm="runc" requested_mask="receive" signal=kill peer="runc"'
    )
    message = parse_kernel_line(samples.kernel(text, 1))
    assert message
    twin = KnownContainer(B, "twin", "x", "docker-default", [(T - 50, None)])
    found = owner(message, [WEB, twin], (T - 10, "0::/system.slice/docker.service\n"))
    assert (found["scope"], found["container"], found["candidates"]) == ("unknown", None, ["twin", "web"])


def test_a_number_that_another_process_took_over_is_no_evidence() -> None:
    found = owner(denied(1), [WEB, KnownContainer(B, "twin", "x", "docker-default", [(T - 50, None)])], (T + 1, IN_WEB))
    assert (found["scope"], found["container"], found["candidates"]) == ("unknown", None, ["twin", "web"])


def test_the_only_container_of_that_profile_then() -> None:
    found = owner(denied(1, profile="bulkhead-web"), [WEB, SHOP])
    assert (found["by"], found["container"]["name"]) == ("profile", "shop")
    assert owner(denied(1, T + 60, profile="bulkhead-web"), [WEB, SHOP])["scope"] == "unknown", "it had ended"
    assert owner(denied(1, profile="bulkhead-web//child"), [WEB, SHOP])["container"]["name"] == "shop"


@pytest.mark.parametrize(
    ("profile", "containers", "complete", "scope", "by"),
    [
        ("docker-default", [KnownContainer(B, "gone", "x", None, [(T - 1, T + 1)])], T - 100, "container", "alone"),
        ("docker-default", [WEB, KnownContainer(B, "gone", "x", None, [(T - 1, T + 1)])], T - 100, "unknown", ""),
        ("docker-default", [WEB], None, "unknown", ""),
        ("docker-default", [WEB], T + 1, "unknown", ""),
        ("docker-default", [], T - 100, "unknown", ""),
        ("unconfined", [WEB], T - 100, "unknown", ""),
        ("/usr/sbin/cupsd", [WEB], T - 100, "host", "profile"),
        ("/usr/sbin/cupsd", [KnownContainer(B, "gone", "x", None, [(T - 1, T + 1)])], T - 100, "unknown", ""),
    ],
)
def test_what_the_profile_tells(profile: str, containers: list[KnownContainer], complete: float | None, scope: str, by: str) -> None:
    found = owner(denied(1, profile=profile), containers, None, complete)
    assert (found["scope"], found["by"]) == (scope, by)


def event(action: str, at: float, identifier: str = A, name: str = "web") -> dict[str, Any]:
    return {
        "Type": "container",
        "Action": action,
        "timeNano": int(at * 1e9),
        "Actor": {"ID": identifier, "Attributes": {"name": name, "image": "i"}},
    }


def test_lifetimes() -> None:
    (gone,) = merge_lifetimes([], [event("start", T), event("die", T + 5)], [(A, True, T + 0.1), (A, False, T + 5.1)])
    assert (gone.name, gone.image) == ("web", "i")
    assert gone.has_run_at(T + 3) and not gone.has_run_at(T + 9) and not gone.has_run_at(T - 9)
    (before,) = merge_lifetimes([], [], [(A, False, T + 5)])
    assert before.has_run_at(T - 1000) and not before.has_run_at(T + 9) and before.name is None
    (twice,) = merge_lifetimes([], [], [(A, True, T), (A, False, T + 5), (A, True, T + 20)])
    assert twice.has_run_at(T + 3) and not twice.has_run_at(T + 12) and twice.has_run_at(T + 30)
    (stopped,) = merge_lifetimes([KnownContainer(A, "web", "i", None, [(T, T + 5)], T + 5)], [event("start", T)], [])
    assert not stopped.has_run_at(T + 9), "its end was forgotten, except for what the engine reported"
    assert merge_lifetimes([], [{"Type": "network", "Actor": {"ID": "x"}}], []) == []


def test_denials_are_parsed() -> None:
    denial = parse_denial(denied(1))
    assert denial and (denial.layer, denial.denied, denial.operation, denial.profile) == ("apparmor", True, "open", "docker-default")
    assert denial.detail == "name=/proc/sysrq-trigger requested_mask=w denied_mask=w"
    killed = parse_denial(filtered(2))
    assert killed and (killed.layer, killed.operation, killed.detail, killed.exe) == (
        "seccomp",
        "mkdir",
        "action=kill_process",
        "/bin/mkdir",
    )


@pytest.mark.parametrize(
    ("text", "kind", "is_denied"),
    [
        ('apparmor="ALLOWED" operation="open" profile="p" pid=1 comm="x"', 1400, False),
        ('apparmor="STATUS" operation="profile_load" name="p"', 1400, None),
        ('apparmor="AUDIT" operation="open" profile="p"', 1400, None),
        ("avc:  denied  { read }", 1400, None),
        ("pid=1 arch=c000003e syscall=83 code=0x7ffc0000", 1326, False),
        ("pid=1 arch=c000003e syscall=83 code=0x50001", 1326, True),
        ("pid=1 arch=beef syscall=83 code=0x0", 1326, True),
        ("pid=1 arch=c000003e syscall=435 code=0x50000", 1326, None),
        ("pid=1 arch=c000003e syscall=435 code=0x80000000", 1326, True),
        ("pid=1 arch=c000003e", 1326, None),
        ("pid=1 arch=c000003e syscall=x code=0x0", 1326, None),
    ],
)
def test_other_messages_are_not_denials(text: str, kind: int, is_denied: bool | None) -> None:
    message = parse_kernel_line(samples.kernel(text, 1, kind=kind))
    assert message
    denial = parse_denial(message)
    assert (denial and denial.denied) == is_denied


def test_equal_ones_are_counted_and_none_is_lost_to_the_bound() -> None:
    messages = (
        [denied(n, T + n, pid=100 + n % 7) for n in range(20)] + [denied(30 + n, T, profile=f"p{n}") for n in range(8)] + [filtered(50)]
    )
    nobody = {"scope": "unknown", "by": "", "container": None, "candidates": []}
    found, total = count_equal_denials(messages, lambda message, denial: nobody, 3)
    assert total == 29
    assert (found[0]["count"], found[0]["first"], found[0]["last"], len(found[0]["pids"])) == (20, T, T + 19, 5)
    assert sum(entry["count"] for entry in found) == 29
    assert [entry["operation"] for entry in found[3:]] == ["others", "others"], "one a layer"
