# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of services: stages, the gate, the way back, and input that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.gate import GateSettings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generated import (
    APPARMOR,
    CONTAINERS,
    SECCOMP,
    SUFFIX,
    read_stage,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.outcome import (
    OVERRIDE,
    PROPOSED,
    RECORDING,
    InventoryProfiles,
    ServiceOutcome,
    build_outcomes,
    find_recording_problems,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import SERVICES, RecordingSettings, ServiceSettings

from .recorded_hosts import DAY, START, make_access, make_call, make_instance, make_recorded

NOW = START + 10 * DAY
OPEN = GateSettings(0, 0, 0, 0, 0, 0, 0)
INVENTORY = InventoryProfiles({}, [], "/etc/docker/seccomp")
ACCESS = [make_access("/etc/passwd"), make_access("/run/x.pid", "rw")]
COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}


def record(*instances: dict[str, Any], **host: Any) -> dict[str, Any]:
    found = make_recorded(*(instances or (make_instance(access=ACCESS),)), **host)
    return {**found, "sources": {kind: {"status": "recording", "reason": ""} for kind in ("calls", "access")}}


def build(
    recorded: dict[str, Any] | None = None,
    stage: str = "",
    files: dict[str, str] | None = None,
    generated: dict[str, str] | None = None,
    gate: GateSettings | None = None,
    overridden: tuple[str, ...] = (),
    **own: Any,
) -> tuple[dict[str, ServiceOutcome], list[str]]:
    services = {"web": ServiceSettings(stage, **own)} if stage else {}
    given = {"web1": record()} if recorded is None else recorded
    settings = RecordingSettings(services, gate or GateSettings())
    outcomes, problems = build_outcomes(given, files or {}, generated or {}, settings, INVENTORY, NOW, overridden)
    return {each.service: each for each in outcomes}, problems


def read(outcome: ServiceOutcome, suffix: str = SUFFIX) -> tuple[str, dict[str, Any]]:
    return read_stage(outcome.texts[suffix], suffix)


def build_enforced() -> dict[str, str]:
    return {"web": build(stage="enforce", gate=OPEN)[0]["web"].texts[SUFFIX]}


def test_stage_record_only_proposes() -> None:
    found, problems = build()
    assert problems == [] and found["web"].failure == ""
    assert read(found["web"]) == ("record", {SECCOMP: [], APPARMOR: [], CONTAINERS: []})
    assert [len(entries) for entries in read(found["web"], PROPOSED)[1].values()] == [1, 1, 1]


def test_stage_log_logs_what_was_not_recorded() -> None:
    entry = read(build(stage="log")[0]["web"])[1][SECCOMP][0]
    profile = read_seccomp_profiles(
        {"seccomp_profiles_list": [entry], "seccomp_profiles_directory": "/x", "seccomp_profiles_daemon_default": ""}
    ).profiles[0]
    assert '"SCMP_ACT_LOG"' in profile.text
    logged = {name for rule in entry["rules"] if rule["action"] == "SCMP_ACT_LOG" for name in rule["names"]}
    assert "fsync" in logged and not {"read", "futex", "ptrace_missing", "kexec_load"} & logged


def test_a_gate_that_is_not_passed_keeps_the_files() -> None:
    former = {"web": build(stage="log")[0]["web"].texts[SUFFIX]}
    outcome = build(stage="enforce", generated=former)[0]["web"]
    assert list(outcome.texts) == [RECORDING]
    assert outcome.failure.startswith("web: stage enforce needs a passed gate, which lacks: ")
    assert outcome.failure.endswith("or reason: WHY to enforce all the same; until then, its files of stage log stay as they are")


def test_a_reason_enforces_and_is_in_the_file() -> None:
    outcome = build(stage="enforce", reason="tested\nby hand")[0]["web"]
    assert outcome.failure == "" and read(outcome)[0] == "enforce"
    assert "\n# Enforced although the gate is not passed: tested by hand\n" in outcome.texts[SUFFIX]


def test_an_empty_reason_is_none() -> None:
    assert build(stage="enforce", reason=" \n")[0]["web"].failure


def test_a_reason_that_is_not_needed_is_not_in_the_file() -> None:
    outcome = build(stage="enforce", reason="tested", gate=OPEN)[0]["web"]
    assert outcome.gate.passed and "tested" not in outcome.texts[SUFFIX]


@pytest.mark.parametrize("change", ["image", "runtime"])
def test_enforced_profiles_stay_with_a_warning(change: str) -> None:
    newer = (
        record(make_instance("2", access=ACCESS, image_id="sha256:" + "b" * 64, peaks={"pids": 500}))
        if change == "image"
        else record(runtime="runc 1.3.6", at=9)
    )
    outcome = build({"web1": newer}, "enforce", generated=build_enforced())[0]["web"]
    assert (outcome.failure, outcome.gate.passed, read(outcome)[0]) == ("", False, "enforce")
    assert outcome.warning.startswith("web: its profiles stay enforced, but the gate is not passed any more, and lacks: ")


def test_changed_profiles_need_the_gate_again() -> None:
    more = record(make_instance(access=ACCESS, calls=[make_call("read"), make_call("fsync")]))
    outcome = build({"web1": more}, "enforce", generated=build_enforced())[0]["web"]
    assert outcome.failure.endswith("its files of stage enforce stay as they are") and SUFFIX not in outcome.texts


@pytest.mark.parametrize("stage", ["log", "record"])
def test_the_way_back_is_one_variable(stage: str) -> None:
    outcome = build(stage=stage, generated=build_enforced())[0]["web"]
    assert (outcome.failure, read(outcome)[0]) == ("", stage)


def test_the_way_back_needs_no_calls() -> None:
    nothing = {"web1": record(make_instance(calls=[]))}
    outcome = build(nothing, "record", generated=build_enforced())[0]["web"]
    assert read(outcome) == ("record", {SECCOMP: [], APPARMOR: [], CONTAINERS: []})
    assert build(nothing, "log")[0]["web"].failure
    assert list(build(nothing)[0]["web"].texts) == [RECORDING]


def test_a_missing_entry_ends_no_stage() -> None:
    outcome = build(generated=build_enforced())[0]["web"]
    assert list(outcome.texts) == [RECORDING] and "write stage: record to end it" in outcome.failure
    files = {"web": build()[0]["web"].texts[RECORDING]}
    other = build({}, files=files, generated=build_enforced())[0]["web"]
    assert (list(other.texts), other.failure, other.settings.stage) == ([RECORDING], "", "enforce")


def test_a_service_that_is_not_found_changes_no_profile() -> None:
    found, problems = build({"web1": record(make_instance(name="wbe"))}, "log")
    assert list(found["wbe"].texts) == [RECORDING]
    assert problems == [
        f"{SERVICES}: name: 'web' is not a service that was recorded; write wbe; recorded are wbe; until then, no generated file changes"
    ]


def test_two_services_under_one_name_do_not_stop_others() -> None:
    two = [make_instance("1", "a-b", labels={}), make_instance("2", "x", labels={**COMPOSE, "com.docker.compose.project": "a"})]
    two[1]["labels"]["com.docker.compose.service"] = "b"
    found, problems = build({"web1": record(*two, make_instance("3"))})
    assert list(found) == ["web"] and len(problems) == 1 and "2 services have this name" in problems[0]


def test_a_recording_with_a_mistake_does_not_stop_others() -> None:
    files = {"db": "format: 1\nservice: [\n", "old": build()[0]["web"].texts[RECORDING]}
    found, problems = build(files=files)
    assert list(found) == ["web"] and len(problems) == 2
    assert problems == find_recording_problems(files)
    assert problems[0].startswith("db.yml:") and "'web' is not the name of the file" in problems[1]


def test_a_host_of_another_architecture_does_not_stop_others() -> None:
    found, problems = build({"web1": record(machine="riscv64"), "web2": record(recorder="0000000b")})
    assert found["web"].recording.hosts == ["web2"]
    assert [problem.partition(";")[0] for problem in problems] == ["web1: machine 'riscv64' has no table of system calls"]
    assert build({"web1": record(machine="riscv64")})[0] == {}


def test_two_architectures_are_merged() -> None:
    arm = record(make_instance("2", calls=[make_call("read", abi="aarch64")]), machine="aarch64", recorder="0000000b")
    outcome = build({"web1": record(), "web2": arm}, "log")[0]["web"]
    assert outcome.failure == "" and outcome.reduction is not None


def test_a_recording_without_environments_is_used() -> None:
    text = build()[0]["web"].texts[RECORDING]
    begin, end = text.index("    environments:"), text.index("    sources:")
    outcome = build({}, files={"web": text[:begin] + "    environments: []\n" + text[end:]})[0]["web"]
    assert outcome.reduction is None and PROPOSED in outcome.texts


def test_one_kind_is_generated_without_the_other() -> None:
    labelled = {"labels": COMPOSE, "name": "shop-web-1"}
    only_calls = record(make_instance(access=[make_access("/x", denied=True)], **labelled))
    only_access = record(make_instance(calls=[], access=ACCESS, **labelled))
    for recorded, without, key in ((only_calls, APPARMOR, "apparmor_profile"), (only_access, SECCOMP, "seccomp_profile")):
        for stage in ("log", "enforce"):
            settings = RecordingSettings({"shop-web": ServiceSettings(stage, "tested")}, GateSettings())
            outcome = build_outcomes({"web1": recorded}, {}, {}, settings, INVENTORY, NOW)[0][0]
            lists = read(outcome)[1]
            assert [name for name, entries in lists.items() if not entries] == [without]
            assert key not in lists[CONTAINERS][0]
            assert ("apparmor=" in outcome.texts[OVERRIDE]) == (without == SECCOMP)
            assert ("seccomp=" in outcome.texts[OVERRIDE]) == (without == APPARMOR)
            assert any(note.startswith(f"{without} has no entry: shop-web: no ") for note in outcome.notes)


def test_a_base_that_is_not_listed_is_a_failure() -> None:
    outcome = build(stage="record", base="wbe")[0]["web"]
    assert "base 'wbe' is not a profile of seccomp_profiles_list" in outcome.failure and list(outcome.texts) == [RECORDING]


def test_names_with_ends_of_generated_files_are_told_apart() -> None:
    names = ["a.generated", "a.proposed", "a.compose.override", "a"]
    found, problems = build({"web1": record(*(make_instance(str(number), name) for number, name in enumerate(names)))})
    assert sorted(found) == ["a", "a-compose.override", "a-generated", "a-proposed"] and problems == []


def test_an_override_of_a_former_stage_sets_nothing() -> None:
    assert OVERRIDE not in build(stage="record")[0]["web"].texts
    text = build(stage="record", overridden=("web",))[0]["web"].texts[OVERRIDE]
    assert yaml.safe_load(text) == {"services": {}}
    assert "Stage record" not in build(stage="log", overridden=("web",))[0]["web"].texts.get(OVERRIDE, "")
