# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon-wide profile is compared with the engine's built-in one, whose filter a second container shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp import gather
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.judge import judge
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, dump, encoding
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.examples import describe_denied_arguments
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.semantics import Condition

from ...builders import build_container, build_evidence
from ..seccomp.programs import ARCH, JEQ, JGT, JSET, LD, NR, RET, X86_64, allow_only, arg, assemble, program

FIXTURES = Path(__file__).parents[1] / "seccomp" / "fixtures"
BUILTIN = json.loads((FIXTURES / "default-trixie.json").read_text())["filters"]  # of engine 26.1.5
OWN = json.loads((FIXTURES / "web-trixie.json").read_text())["filters"]
ANSWER_DENY = (RET, 0, 0, bpf.ERRNO | 1)
ANSWER_ALLOW = (RET, 0, 0, bpf.ALLOW)


def run_judge(builtin: dict[str, Any] | None, own: list[str] = OWN, **more: Any) -> tuple[list[tuple[str, str, Any]], list[str]]:
    """Return findings as name, text and status, and the sources of the evidence, under the profile `web` with these changes."""
    text = format_profile(compose_profile(PRESETS["web"], **more))
    observed = {"system": {"machine": "x86_64", "kernel": "6.12.118"}, "engine": {"security_options": [], "started_at": 100.0}}
    file = {"path": "/x", "sha256": "a", "mtime": 50.0, "error": None}
    seccomp = {"dumped": own, "error": None, "file": file, "builtin": builtin}
    probe = build_container({"seccomp": 2, "cap": {"bnd": 0xA80425FB}}, name="probe")
    evidence = build_evidence(observed, probe, layer_evidence={"seccomp": seccomp})
    expect = {"requirement": "required", "daemon_profile": {"name": "web", "path": "/x", "sha256": "a", "content": text}}
    verdict = judge(evidence, expect)
    found = [(f.id.removeprefix("seccomp."), f.text, f.status) for f in verdict.findings if "default" in f.id]
    return found, [entry["source"] for entry in verdict.evidence]


def test_calls_newer_than_the_engine_are_named_apart() -> None:
    found, sources = run_judge({"pid": 9, "dumped": BUILTIN, "error": None})
    names = "getxattrat, listxattrat, mseal, uretprobe"
    assert found == [
        ("newer_than_default", f"web also allows newer calls, which the engine's built-in profile may not know: {names}", None)
    ]
    assert "PTRACE_SECCOMP_GET_FILTER of 9 (seccomp=builtin)" in sources


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({"allow": ["io_uring_setup"]}, "io_uring_setup"),
        # Engine 26.1 denies AF_VSOCK; 29.4.2 also denies AF_ALG.
        ({"allow": ["socket"]}, "socket (argument 0 = 40)"),
        ({"allow": ["personality", "reboot"]}, "personality (argument 0 = 1, 7, 9, …), reboot"),
        ({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}, ""),
    ],
)
def test_each_call_and_argument_that_the_engine_denies(more: dict[str, Any], calls: str) -> None:
    # The container runs under an older text of the profile; what the new one allows counts.
    found, unused = run_judge({"pid": 9, "dumped": BUILTIN, "error": None}, own=encode(allow_everything()), **more)
    texts = [text for name, text, status in found if (name, status) == ("weaker_than_default", None)]
    assert texts == ([f"web allows calls that the engine's built-in profile denies: {calls}"] if calls else [])


def test_what_the_kernel_denies_anyway_does_not_count() -> None:
    """libseccomp knows a name of neither profile, or another filter denies the call."""
    found, unused = run_judge({"pid": 9, "dumped": BUILTIN, "error": None}, allow=["io_uring_setup"])
    assert [name for name, *unused in found] == ["newer_than_default"]


def test_an_abi_that_the_engine_denies_is_named() -> None:
    native = encode(allow_only(*range(512)))
    found, unused = run_judge({"pid": 9, "dumped": native, "error": None}, architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])
    assert ("weaker_than_default", "web allows calls that the engine's built-in profile denies: every call (x32)", None) in found


@pytest.mark.parametrize("error", ["engine 20.10.24 does not know seccomp=builtin; 23.0 and later do", "process 9 has ended"])
def test_a_missing_comparison_is_explained(error: str) -> None:
    found, unused = run_judge({"pid": None, "dumped": None, "error": error})
    assert found == [("default_unread", f"web was not compared with the engine's built-in profile: {error}", None)]


def test_a_damaged_filter_is_explained() -> None:
    ((name, text, status),) = run_judge({"pid": 9, "dumped": encode_raw(b"12345678"), "error": None})[0]
    assert (name, status) == ("default_unread", None) and "instruction 0" in text


def test_without_such_a_container_nothing_is_said() -> None:
    assert run_judge(None)[0] == []


@pytest.mark.parametrize(
    ("builtin", "expected"),
    [
        (build_container({"pid": 9, "started": 5}), {"pid": 9, "dumped": BUILTIN, "error": None}),
        (build_container({"pid": 9}, untraceable="not the user's"), {"pid": 9, "dumped": None, "error": "not the user's"}),
        ({"error": "no such option"}, {"pid": None, "dumped": None, "error": "no such option"}),
        (None, None),
    ],
)
def test_gathering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, builtin: Any, expected: Any) -> None:
    filters = {7: OWN, 9: BUILTIN}
    monkeypatch.setattr(gather.dump, "read_filter_texts", lambda pid, started: filters[pid])
    probe = build_container(name="probe", **({"builtin": builtin} if builtin else {}))
    found = gather.gather_evidence(Host(tmp_path), probe, {"daemon_profile": None})
    assert (found["builtin"], found["dumped"]) == (expected, dump.encode_filters(encoding.decode_filters(OWN)))


def encode_raw(*raw: bytes) -> list[str]:
    return encoding.encode_filters(list(raw))


def encode(*programs: bpf.Program) -> list[str]:
    return encode_raw(*(assemble(*each) for each in programs))


def allow_everything() -> bpf.Program:
    return program(ANSWER_ALLOW)


@pytest.mark.parametrize(
    ("instructions", "conditions", "expected"),
    [
        ([(LD, 0, 0, arg(0)), (JEQ, 0, 1, 38), ANSWER_DENY, ANSWER_ALLOW], (), "argument 0 = 38"),
        ([(LD, 0, 0, arg(2)), (JGT, 0, 1, 0x1000), ANSWER_DENY, ANSWER_ALLOW], (), "argument 2 = 0x1001"),
        ([(LD, 0, 0, arg(1)), (JSET, 0, 1, 4), ANSWER_DENY, ANSWER_ALLOW], (), "argument 1 = 4, 5"),
        # The profile itself allows only 38 and 39 of the argument.
        ([(LD, 0, 0, arg(0)), (JGT, 0, 1, 38), ANSWER_DENY, ANSWER_ALLOW], (38, 39), "argument 0 = 39"),
        # Only both arguments together are denied.
        ([(LD, 0, 0, arg(0)), (JEQ, 0, 3, 1), (LD, 0, 0, arg(1)), (JEQ, 0, 1, 1), ANSWER_DENY, ANSWER_ALLOW], (), ""),
    ],
)
def test_examples_of_arguments(instructions: list[tuple[int, int, int, int]], conditions: tuple[int, ...], expected: str) -> None:
    filters = [program((LD, 0, 0, NR), (LD, 0, 0, ARCH), *instructions)]
    rules = [(bpf.ALLOW, (Condition(0, "SCMP_CMP_EQ", value),)) for value in conditions]
    default = bpf.ERRNO | 1 if rules else bpf.ALLOW
    assert describe_denied_arguments(filters, X86_64, 41, default, rules) == expected
