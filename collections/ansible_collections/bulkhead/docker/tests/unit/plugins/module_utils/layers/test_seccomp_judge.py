# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgement of seccomp by filters, files and what the engine reports. A test makes each check fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp import gather
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.observe import observe
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import dump
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile

FIXTURES = Path(__file__).parents[1] / "seccomp" / "fixtures"
PATH = "/etc/docker/seccomp/web.json"
TEXT = format_profile(compose_profile(PRESETS["web"]))
WANTED = {"name": "web", "path": PATH, "sha256": "a", "content": TEXT}
WIDE = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}'
EQUAL: dict[str, Any] = {
    "surplus": [],
    "missing": [],
    "loosened": [],
    "tightened": [],
    "abis": [],
    "abi_calls": [],
    "unchecked": [],
    "counts": {"allowed": 246},
}
VERIFIED: dict[str, Any] = {
    "filters": [294],
    "error": None,
    "file": {"path": PATH, "sha256": "a", "mtime": 50.0, "error": None},
    "comparison": EQUAL,
    "never": [],
    "profile_error": None,
}
DEFAULT_CAPS = 0xA80425FB


def evidence(
    mode: Any = 2, profile: str | None = PATH, started: float | None = 100.0, proof: dict[str, Any] | None = None
) -> dict[str, Any]:
    options = ["name=apparmor"] + ([f"name=seccomp,profile={profile}"] if profile else [])
    return {
        "observed": {"engine": {"security_options": options, "started_at": started}},
        "probe": {"pid": 7, "kernel": kernel(mode)},
        "layer_evidence": {"seccomp": {**VERIFIED, **(proof or {})}},
    }


def kernel(mode: Any) -> dict[str, Any]:
    return {"pid": 7, "seccomp": mode, "cap": {"bnd": DEFAULT_CAPS}, "unreadable": {}}


def expect(**more: Any) -> dict[str, Any]:
    return {"requirement": "required", "daemon_profile": {**WANTED, **more}}


def findings(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(finding.id.removeprefix("seccomp."), finding.status) for finding in verdict.findings]


def test_enforced() -> None:
    verdict = judge(evidence(), expect())
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert {"source": "/proc/7/status", "value": "Seccomp: 2"} in verdict.evidence
    assert any(one["source"].startswith("PTRACE_SECCOMP_GET_FILTER") for one in verdict.evidence)


def test_built_in_profile_is_enough_if_desired() -> None:
    builtin = {"requirement": "required", "daemon_profile": None}
    proof = {"file": None, "comparison": None}
    assert judge(evidence(profile="builtin", proof=proof), builtin).status == "enforced"
    opened = judge(evidence(profile="builtin", proof={**proof, "never": ["bpf", "mount"]}), builtin)
    assert findings(opened) == [("wide_open", "degraded")] and "bpf, mount" in opened.findings[0].text


@pytest.mark.parametrize(
    ("seen", "found", "status"),
    [
        (evidence(mode=0), [("unfiltered", "absent")], "absent"),
        (evidence(mode=None), [("unreadable", "unknown")], "unknown"),
        (evidence(profile="builtin"), [("other_profile", "degraded")], "degraded"),
        (evidence(profile="default"), [("other_profile", "degraded")], "degraded"),
        (evidence(proof={"file": None}), [("file_unreadable", "unknown")], "unknown"),
        (evidence(proof={"file": {**VERIFIED["file"], "error": "no"}}), [("file_unreadable", "unknown")], "unknown"),
        (evidence(proof={"file": {**VERIFIED["file"], "sha256": None}}), [("file_missing", "degraded")], "degraded"),
        (evidence(proof={"file": {**VERIFIED["file"], "sha256": "b"}}), [("file_differs", "degraded")], "degraded"),
        (evidence(started=40.0), [("file_newer", None)], "enforced"),
        (
            evidence(started=40.0, proof={"comparison": {**EQUAL, "surplus": ["bpf"]}}),
            [("file_newer", "degraded"), ("surplus", "degraded")],
            "degraded",
        ),
        (
            evidence(started=40.0, proof={"file": {**VERIFIED["file"], "sha256": "b"}}),
            [("file_differs", "degraded"), ("file_newer", "degraded")],
            "degraded",
        ),
        (evidence(started=49.5), [], "enforced"),
        (evidence(proof={"filters": None, "error": "not root"}), [("filter_unread", "unknown")], "unknown"),
        (evidence(proof={"comparison": None}), [("not_compared", "unknown")], "unknown"),
        (evidence(proof={"comparison": None, "profile_error": "bad"}), [("profile_unreadable", "unknown")], "unknown"),
        (evidence(proof={"comparison": {**EQUAL, "surplus": ["bpf"]}}), [("surplus", "degraded")], "degraded"),
        (evidence(proof={"comparison": {**EQUAL, "loosened": ["socket"]}}), [("loosened", "degraded")], "degraded"),
        (evidence(proof={"comparison": {**EQUAL, "abis": ["x32"]}}), [("abis", "degraded")], "degraded"),
        (evidence(proof={"comparison": {**EQUAL, "missing": ["chmod"]}}), [("missing", "degraded")], "degraded"),
        (evidence(proof={"comparison": {**EQUAL, "tightened": ["socket"]}}), [("missing", "degraded")], "degraded"),
        (evidence(proof={"comparison": {**EQUAL, "missing": ["mseal"]}}), [("too_new", None)], "enforced"),
        (evidence(proof={"never": ["mount"]}), [("wide_open", "degraded")], "degraded"),
        ({**evidence(), "probe": None}, [("no_probe", "unknown")], "unknown"),
        ({**evidence(), "layer_evidence": {}}, [("file_unreadable", "unknown"), ("filter_unread", "unknown")], "unknown"),
    ],
)  # fmt: skip
def test_each_fault_has_its_finding(seen: dict[str, Any], found: list[tuple[str, str | None]], status: str) -> None:
    verdict = judge(seen, expect())
    assert findings(verdict) == found
    assert verdict.status == status


def test_long_lists_are_cut() -> None:
    verdict = judge(evidence(proof={"comparison": {**EQUAL, "surplus": [f"call{n}" for n in range(40)]}}), expect())
    assert verdict.findings[0].text.endswith("call11 and 28 more")


def container(mode: Any, options: list[str] | None = None, privileged: bool = False, dumped: list[str] | None = None) -> dict[str, Any]:
    config = {"SecurityOpt": options, "Privileged": privileged}
    return {"name": "web", "pid": 7, "kernel": kernel(mode), "inspect": {"HostConfig": config}, "seccomp_filter": dumped}


@pytest.mark.parametrize(
    ("seen", "status", "opted_out", "disagreements"),
    [
        (container(2), "enforced", False, 0),
        (container(0), "absent", False, 1),
        (container(None), "unknown", False, 0),
        (container(0, ["seccomp=unconfined"]), "absent", True, 0),
        (container(0, ["seccomp:unconfined"]), "absent", True, 0),
        (container(0, privileged=True), "absent", True, 0),
        (container(2, ["seccomp=unconfined"]), "absent", True, 0),
        (container(2, [f"seccomp={TEXT}"], privileged=True), "enforced", False, 0),
        (container(0, ['seccomp={"a": 1}']), "absent", False, 1),
        (container(2, ["no-new-privileges", "apparmor=web", "seccomp=builtin"]), "enforced", False, 0),
    ],
)
def test_containers(seen: dict[str, Any], status: str, opted_out: bool, disagreements: int) -> None:
    verdict = judge_container(seen, {}, expect())
    assert (verdict.status, verdict.opted_out, len(verdict.disagreements)) == (status, opted_out, disagreements)


def filters(name: str) -> list[str]:
    return list(json.loads((FIXTURES / f"{name}.json").read_text())["filters"])


class Machine:
    machine, release = "x86_64", "6.12.1-test"


@pytest.mark.parametrize(
    ("dumped", "options", "status", "found"),
    [
        ("web-trixie", None, "enforced", []),
        ("default-trixie", None, "degraded", ["surplus", "loosened", "abis"]),
        ("default-trixie", ["seccomp=builtin"], "enforced", []),
        ("web-trixie", [f"seccomp={TEXT}"], "enforced", []),
        ("default-trixie", [f"seccomp={TEXT}"], "degraded", ["surplus", "loosened", "abis"]),
        # The filter equals the container's own profile, which allows everything.
        ("wide-trixie", [f"seccomp={WIDE}"], "degraded", ["wide_open"]),
    ],
)
def test_deep_compares_the_filters_of_a_container(
    monkeypatch: pytest.MonkeyPatch, dumped: str, options: Any, status: str, found: list[str]
) -> None:
    monkeypatch.setattr(gather.os, "uname", Machine)
    verdict = judge_container(container(2, options, dumped=filters(dumped)), {}, expect())
    assert [name for name, unused in findings(verdict)] == found
    assert verdict.status == status


def test_deep_with_damaged_evidence_is_unknown() -> None:
    assert judge_container(container(2, dumped=["!"]), {}, expect()).status == "unknown"


@pytest.mark.parametrize(
    ("text", "surplus"),
    [(TEXT, []), (format_profile(compose_profile(PRESETS["web"], deny=["chmod"])), ["chmod"])],
)
def test_evidence_compares_the_probe_with_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, surplus: list[str]
) -> None:
    monkeypatch.setattr(gather.os, "uname", Machine)
    monkeypatch.setattr(gather.dump, "read_filters", lambda pid, started: dump.decode_filters(filters("web-trixie")))
    (tmp_path / "etc/docker/seccomp").mkdir(parents=True)
    (tmp_path / PATH.lstrip("/")).write_text("{}")
    found = gather.gather_evidence(Host(tmp_path), {"pid": 7, "kernel": kernel(2)}, expect(content=text))
    assert found["filters"] == [294]
    assert found["comparison"]["surplus"] == surplus
    assert found["never"] == []
    assert found["file"]["sha256"] and "text" not in found["file"]


def test_evidence_explains_why_it_is_missing(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    def refused(pid: int, started: int | None) -> list[bytes]:
        raise dump.DumpError("run as root")

    monkeypatch.setattr(gather.dump, "read_filters", refused)
    found = gather.gather_evidence(host, {"pid": 7, "kernel": kernel(2)}, expect())
    assert (found["filters"], found["error"], found["file"]["sha256"]) == (None, "run as root", None)
    assert gather.gather_evidence(host, None, {"daemon_profile": None})["file"] is None


def test_machine_without_a_table_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather.os, "uname", type("Riscv", (), {"machine": "riscv64", "release": "6.12"}))
    assert "riscv64" in gather.examine_filters([b""], set(), None)["error"]


def test_observe(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert observe(host) == {"in_kernel": False, "files": {}, "managed": {}, "error": None}
    folder, memory = tmp_path / "etc/docker/seccomp", tmp_path / "var/lib/bulkhead"
    folder.mkdir(parents=True)
    memory.mkdir(parents=True)
    (folder / "ours.json").write_text("{}")
    (folder / "theirs.json").write_text("[]")
    (folder / "broken.json").symlink_to("/nowhere/at/all")
    (memory / "seccomp.json").write_text(json.dumps({"profiles": {"/etc/docker/seccomp/ours.json": {"sha256": "x"}}}))
    seen = observe(host)
    assert seen["files"]["/etc/docker/seccomp/ours.json"]["text"] == "{}"
    assert "text" not in seen["files"]["/etc/docker/seccomp/theirs.json"]
    assert seen["files"]["/etc/docker/seccomp/broken.json"]["error"] == "its target does not exist"
    (memory / "seccomp.json").write_text("{")
    assert "not valid JSON" in observe(host)["error"]
