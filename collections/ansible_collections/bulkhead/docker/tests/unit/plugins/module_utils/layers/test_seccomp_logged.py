# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles ask for logging of denials where the engine and its runtimes can, and verification reads it back from the kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import sha256
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.logged import FLAG, find_logging_obstacle
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import encoding
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import LOGGING, compose_profile, format_profile

from .test_seccomp_judge import EVIDENCE, TEXT, container, evidence, filters, findings
from .test_seccomp_plan import FOLDER, LIST, WEB, desired, file, host

LOGGING_WEB = format_profile(compose_profile(PRESETS["web"], log=True))
KNOWN = ["SECCOMP_FILTER_FLAG_TSYNC", *LOGGING]


def runtime(flags: list[str] | None, version: str = "1.3.6", name: str = "org.opencontainers.runc") -> dict[str, Any]:
    """Return a runtime as `docker info` shows it. flags: None for runc 1.1 and crun 1.21, which do not list them."""
    features = {
        "linux": {"seccomp": {"enabled": True, **({} if flags is None else {"supportedFlags": flags})}},
        "annotations": {f"{name}.version": version},
    }
    return {"path": "runc", "status": {"org.opencontainers.runtime-spec.features": json.dumps(features)}}


def engine(version: str = "28.5.2", **runtimes: Any) -> dict[str, Any]:
    return {"version": version, "runtimes": runtimes or {"runc": runtime(KNOWN)}}


CRUN = runtime(None, "1.21", "run.oci.crun")
OLD = engine("26.1.5", runc=runtime(None, "1.1.15"))


@pytest.mark.parametrize(
    ("seen", "reason", "is_fatal"),
    [
        ({}, "its runtimes support that; run this again once it runs", False),
        (engine("20.10.24"), "engine 20.10.24 ignores flags of profiles; 23.0 is needed", False),
        (OLD, f"runtime runc 1.1.15 does not support {FLAG}; runc 1.2 is needed", True),
        (engine(runc=runtime(KNOWN), old=runtime(None, "1.1.5")), "runtime old 1.1.5 does not support", True),
        (engine(runc=runtime([FLAG])), "does not support", True),
        (engine(runc={"path": "runc"}), "does not report which flags runtime runc supports (engine 25.0 with runc reports it)", False),
        (engine(crun=CRUN), "does not report which flags runtime crun supports", False),
        (engine(crun=CRUN, runc=runtime(None, "1.1.15")), "runtime runc 1.1.15 does not support", True),
        (engine(runc=runtime(KNOWN), kata={"runtimeType": "io.containerd.kata.v2"}), "runtime kata", False),
        (engine(runc={"status": {"org.opencontainers.runtime-spec.features": "[]"}}), "does not report", False),
        ({"version": "28.5.2", "runtimes": {}}, "the engine reports no runtime", False),
    ],
)
def test_reasons_not_to_ask_for_logging(seen: dict[str, Any], reason: str, is_fatal: bool) -> None:
    found = find_logging_obstacle(seen)
    assert found and reason in found.reason and found.is_fatal is is_fatal


def test_an_engine_whose_runtimes_all_can() -> None:
    assert find_logging_obstacle(engine(runc=runtime(KNOWN), crun=runtime(KNOWN))) is None


def make_plan(seen: dict[str, Any], profiles: Any = None, on: bool = True, before: str | None = None) -> LayerPlan:
    files = {} if before is None else {"bulkhead-web": file(before)}
    observed = host(files, {} if before is None else {"bulkhead-web": before})
    observed["engine"].update(seen)
    return plan(observed, {**desired([LIST[1]] if profiles is None else profiles, ""), "seccomp_profiles_log_denials": on})


def test_a_profile_asks_for_logging_where_it_can() -> None:
    assert make_plan(engine()).changes[0].after == LOGGING_WEB
    assert json.loads(LOGGING_WEB)["flags"] == ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", FLAG]
    found = make_plan(engine(), before=LOGGING_WEB)
    assert (found.changes, found.apply, found.warnings) == ([], {}, [])


def test_switching_is_a_change_that_the_plan_names() -> None:
    found = make_plan(engine(), before=WEB)
    assert [change.summary for change in found.changes] == ["bulkhead-web asks the kernel to log its denials"]
    found = make_plan(engine(), on=False, before=LOGGING_WEB)
    assert [change.summary for change in found.changes] == ["bulkhead-web no longer asks the kernel to log its denials"]
    assert found.changes[0].after == WEB


def test_a_profile_overrides_the_variable() -> None:
    assert make_plan(engine(), [{**LIST[1], "log": False}]).changes[0].after == WEB
    assert make_plan(engine(), [{**LIST[1], "log": True}], on=False).changes[0].after == LOGGING_WEB


def test_a_host_that_cannot_keeps_profiles_without_flags() -> None:
    found = make_plan(OLD)
    assert (found.blockers, found.changes[0].after) == ([], WEB)
    assert found.warnings == [
        f"seccomp_profiles_log_denials: denials of bulkhead-web will not be logged, because runtime runc 1.1.15 does not support {FLAG}; "
        "runc 1.2 is needed"
    ]
    # After a runtime was replaced by an older one, no container would start under the file.
    assert make_plan(OLD, before=LOGGING_WEB).changes[0].after == WEB


def test_a_whole_profile_that_starts_no_container_is_a_blocker() -> None:
    whole = [{"name": "web", "src": "web.json", "content": LOGGING_WEB}]
    (blocker,) = make_plan(OLD, whole).blockers
    assert blocker.startswith(f"seccomp_profiles_list[0] (web.json): flags: {FLAG} is in the profile, and runtime runc 1.1.15 does not")
    assert "no container would start: remove it from `flags`" in blocker
    found = make_plan(engine("20.10.24"), whole)
    assert found.blockers == [] and "ignores flags" in found.warnings[0]
    assert make_plan(engine(), whole, on=False).warnings == []


def expect() -> dict[str, Any]:
    return expectation({**desired([LIST[1]], "bulkhead-web"), "seccomp_profiles_log_denials": True})


def encode(flags: int | None) -> list[str]:
    return encoding.encode_filters(encoding.decode_filters(filters("web-trixie")), [flags])


def judge_flags(flags: int | None, seen: dict[str, Any], sha: str) -> tuple[str, list[tuple[str, str | None]]]:
    path = f"{FOLDER}/bulkhead-web.json"
    own = {"dumped": encode(flags), "file": {"path": path, "sha256": sha, "mtime": 50.0, "error": None}}
    found = evidence(profile=path, verification=own)
    found["observed"]["engine"].update(seen)
    verdict = judge(found, expect())
    return verdict.status, findings(verdict)


def test_the_kernel_logs_the_denials_of_the_default() -> None:
    assert judge_flags(2, engine(), sha256(LOGGING_WEB)) == ("enforced", [])
    assert judge_flags(0, engine(), sha256(LOGGING_WEB)) == ("degraded", [("not_logged", "degraded")])
    assert judge_flags(None, engine(), sha256(LOGGING_WEB)) == ("unknown", [("logging_unread", "unknown")])
    assert judge_flags(2, engine(), sha256(WEB)) == ("degraded", [("file_differs", "degraded")])


def test_a_host_that_cannot_log_is_verified_without() -> None:
    assert judge_flags(0, OLD, sha256(WEB)) == ("enforced", [("cannot_log", None)])
    assert judge_flags(0, OLD, sha256(LOGGING_WEB))[0] == "degraded", "the file would start no container"


@pytest.mark.parametrize(("flags", "status"), [(2, "enforced"), (0, "degraded"), (None, "unknown")])
@pytest.mark.parametrize("options", [None, [f"seccomp={LOGGING_WEB}"]])
def test_the_kernel_logs_the_denials_of_a_container(options: Any, flags: int | None, status: str) -> None:
    seen = {**EVIDENCE, "observed": {**EVIDENCE["observed"], "engine": engine()}}
    assert judge_container(container(2, options, dumped=encode(flags)), seen, expect()).status == status


def test_a_container_whose_profile_does_not_ask() -> None:
    seen = {**EVIDENCE, "observed": {**EVIDENCE["observed"], "engine": engine()}}
    assert judge_container(container(2, [f"seccomp={TEXT}"], dumped=encode(0)), seen, expect()).status == "enforced"
