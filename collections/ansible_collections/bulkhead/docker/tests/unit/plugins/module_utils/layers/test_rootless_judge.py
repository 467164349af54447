# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a rootless engine: each thing that is wrong is named, and what was not seen is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless import judge as rootless_judge
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns import judge as userns
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import names

from ...builders import build_container, build_evidence
from .rootless_host import EXPECT, MAP, engine, evidence, settled, virgin

SOCKET: dict[str, Any] = engine()["socket"]


def ids(verdict: Any) -> list[str]:
    return [finding.id.removeprefix("rootless.") for finding in verdict.findings if finding.status]


def test_complete_host_is_enforced() -> None:
    verdict = rootless_judge.judge(evidence(), EXPECT)
    assert (verdict.status, ids(verdict)) == ("enforced", [])
    assert verdict.evidence[0] == {"source": "/proc/42/uid_map", "value": MAP}


@pytest.mark.parametrize(
    ("here", "found", "status"),
    [
        ({"linger": False}, "no_linger", "degraded"),
        ({"controllers": ["memory", "pids"]}, "not_delegated", "degraded"),
        ({"controllers": None}, "controllers_unread", "unknown"),
        ({"engines": []}, "not_running", "absent"),
        ({"engines": [engine(uid_map=[[0, 990, 1], [1, 100000, 65536]])]}, "map_differs", "degraded"),
        ({"engines": [engine(uid_map=[[0, 990, 1]])]}, "map_short", "degraded"),
        ({"engines": [engine(socket=None)]}, "socket_missing", "degraded"),
        ({"engines": [engine(socket={**SOCKET, "mode": "0666"})]}, "socket_mode", "degraded"),
        ({"engines": [engine(socket={**SOCKET, "uid": 1000})]}, "socket_owner", "degraded"),
        ({"engines": [engine(socket={**SOCKET, "folder_mode": "0755"})]}, "socket_folder", "degraded"),
        ({"engines": [engine(), engine(user="eve", uid=1001, judged=False)]}, "not_examined", "degraded"),
        ({"rootful": {**virgin()["layers"]["rootless"]["rootful"]}}, "rootful_running", "degraded"),
        (
            {"rootful": {"pid": None, "present": ["docker.service"], "masked": [], "listening": False, "containers": []}},
            "rootful_not_masked",
            "degraded",
        ),
    ],
)
def test_each_deviation_is_named(here: dict[str, Any], found: str, status: str) -> None:
    host = settled()
    host["layers"]["rootless"].update(here)
    verdict = rootless_judge.judge(evidence(host), EXPECT)
    assert found in ids(verdict)
    assert verdict.status == status


@pytest.mark.parametrize(
    ("sources", "found", "status"),
    [
        (["sss"], "map_unknown", "unknown"),
        (["sss", "files"], "map_unknown", "unknown"),
        (["files", "sss"], "map_differs", "degraded"),
        ([], "map_differs", "degraded"),
    ],
)
def test_ranges_of_a_directory_are_no_drift(sources: list[str], found: str, status: str) -> None:
    host = settled()
    host["layers"]["rootless"]["engines"] = [engine(uid_map=[[0, 990, 1], [1, 2147483648, 65536]])]
    host["layers"]["userns"]["subid_sources"] = sources
    verdict = rootless_judge.judge(evidence(host), EXPECT)
    assert (verdict.status, ids(verdict)) == (status, [found])


@pytest.mark.parametrize(
    ("path", "seen", "found"),
    [
        (names.UNIT, {}, "unit_missing"),
        (names.UNIT, {"text": "x", "uid": 990, "mode": 0o644}, "unit_writable"),
        (names.ENABLED, {}, "not_enabled"),
        (names.build_delegation_path(990), {}, "delegation_missing"),
        (names.WRAPPER, {}, "runtime_missing"),
        (names.WRAPPER, {"text": "#!/bin/sh", "uid": 0, "mode": 0o755}, "runtime_differs"),
        (names.WRAPPER, {"text": "x", "uid": 0, "mode": 0o777}, "runtime_writable"),
        (names.WRAPPER, {"link": "/home/rootless/runc", "uid": 0}, "runtime_writable"),
    ],
)
def test_each_wrong_file_is_named(path: str, seen: dict[str, Any], found: str) -> None:
    host = settled()
    host["layers"]["rootless"]["files"][path] = seen
    assert ids(rootless_judge.judge(evidence(host), EXPECT)) == [found]


@pytest.mark.parametrize(
    ("now", "found", "status"),
    [("80", [], "enforced"), ("1024", ["port"], "degraded"), ("", ["port_unread"], "unknown"), ("0", [], "enforced")],
)
def test_first_port_is_judged(now: str, found: list[str], status: str) -> None:
    host = settled(first_port=now)
    verdict = rootless_judge.judge(evidence(host), {**EXPECT, "first_port": 80})
    assert (ids(verdict), verdict.status) == (found, status)


@pytest.mark.parametrize(("enabled", "found"), [(True, []), (False, ["not_enabled"])])
def test_own_unit_of_the_user(enabled: bool, found: list[str]) -> None:
    host = settled(own_unit="/home/rootless/.config/systemd/user/docker.service", own_unit_enabled=enabled)
    for path in (names.UNIT, names.ENABLED):
        host["layers"]["rootless"]["files"][path] = {}
    assert ids(rootless_judge.judge(evidence(host), EXPECT)) == found


def of_default(status: str) -> dict[str, Any]:
    return {"layers": [{"layer": "seccomp", "status": status}, {"layer": "userns", "status": "not_applicable"}], "containers": []}


@pytest.mark.parametrize(
    ("seen", "status", "said"),
    [
        ({}, "degraded", "its containers were not examined"),
        ({"43": of_default("enforced")}, "enforced", "its defaults are enforced"),
        ({"43": of_default("unknown")}, "degraded", "its defaults that are not enforced: seccomp (unknown)"),
    ],
)
def test_other_users_engine_is_judged_by_its_defaults(seen: dict[str, Any], status: str, said: str) -> None:
    host = settled()
    host["layers"]["rootless"]["engines"].append(engine(user="eve", uid=1001, pid=43, judged=False))
    verdict = rootless_judge.judge({**evidence(host), "other_engines": seen}, EXPECT)
    assert verdict.status == status
    assert any(finding.text.endswith(said) for finding in verdict.findings)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({}, "its containers were not examined"),
        ({"7": of_default("enforced")}, "its defaults are enforced"),
        ({"7": of_default("absent")}, "its defaults that are not enforced: seccomp (absent)"),
    ],
)
def test_kept_rootful_engine_is_reported_only(seen: dict[str, Any], said: str) -> None:
    host = settled()
    host["layers"]["rootless"]["rootful"] = virgin()["layers"]["rootless"]["rootful"]
    verdict = rootless_judge.judge({**evidence(host), "other_engines": seen}, {**EXPECT, "disable_rootful": False})
    assert (verdict.status, ids(verdict)) == ("enforced", [])
    assert any(finding.id == "rootless.rootful_kept" and finding.text.endswith(said) for finding in verdict.findings)


def test_another_default_runtime_is_named() -> None:
    host = settled()
    host["engine"]["info"]["DefaultRuntime"] = "runc"
    assert ids(rootless_judge.judge(evidence(host), EXPECT)) == ["runtime_not_default"]


@pytest.mark.parametrize(
    ("kernel", "found", "status"),
    [
        ({"uid_map": [[0, 0, 4294967295]]}, "container_map", "absent"),
        ({"label": "unconfined"}, "profile", "degraded"),
        ({"label": "other (enforce)"}, "profile", "degraded"),
    ],
)
def test_wrong_probe_is_named(kernel: dict[str, Any], found: str, status: str) -> None:
    verdict = rootless_judge.judge(evidence(**kernel), EXPECT)
    assert (ids(verdict), verdict.status) == ([found], status)


def test_unknown_without_a_probe() -> None:
    assert rootless_judge.judge(build_evidence(settled()), EXPECT).status == "unknown"


def test_running_engine_is_reported_when_disabled() -> None:
    host = settled()
    host["layers"]["rootless"]["engines"] = [engine(judged=False)]
    assert ids(rootless_judge.judge(evidence(host), {})) == ["not_examined"]
    assert rootless_judge.judge(evidence(virgin()), {"requirement": "disabled", "user": None}).status == "not_applicable"


def test_a_container() -> None:
    assert rootless_judge.judge_container(build_container({"uid_map": MAP}), evidence(), EXPECT).status == "enforced"
    container = build_container({"uid_map": [[0, 0, 4294967295]]})
    assert rootless_judge.judge_container(container, evidence(), EXPECT).status == "absent"
    assert rootless_judge.judge_container(container, evidence(), {}).status == "not_applicable"


def test_userns_is_not_applicable_to_rootless() -> None:
    assert userns.judge(evidence(), {"requirement": "disabled"}).status == "not_applicable"
