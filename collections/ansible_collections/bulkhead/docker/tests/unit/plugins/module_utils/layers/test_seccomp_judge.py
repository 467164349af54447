# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgement of seccomp by filters, files and what the engine reports. A test makes each check fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp import examine, gather
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.observe import observe
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import bpf, dump, encoding, regions
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table

from ...builders import build_container, build_evidence, write_files
from ..seccomp.programs import ALLOW_ALL, I386, allow_only, assemble, dumped, open_abi

FIXTURES = Path(__file__).parents[1] / "seccomp" / "fixtures"
PATH = "/etc/docker/seccomp/web.json"
TEXT = format_profile(compose_profile(PRESETS["web"]))
DESIRED = {"name": "web", "path": PATH, "sha256": "a", "content": TEXT}
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
EVIDENCE = build_evidence({"system": {"machine": "x86_64", "kernel": "6.12.118"}})


def evidence(
    mode: Any = 2, profile: str | None = PATH, started: float | None = 100.0, verification: dict[str, Any] | None = None
) -> dict[str, Any]:
    options = ["name=apparmor"] + ([f"name=seccomp,profile={profile}"] if profile else [])
    observed = {**EVIDENCE["observed"], "engine": {"security_options": options, "started_at": started}}
    return build_evidence(observed, build_probe(mode), layer_evidence={"seccomp": {**VERIFIED, **(verification or {})}})


def kernel(mode: Any) -> dict[str, Any]:
    return {"seccomp": mode, "cap": {"bnd": DEFAULT_CAPS}}


def build_probe(mode: Any = 2, **more: Any) -> dict[str, Any]:
    return build_container(kernel(mode), name="probe", **more)


def expect(**more: Any) -> dict[str, Any]:
    return {"requirement": "required", "daemon_profile": {**DESIRED, **more}}


def findings(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(finding.id.removeprefix("seccomp."), finding.status) for finding in verdict.findings]


def test_enforced() -> None:
    verdict = judge(evidence(), expect())
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert {"source": "/proc/7/status", "value": "Seccomp: 2"} in verdict.evidence
    assert any(one["source"].startswith("PTRACE_SECCOMP_GET_FILTER") for one in verdict.evidence)


def test_built_in_profile_is_enough_if_desired() -> None:
    builtin = {"requirement": "required", "daemon_profile": None}
    verification = {"file": None, "comparison": None}
    assert judge(evidence(profile="builtin", verification=verification), builtin).status == "enforced"
    opened = judge(evidence(profile="builtin", verification={**verification, "never": ["bpf", "mount"]}), builtin)
    assert findings(opened) == [("wide_open", "degraded")] and "bpf, mount" in opened.findings[0].text


@pytest.mark.parametrize(
    ("seen", "found", "status"),
    [
        (evidence(mode=0), [("unfiltered", "absent")], "absent"),
        (evidence(mode=None), [("unreadable", "unknown")], "unknown"),
        (evidence(profile="builtin"), [("other_profile", "degraded")], "degraded"),
        (evidence(profile="default"), [("other_profile", "degraded")], "degraded"),
        (evidence(verification={"file": None}), [("file_unreadable", "unknown")], "unknown"),
        (evidence(verification={"file": {**VERIFIED["file"], "error": "no"}}), [("file_unreadable", "unknown")], "unknown"),
        (evidence(verification={"file": {**VERIFIED["file"], "sha256": None}}), [("file_missing", "degraded")], "degraded"),
        (evidence(verification={"file": {**VERIFIED["file"], "sha256": "b"}}), [("file_differs", "degraded")], "degraded"),
        (evidence(started=40.0), [("file_newer", None)], "enforced"),
        (
            evidence(started=40.0, verification={"comparison": {**EQUAL, "surplus": ["bpf"]}}),
            [("file_newer", "degraded"), ("surplus", "degraded")],
            "degraded",
        ),
        (
            evidence(started=40.0, verification={"file": {**VERIFIED["file"], "sha256": "b"}}),
            [("file_differs", "degraded"), ("file_newer", "degraded")],
            "degraded",
        ),
        (evidence(started=49.5), [], "enforced"),
        (evidence(verification={"filters": None, "error": "not root"}), [("filter_unread", "unknown")], "unknown"),
        (evidence(verification={"comparison": None}), [("not_compared", "unknown")], "unknown"),
        (evidence(verification={"comparison": None, "profile_error": "bad"}), [("profile_unreadable", "unknown")], "unknown"),
        (evidence(verification={"comparison": {**EQUAL, "surplus": ["bpf"]}}), [("surplus", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "loosened": ["socket"]}}), [("loosened", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "abis": ["x32"]}}), [("abis", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "abi_calls": ["mount (x86)"]}}), [("abi_calls", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "unchecked": ["clone"]}}), [("not_compared", "unknown")], "unknown"),
        (evidence(verification={"never": ["mount"], "open": True}), [("allows_all", "absent")], "absent"),
        (evidence(verification={"comparison": {**EQUAL, "missing": ["chmod"]}}), [("missing", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "tightened": ["socket"]}}), [("missing", "degraded")], "degraded"),
        (evidence(verification={"comparison": {**EQUAL, "missing": ["mseal"]}}), [("too_new", None)], "enforced"),
        (evidence(verification={"never": ["mount"]}), [("wide_open", "degraded")], "degraded"),
        ({**evidence(), "probe": None}, [("no_probe", "unknown")], "unknown"),
        ({**evidence(), "layer_evidence": {}}, [("file_unreadable", "unknown"), ("filter_unread", "unknown")], "unknown"),
    ],
)  # fmt: skip
def test_each_fault_has_its_finding(seen: dict[str, Any], found: list[tuple[str, str | None]], status: str) -> None:
    verdict = judge(seen, expect())
    assert findings(verdict) == found
    assert verdict.status == status


def test_long_lists_are_cut() -> None:
    verdict = judge(evidence(verification={"comparison": {**EQUAL, "surplus": [f"call{n}" for n in range(40)]}}), expect())
    assert verdict.findings[0].text.endswith("call11 and 28 more")


def container(
    mode: Any, options: list[str] | None = None, privileged: bool = False, dumped: list[str] | None = None, **config: Any
) -> dict[str, Any]:
    config = {"SecurityOpt": options, "Privileged": privileged, **config}
    return build_container(kernel(mode), host_config=config, seccomp_filter=dumped)


def profile(default: str, *rules: dict[str, Any], **top: Any) -> str:
    return "seccomp=" + json.dumps({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules, **top})


def rule(action: str, *names: str, **keys: Any) -> dict[str, Any]:
    return {"names": names, "action": f"SCMP_ACT_{action}", **keys}


MODERATE = profile("ERRNO", rule("ALLOW", "read", "write"))
TIMED = profile("ERRNO", rule("ALLOW", "read", "settimeofday", includes={"caps": ["CAP_SYS_TIME"]}))


@pytest.mark.parametrize(
    ("seen", "status", "opted_out", "disagreements", "found"),
    [
        (container(2), "enforced", False, 0, []),
        (container(0), "absent", False, 1, ["unfiltered"]),
        (container(None), "unknown", False, 0, ["unreadable"]),
        (container(0, ["seccomp=unconfined"]), "absent", True, 0, ["opted_out"]),
        (container(0, ["seccomp:unconfined"]), "absent", True, 0, ["opted_out"]),
        (container(0, privileged=True), "absent", True, 0, ["opted_out"]),
        (container(None, ["seccomp=unconfined"]), "unknown", True, 0, ["unreadable"]),
        # A filter that the program installed itself does not count.
        (container(2, ["seccomp=unconfined"]), "absent", True, 0, ["own_filter"]),
        (container(2, privileged=True), "absent", True, 0, ["own_filter"]),
        (container(2, [f"seccomp={TEXT}"], privileged=True), "enforced", False, 0, []),
        (container(0, [MODERATE]), "absent", False, 1, ["unfiltered"]),
        (container(2, ["no-new-privileges", "apparmor=web", "seccomp=builtin"]), "enforced", False, 0, []),
        (container(2, ["seccomp="]), "enforced", False, 0, []),  # the engine's default
        # The engine uses the last option.
        (container(0, [MODERATE, "seccomp=unconfined"]), "absent", True, 0, ["opted_out"]),
        (container(2, ["seccomp=unconfined", MODERATE]), "enforced", False, 0, []),
        # The text of the profile.
        (container(2, [MODERATE]), "enforced", False, 0, []),
        (container(2, [MODERATE.replace("=", "= \n ")]), "enforced", False, 0, []),
        (container(2, [MODERATE.replace("=", ":")]), "enforced", False, 0, []),
        (container(2, [profile("ALLOW")]), "absent", False, 0, ["allows_all"]),
        (container(2, [profile("LOG")]), "absent", False, 0, ["allows_all"]),
        (container(2, [profile("ALLOW", rule("LOG", "read"))]), "absent", False, 0, ["allows_all"]),
        (container(2, [profile("ALLOW", rule("ERRNO", "chmod"))]), "degraded", False, 0, ["wide_open"]),
        (container(2, [profile("ERRNO", rule("ALLOW", "read", "mount"))]), "degraded", False, 0, ["wide_open"]),
        (container(2, [profile("ERRNO", rule("ALLOW", "umount"))]), "enforced", False, 0, []),  # not a call of x86-64
        (
            container(2, [profile("ERRNO", rule("ALLOW", "umount"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])]),
            "degraded", False, 0, ["wide_open"],
        ),
        (container(2, ["seccomp={"]), "unknown", False, 0, ["profile_unreadable"]),
        (container(2, ["seccomp=/etc/web.json"]), "unknown", False, 0, ["profile_unreadable"]),
        (container(2, [profile("DENY", rule("ALLOW", "read"))]), "unknown", False, 0, ["profile_unreadable"]),
        # The engine ignores unknown keys, such as those of Podman's profiles.
        (container(2, [profile("ERRNO", rule("ALLOW", "read", errno="EPERM"), syscallz=[])]), "enforced", False, 0, []),
        (container(2, ["seccomp={}"]), "absent", False, 0, ["allows_all"]),  # the filter is the program's own
        # Capabilities justify calls, by the bounding set or by what was given at the start.
        (container(2, [TIMED], CapAdd=["SYS_TIME"]), "enforced", False, 0, []),
        (container(2, [TIMED], CapAdd=["CAP_SYS_TIME"]), "enforced", False, 0, []),
        (container(2, [TIMED]), "enforced", False, 0, []),  # the rule does not apply
        (container(2, [profile("ERRNO", rule("ALLOW", "settimeofday"))]), "degraded", False, 0, ["wide_open"]),
        (container(2, [profile("ERRNO", rule("ALLOW", "settimeofday"))], CapAdd=["ALL"]), "enforced", False, 0, []),
        (container(2, [profile("ERRNO", rule("ALLOW", "settimeofday"))], CapAdd=["ALL"], CapDrop=["SYS_TIME"]), "degraded", False, 0,
         ["wide_open"]),
        (container(2, [profile("ALLOW", rule("ERRNO", "chmod"))], CapAdd=["BPF"]), "degraded", False, 0, ["wide_open"]),
        (container(2, [profile("ALLOW", rule("ERRNO", "chmod"))], CapAdd=["SYS_ADMIN"]), "degraded", False, 0, ["wide_open"]),
        (container(2, [profile("ERRNO", rule("ALLOW", "keyctl"))], privileged=True), "degraded", False, 0, ["wide_open"]),
    ],
)  # fmt: skip
def test_containers(
    monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], status: str, opted_out: bool, disagreements: int, found: list[str]
) -> None:
    verdict = judge_container(seen, EVIDENCE, expect())
    assert (verdict.status, verdict.opted_out, len(verdict.disagreements)) == (status, opted_out, disagreements)
    assert [name for name, unused in findings(verdict)] == found


def test_the_text_of_an_own_profile_is_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judge_container(container(2, [profile("ALLOW", rule("ERRNO", "chmod"))], CapAdd=["SYS_ADMIN"]), EVIDENCE, expect())
    total = len(load_table("x86_64"))
    assert {
        "source": "docker inspect HostConfig.SecurityOpt",
        "value": f"own profile, allows {total - 1} of {total} calls",
    } in verdict.evidence
    text = verdict.findings[0].text
    assert text.startswith("the profile of container web allows calls that no profile should allow: acct, add_key, clock_settime")
    assert "mount" not in text


STATE = {"command": "sh", "tasks": 1, "started": 5, "unreadable": {}}


@pytest.mark.parametrize(
    ("options", "others", "status", "found"),
    [
        (None, [{"pid": 42, "seccomp": 2, "seccomp_filters": 2}], "enforced", []),
        (None, [{"pid": 42, "seccomp": 1}], "enforced", []),
        (None, [{"pid": 42, "seccomp": 0}], "absent", ["process 42 (sh) of container web runs without a seccomp filter"]),
        (None, [{"pid": 7, "tid": 9, "seccomp": 0}], "absent", ["thread 9 of process 7 (sh) of container web runs without a seccomp filter"]),
        (None, [{"pid": 42}], "unknown", ["it is unknown whether process 42 (sh) of container web has a filter: /proc/42/status has no line Seccomp"]),
        (
            ["seccomp=unconfined"], [{"pid": 42, "seccomp": 0}], "absent",
            ["process 42 (sh) of container web is configured to run without a filter"],
        ),
    ],
)  # fmt: skip
def test_every_process_and_thread_is_judged(options: Any, others: list[dict[str, Any]], status: str, found: list[str]) -> None:
    seen = container(2, options)
    seen["states"] = [seen["kernel"], *({**STATE, **other} for other in others)]
    verdict = judge_container(seen, EVIDENCE, expect())
    assert (verdict.status, [finding.text for finding in verdict.findings]) == (status, found)


def test_number_of_filters_is_evidence() -> None:
    seen = container(2)
    seen["kernel"]["seccomp_filters"] = 3
    assert {"source": "/proc/7/status", "value": "Seccomp: 2, Seccomp_filters: 3"} in judge_container(seen, EVIDENCE, expect()).evidence


@pytest.mark.parametrize(
    ("options", "default", "status"),
    [
        (None, 0, "unknown"),
        (None, 2, "enforced"),
        (None, None, "enforced"),
        (["seccomp=builtin"], 0, "enforced"),
        ([MODERATE], 0, "enforced"),
    ],
)
def test_a_filter_may_be_the_own_one_if_the_default_has_none(options: Any, default: int | None, status: str) -> None:
    seen = {**EVIDENCE, "probe": build_container({"seccomp": default}, name="probe")}
    verdict = judge_container(container(2, options), seen, expect())
    assert verdict.status == status
    assert [name for name, unused in findings(verdict)] == (["default_unfiltered"] if status == "unknown" else [])


def filters(name: str) -> list[str]:
    return list(json.loads((FIXTURES / f"{name}.json").read_text())["filters"])


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
    verdict = judge_container(container(2, options, dumped=filters(dumped)), EVIDENCE, expect())
    assert [name for name, unused in findings(verdict)] == found
    assert verdict.status == status


def encode(*programs: bpf.Program) -> list[str]:
    return encoding.encode_filters([assemble(*one) for one in programs])


@pytest.mark.parametrize(
    ("programs", "options", "config", "status", "found"),
    [
        ([ALLOW_ALL], ["seccomp=builtin"], {}, "absent", ["allows_all"]),
        ([ALLOW_ALL], [profile("ALLOW")], {}, "absent", ["allows_all", "abis"]),
        ([ALLOW_ALL], ["seccomp=builtin"], {"CapAdd": ["ALL"]}, "absent", ["allows_all"]),
        ([allow_only(0, 164)], ["seccomp=builtin"], {}, "degraded", ["wide_open"]),
        ([allow_only(0, 164)], ["seccomp=builtin"], {"CapAdd": ["SYS_TIME"]}, "enforced", []),
        ([allow_only(0, 164)], ["seccomp=builtin"], {"CapAdd": ["BPF"]}, "degraded", ["wide_open"]),
        ([allow_only(0, 321)], ["seccomp=builtin"], {"CapAdd": ["BPF"]}, "enforced", []),
        ([allow_only(21, arch=I386)], ["seccomp=builtin"], {}, "degraded", ["wide_open"]),
        ([open_abi(allow_only(0), "x86")], ["seccomp=builtin"], {}, "degraded", ["wide_open"]),
        ([open_abi(allow_only(0), "x32")], ["seccomp=builtin"], {"CapAdd": ["ALL"]}, "degraded", ["wide_open"]),
        ([open_abi(dumped("web-trixie")[0], "x32")], [f"seccomp={TEXT}"], {}, "degraded", ["abis"]),
        # The program restricts itself further; its profile is judged without that.
        ([ALLOW_ALL, *dumped("web-trixie")], [profile("ALLOW")], {}, "absent", ["allows_all"]),
        ([*dumped("web-trixie"), allow_only(0)], [f"seccomp={TEXT}"], {}, "enforced", []),
        (dumped("web-trixie"), ["seccomp={"], {}, "unknown", ["profile_unreadable"]),
    ],
)
def test_dumped_filters(
    monkeypatch: pytest.MonkeyPatch, programs: list[bpf.Program], options: list[str], config: dict[str, Any], status: str, found: list[str]
) -> None:
    verdict = judge_container(container(2, options, dumped=encode(*programs), **config), EVIDENCE, expect())
    assert [name for name, unused in findings(verdict)] == found
    assert verdict.status == status


def test_the_abi_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = compose_profile(PRESETS["web"], architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])
    seen = container(2, ["seccomp=" + json.dumps(named)], dumped=encode(open_abi(dumped("web-trixie")[0], "x32")))
    verdict = judge_container(seen, EVIDENCE, expect())
    assert findings(verdict) == [("abi_calls", "degraded")]
    assert verdict.findings[0].text == "the kernel allows calls of other ABIs that its own profile denies: every call (x32)"


def test_calls_that_are_not_compared_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MAX_WORK", 0)
    verdict = judge_container(container(2, [f"seccomp={TEXT}"], dumped=filters("web-trixie")), EVIDENCE, expect())
    assert findings(verdict) == [("not_compared", "unknown")]
    assert "clone, personality, socket, socketpair" in verdict.findings[0].text


def test_evidence_names_the_containers_that_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {**container(2, dumped=filters("web-trixie")), "covers": ["api", "db"]}
    other = {**container(2, dumped=filters("web-trixie")), "pid": 8, "dumped_from": {"name": "web", "pid": 7}}
    values = [
        next(
            one["value"] for one in judge_container(seen, EVIDENCE, expect()).evidence if one["source"] == "PTRACE_SECCOMP_GET_FILTER of 7"
        )
        for seen in (first, other)
    ]
    assert values == [
        "1 filter(s); the profile and capabilities are those of api, db too",
        "1 filter(s) of container web, which has the same profile and capabilities",
    ]


def test_a_container_that_was_not_dumped_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judge_container({**container(2), "not_dumped": "process 7 is frozen (docker pause)"}, EVIDENCE, expect())
    assert (verdict.status, findings(verdict)) == ("enforced", [("not_dumped", None)])
    assert verdict.findings[0].text == "the filter of container web was not read: process 7 is frozen (docker pause)"


def test_dumped_filters_of_other_processes_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {**STATE, "pid": 42, "seccomp": 2, "seccomp_filters": 1, "filters": encode(ALLOW_ALL)}
    seen = {**container(2, dumped=filters("web-trixie")), "dumped_states": [state]}
    verdict = judge_container(seen, EVIDENCE, expect(content=None))
    assert (verdict.status, findings(verdict)) == ("absent", [("allows_all", "absent")])
    assert verdict.findings[0].text == "the filter of process 42 (sh) of container web allows every call, so it protects nothing"
    assert any(one["source"] == "PTRACE_SECCOMP_GET_FILTER of 42" for one in verdict.evidence)


def test_deep_with_damaged_evidence_is_unknown() -> None:
    assert judge_container(container(2, dumped=["!"]), EVIDENCE, expect()).status == "unknown"


@pytest.mark.parametrize(
    ("text", "surplus"),
    [(TEXT, []), (format_profile(compose_profile(PRESETS["web"], deny=["chmod"])), ["chmod"])],
)
def test_evidence_compares_the_probe_with_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, surplus: list[str]
) -> None:
    monkeypatch.setattr(gather.dump, "read_filter_texts", lambda pid, started: filters("web-trixie"))
    probe, desired = build_probe(), expect(content=text)
    own = gather.gather_evidence(write_files(tmp_path, {PATH: "{}"}), probe, desired)
    found = examine.examine_probe(own, {**EVIDENCE, "probe": probe}, desired["daemon_profile"])
    assert found["filters"] == [294]
    assert found["comparison"]["surplus"] == surplus
    assert found["never"] == []
    assert found["file"]["sha256"] and "text" not in found["file"]


def test_evidence_explains_why_it_is_missing(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    def raise_dump_error(pid: int, started: int | None) -> list[str]:
        raise dump.DumpError("run as root")

    monkeypatch.setattr(gather.dump, "read_filter_texts", raise_dump_error)
    found = gather.gather_evidence(host, build_probe(), expect())
    assert (found["dumped"], found["error"], found["file"]["sha256"]) == (None, "run as root", None)
    assert gather.gather_evidence(host, None, {"daemon_profile": None})["file"] is None
    probe = build_probe(untraceable="process 7 is not the user's")
    monkeypatch.setattr(gather.dump, "read_filter_texts", lambda *unused: pytest.fail("it must not be traced"))
    assert gather.gather_evidence(host, probe, expect())["error"] == "process 7 is not the user's"


def test_machine_without_a_table_is_reported() -> None:
    assert "riscv64" in examine.examine_filters([b""], examine.System("riscv64", "6.12"), set(), None)["error"]


def test_observe(host: Host) -> None:
    assert observe(host) == {"in_kernel": False, "files": {}, "managed": {}, "error": None}
    folder, memory = "/etc/docker/seccomp", "/var/lib/bulkhead/seccomp.json"
    known = json.dumps({"profiles": {f"{folder}/managed.json": {"sha256": "x"}}})
    write_files(host, {f"{folder}/managed.json": "{}", f"{folder}/unmanaged.json": "[]", memory: known})
    host.path(f"{folder}/broken.json").symlink_to("/nowhere/at/all")
    seen = observe(host)
    assert seen["files"]["/etc/docker/seccomp/managed.json"]["text"] == "{}"
    assert "text" not in seen["files"]["/etc/docker/seccomp/unmanaged.json"]
    assert seen["files"]["/etc/docker/seccomp/broken.json"]["error"] == "its target does not exist"
    write_files(host, {memory: "{"})
    assert "not valid JSON" in observe(host)["error"]
