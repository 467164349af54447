# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated seccomp entries: what they allow, log and deny, and that they never exceed the base."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import BLOCKS, PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import FLOOR
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compare import compare_filters
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.profile import parse_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Expanded, expand_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generation import ENFORCE, LOG, Generated, GenerationError
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import Recording
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp import FIXED, generate_seccomp_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp_base import Base, find_excess, get_engine_default
from hypothesis import given, settings
from hypothesis import strategies as st

from ...module_utils.seccomp.programs import answer, dumped
from .samples import NGINX, make_call, make_denied, make_nginx, make_recording

ENGINE = get_engine_default()
GENERAL = Base("bulkhead-default", format_profile(compose_profile(PRESETS["general"])))
DEFAULT = frozenset({"CAP_CHOWN", "CAP_SETUID", "CAP_SYS_CHROOT"})
ADMIN = DEFAULT | {"CAP_SYS_ADMIN"}


def compose(entry: dict[str, Any]) -> str:
    desired = {"seccomp_profiles_list": [entry], "seccomp_profiles_directory": "/x", "seccomp_profiles_daemon_default": ""}
    listed = read_seccomp_profiles(desired)
    assert listed.blockers == []
    return listed.profiles[0].text


def expand(entry: dict[str, Any], machine: str = "x86_64", capabilities: frozenset[str] = DEFAULT) -> Expanded:
    return expand_profile(parse_profile(compose(entry), "x"), machine, (6, 12), capabilities)


def ask(entry: dict[str, Any], call: str, *args: int, machine: str = "x86_64", capabilities: frozenset[str] = DEFAULT) -> int | None:
    return answer(expand(entry, machine, capabilities), load_table(machine)[call], (*args, 0, 0, 0, 0, 0, 0)[:6])


def count_allowed(text: str) -> int:
    expanded = expand_profile(parse_profile(text, "x"), "x86_64", (6, 12), DEFAULT)
    return sum(any(map(bpf.is_allowing, expanded.answers(number))) for number in load_table("x86_64").values())


def generate(recording: Recording | None = None, stage: str = ENFORCE, base: Base = ENGINE, **options: Any) -> Generated:
    return generate_seccomp_entry(recording or make_nginx(), base, stage, **options)


def test_recorded_calls_are_allowed_and_others_denied() -> None:
    entry = generate().entry
    assert all(ask(entry, name) == bpf.ALLOW for name in NGINX if name not in ("socket",))
    assert ask(entry, "mknod") == ask(entry, "bpf") == ask(entry, "ptrace") == bpf.ERRNO | 1


def test_runtime_and_fixed_calls_are_always_allowed() -> None:
    entry = generate(make_recording([make_call("write")])).entry
    assert all(ask(entry, name) == bpf.ALLOW for name in [*FLOOR, *BLOCKS["runc"].names.split(), *FIXED, "clone"])
    assert entry["blocks"] == ["runc"]


def test_nginx_has_at_most_110_calls_and_60_percent_less() -> None:
    allowed = count_allowed(compose(generate().entry))
    assert allowed <= 110
    assert allowed <= 0.4 * count_allowed(ENGINE.text)


def test_arguments_are_those_that_were_recorded() -> None:
    entry = generate().entry
    assert [family for family in range(50) if ask(entry, "socket", family) == bpf.ALLOW] == [1, 2, 10]
    assert ask(entry, "clone", 0x10000000) == bpf.ERRNO | 1


def test_recorded_flags_of_namespaces_are_allowed() -> None:
    recording = make_recording([make_call("clone", (0, 0x20000000)), make_call("clone3")], {"capabilities": ("cap_sys_admin",)})
    entry = generate(recording).entry
    assert ask(entry, "clone", 0x20000011, capabilities=ADMIN) == bpf.ALLOW
    assert ask(entry, "clone", 0x40000011, capabilities=ADMIN) == bpf.ERRNO | 1
    assert ask(entry, "clone3", capabilities=ADMIN) == bpf.ALLOW
    assert ask(entry, "clone3", capabilities=DEFAULT) != bpf.ALLOW  # the base needs the capability too


def test_without_an_argument_the_conditions_of_the_base_stay() -> None:
    entry = generate(make_recording([make_call("socket", (None, 2), ("i386",))])).entry
    assert ask(entry, "socket", 17) == bpf.ALLOW
    assert ask(entry, "socket", 38) == bpf.ERRNO | 1


def test_personality_is_allowed_for_recorded_values() -> None:
    entry = generate(make_recording([make_call("personality", (0xFFFFFFFF,))])).entry
    assert ask(entry, "personality", 0xFFFFFFFF) == bpf.ALLOW
    assert ask(entry, "personality", 0) == bpf.ERRNO | 1


def test_newer_calls_get_enosys() -> None:
    entry = generate(make_recording([make_call("write")])).entry
    assert {ask(entry, name) for name in ("clone3", "rseq", "fchmodat2", "futex_waitv", "pidfd_open")} == {bpf.ERRNO | 38}
    assert ask(entry, "mount") == bpf.ERRNO | 1


def test_base_that_denies_a_newer_call_decides_about_its_error() -> None:
    base = Base("x", format_profile(compose_profile(["runc", "libc"], deny=["rseq"])))
    entry = generate(make_recording([make_call("write")]), base=base).entry
    assert ask(entry, "rseq") == bpf.ERRNO | 1


def test_siblings_are_allowed_with_their_reason() -> None:
    generated = generate(make_recording([make_call("open"), make_call("stat"), make_call("mkdir")]))
    assert all(ask(generated.entry, name) == bpf.ALLOW for name in ("openat", "newfstatat", "lstat"))
    assert ("lstat", "does the same in another C library or on another machine as stat, which is recorded") in generated.reasons
    assert ask(generated.entry, "mkdirat") == bpf.ERRNO | 1
    assert ask(generated.entry, "mkdirat", machine="aarch64") == bpf.ALLOW


def test_a_newer_c_library_needs_no_older_calls() -> None:
    entry = generate(make_recording([make_call("openat"), make_call("newfstatat"), make_call("clone"), make_call("poll")])).entry
    assert {ask(entry, name) for name in ("open", "stat", "lstat", "fork", "vfork")} == {bpf.ERRNO | 1}
    assert ask(entry, "ppoll", machine="aarch64") == bpf.ALLOW


def test_siblings_can_be_switched_off() -> None:
    entry = generate(make_recording([make_call("openat"), make_call("mkdir")]), siblings=False).entry
    assert ask(entry, "open") == ask(entry, "mkdirat", machine="aarch64") == bpf.ERRNO | 1


def test_siblings_of_programs_of_32_bits() -> None:
    assert "clock_gettime64" not in generate(make_recording([make_call("clock_gettime")])).entry.get("allow", [])
    entry = generate(make_recording([make_call("clock_gettime", abis=("i386",))])).entry
    assert "clock_gettime64" in entry["allow"]
    assert entry["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"]


def test_recording_of_arm64_works_on_x86_64() -> None:
    entry = generate(make_recording([make_call("mkdirat", abis=("aarch64",)), make_call("epoll_pwait", abis=("aarch64",))])).entry
    assert ask(entry, "mkdir") == ask(entry, "epoll_wait") == bpf.ALLOW


def test_calls_beyond_the_base_are_notes_and_not_allowed() -> None:
    recording = make_recording([make_call("ptrace"), make_call("io_uring_setup"), make_call("socket", (2, 38)), make_call("999")])
    generated = generate(recording, base=GENERAL)
    assert ask(generated.entry, "ptrace") == bpf.ERRNO | 1
    assert ask(generated.entry, "socket", 38) == bpf.ERRNO | 1 and ask(generated.entry, "socket", 2) == bpf.ALLOW
    assert [note.partition(":")[0] for note in generated.notes] == ["999", "io_uring_setup", "ptrace", "socket AF_ALG"]


def test_a_call_of_another_capability_is_a_note() -> None:
    generated = generate(make_recording([make_call("mount")]))
    assert generated.notes == ["mount: is recorded, but the engine's default denies it without CAP_SYS_ADMIN, so it is not allowed"]


def test_denied_calls_are_notes_and_not_allowed() -> None:
    generated = generate(make_recording([make_call("write")], denied_calls={"keyctl": make_denied("keyctl")}))
    assert ask(generated.entry, "keyctl") == bpf.ERRNO | 1
    assert generated.notes == ["keyctl: was denied with EPERM since 2026-11-20; a denied call is not allowed by a recording"]


def test_conditions_of_the_base_on_capabilities_stay() -> None:
    entry = generate(make_recording([make_call("chroot")])).entry
    assert ask(entry, "chroot") == bpf.ALLOW
    assert ask(entry, "chroot", capabilities=frozenset()) == bpf.ERRNO | 1


@pytest.mark.parametrize("base", [ENGINE, GENERAL])
@pytest.mark.parametrize("capabilities", [DEFAULT, ADMIN])
def test_stage_log_allows_what_the_base_allows(base: Base, capabilities: frozenset[str]) -> None:
    recording = make_nginx(configuration={"capabilities": tuple(name.lower() for name in capabilities)})
    text = compose(generate(recording, LOG, base).entry)
    for machine in ("x86_64", "aarch64"):
        stage, before = (expand_profile(parse_profile(each, "x"), machine, (6, 12), capabilities) for each in (text, base.text))
        for name, number in load_table(machine).items():
            for first in (0, 1, 2, 8, 10, 16, 17, 38, 39, 40, 41, 99, 0x20000, 0x10000000, 0xFFFFFFFF, 2**63):
                own, old = (answer(each, number, (first, 0, 0, 0, 0, 0)) for each in (stage, before))
                assert own is not None and old is not None
                assert bpf.is_allowing(own) == bpf.is_allowing(old), (name, machine, first)
                assert bpf.is_allowing(own) or own == old, (name, machine, first)


def test_stage_log_logs_what_was_not_recorded() -> None:
    entry = generate(stage=LOG).entry
    assert ask(entry, "mknod") == ask(entry, "socket", 17) == ask(entry, "socket", 77) == ask(entry, "mkdirat") == bpf.LOG
    assert ask(entry, "accept4") == ask(entry, "socket", 2) == bpf.ALLOW
    assert ask(entry, "socket", 38) == bpf.ERRNO | 1 and ask(entry, "clone3") == bpf.ERRNO | 38


def test_stage_log_keeps_the_abis_of_the_base() -> None:
    assert "SCMP_ARCH_X86" in generate(stage=LOG).entry["architectures"]
    assert "architectures" not in generate(stage=ENFORCE).entry


def test_stage_log_of_a_permissive_base() -> None:
    base = Base("x", json.dumps({"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}]}))
    entry = generate(stage=LOG, base=base).entry
    assert (entry["default_action"], entry["permissive"]) == ("SCMP_ACT_LOG", True)
    assert ask(entry, "bpf") == bpf.ERRNO | 1 and ask(entry, "keyctl") == bpf.LOG and ask(entry, "read") == bpf.ALLOW
    assert ask(generate(base=base).entry, "keyctl") == bpf.ERRNO | 1


def test_a_base_without_a_call_of_the_block_replaces_the_block() -> None:
    base = Base("x", format_profile(compose_profile(PRESETS["general"], deny=["statx"])))
    entry = generate(base=base).entry
    assert "blocks" not in entry and ask(entry, "statx") != bpf.ALLOW and ask(entry, "openat") == bpf.ALLOW


def test_a_base_with_narrower_flags_of_clone_is_not_exceeded() -> None:
    profile = compose_profile(PRESETS["general"], deny=["clone"])
    condition = {"index": 0, "value": 0xFFFFFF00, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    profile["syscalls"].append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [condition]})
    entry = generate(base=Base("x", format_profile(profile))).entry
    assert ask(entry, "clone", 17) == bpf.ALLOW and ask(entry, "clone", 0x100) == bpf.ERRNO | 1


@pytest.mark.parametrize(
    ("recording", "stage", "message"),
    [
        (make_recording(), ENFORCE, "shop-web: no system call was recorded; record the service first with playbooks/record.yml"),
        (make_nginx(), "record", "shop-web: stage 'record' has no seccomp profile; write log or enforce"),
    ],
)
def test_what_cannot_be_generated_is_one_message(recording: Recording, stage: str, message: str) -> None:
    with pytest.raises(GenerationError) as caught:
        generate(recording, stage)
    assert str(caught.value) == message


def test_each_call_of_the_entry_has_a_reason() -> None:
    generated = generate()
    named = {what for what, unused in generated.reasons}
    assert set(generated.entry["allow"]) <= named
    assert dict(generated.reasons)["accept4"] == "recorded on web1 since 2026-11-20"


def test_entries_do_not_depend_on_the_order_of_calls() -> None:
    backwards = make_recording(reversed(make_nginx().calls.values()))
    assert generate(backwards) == generate()


KNOWN = sorted(set(load_table("x86_64")) | set(load_table("aarch64")))
VALUES = st.sets(st.one_of(st.none(), st.sampled_from([0, 1, 2, 8, 10, 38, 40, 0x10000000, 0x20000, 0xFFFFFFFF])), max_size=3)
CALLS = st.lists(
    st.builds(
        make_call,
        st.one_of(st.sampled_from(KNOWN), st.sampled_from(["socket", "clone", "personality", "clone3"])),
        VALUES,
        st.sets(st.sampled_from(["x86_64", "aarch64", "i386", "x32", "arm"]), min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=20,
)


@given(
    calls=CALLS,
    stage=st.sampled_from([LOG, ENFORCE]),
    blocks=st.sets(st.sampled_from(sorted(BLOCKS)), max_size=6),
    denied=st.sets(st.sampled_from(KNOWN), max_size=10),
    builtin=st.booleans(),
    capabilities=st.sampled_from([(), ("cap_sys_admin",), ("cap_sys_chroot", "cap_syslog")]),
)
@settings(max_examples=60, deadline=None)
def test_no_entry_exceeds_its_base(
    calls: list[Any], stage: str, blocks: set[str], denied: set[str], builtin: bool, capabilities: tuple[str, ...]
) -> None:
    text = format_profile(compose_profile(sorted({*blocks, "runc"}), deny=sorted(denied - set(FLOOR))))
    base = ENGINE if builtin else Base("x", text)
    generated = generate(make_recording(calls, {"capabilities": capabilities}), stage, base)
    profile = parse_profile(compose(generated.entry), "x")
    assert find_excess(profile, base) == []
    expanded, before = (
        expand_profile(each, "x86_64", (6, 12), {name.upper() for name in capabilities}) for each in (profile, base.profile)
    )
    for name in {call.name for call in calls} & set(load_table("x86_64")) - {"clone", "socket", "personality"}:
        number = load_table("x86_64")[name]
        assert set(map(bpf.is_allowing, expanded.answers(number))) == set(map(bpf.is_allowing, before.answers(number)))


def test_no_call_is_allowed_that_the_filter_of_an_engine_denies() -> None:
    expanded = expand(generate().entry, capabilities=DEFAULT)
    found = compare_filters(dumped("default-trixie"), expanded)
    assert (found.missing, found.tightened) == ([], [])
    assert {"ptrace", "mknod", "io_uring_setup"} & set(found.surplus) == {"ptrace", "mknod"}


def test_excess_is_found_for_a_call_an_argument_and_an_abi() -> None:
    def exceeds(**more: Any) -> list[str]:
        return find_excess(parse_profile(format_profile(compose_profile(PRESETS["web"], **more)), "x"), GENERAL)

    rule = {"names": ["socketpair"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}
    assert exceeds() == []
    assert exceeds(allow=["ptrace"]) == ["ptrace"]
    assert exceeds(allow=["socketcall"]) == ["socketcall"]
    assert exceeds(rules=[rule]) == ["socketpair"]
