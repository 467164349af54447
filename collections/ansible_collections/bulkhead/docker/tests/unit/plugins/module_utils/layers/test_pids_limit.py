# SPDX-License-Identifier: GPL-3.0-or-later
"""The default PIDs limit: planned by the means that the engine has, and judged by pids.max."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.drop_in_text import render_drop_in
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit.observe import observe
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit.plan import parse_limit, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit.settings import DROP_IN

from ...builders import build_container, build_evidence, write_files

EXPECT = {"requirement": "required", "limit": 100, "drop_in": ROOTFUL.drop_in}
MANAGED = {"path": ROOTFUL.drop_in, "name": DROP_IN, "tasks_max": "100", "is_managed": True}


def entry(name: str, tasks_max: str | None) -> dict[str, Any]:
    return {"path": f"/etc/systemd/system/docker-.scope.d/{name}", "name": name, "tasks_max": tasks_max, "is_managed": name == DROP_IN}


def observed(drop_ins: list[dict[str, Any]] | None = None, containers: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    entries = [MANAGED] if drop_ins is None else drop_ins
    managed = next((e for e in entries if e["is_managed"]), None)
    seen: dict[str, Any] = {
        "system": {"systemd": True, "cgroup_version": 2},
        "engine": {"cgroup_driver": "systemd", "cgroup_version": 2, "containers": containers or []},
        "dockerd": {"knows": {"default-pids-limit": False}},
        "layers": {
            "pids_limit": {
                "drop_in": {
                    "path": ROOTFUL.drop_in,
                    "exists": managed is not None,
                    "tasks_max": managed and managed["tasks_max"],
                    "text": None,
                },
                "drop_ins": entries,
            }
        },
    }
    for key, value in more.items():
        section, name = key.split("__")
        seen[section][name] = value
    return seen


# --- the inventory ---


@pytest.mark.parametrize(
    ("variable", "options", "value"),
    [(100, {}, 100), (250, {}, 250), ("300", {}, 300), (512, {"default-pids-limit": 50}, 50), (50, {"default-pids-limit": "50"}, 50)],
)
def test_parse_limit(variable: Any, options: dict[str, Any], value: int) -> None:
    limit = parse_limit({"docker_daemon_default_pids_limit": variable, "docker_daemon_options": options})
    assert (limit.value, limit.blockers, bool(limit.notices)) == (value, [], bool(options))


@pytest.mark.parametrize(
    ("variable", "options", "message"),
    [
        (-5, {}, "docker_daemon_default_pids_limit: -5 is not a limit; set an integer of tasks, 1 or more"),
        (0, {}, "0 is not a limit"),
        (4194305, {}, "4194305 is not a limit; set an integer of tasks, 1 or more and at most 4194304"),
        ("many", {}, "docker_daemon_default_pids_limit: 'many' is not an integer"),
        (True, {}, "True is not an integer"),
        (1.5, {}, "1.5 is not an integer"),
        (100, {"default-pids-limit": "15%"}, "docker_daemon_options['default-pids-limit']: '15%' is not an integer"),
        (200, {"default-pids-limit": 50}, "says 50 and docker_daemon_default_pids_limit says 200; keep one of them"),
    ],
)
def test_unusable_limits(variable: Any, options: dict[str, Any], message: str) -> None:
    limit = parse_limit({"docker_daemon_default_pids_limit": variable, "docker_daemon_options": options})
    assert message in limit.blockers[0]


# --- the plan ---


def test_drop_in_sets_the_limit() -> None:
    result = plan(observed([]), {})
    assert (result.apply, result.daemon_keys, result.blockers) == ({"pids_limit": 512}, {}, [])


def test_supported_key_is_used() -> None:
    result = plan(observed(dockerd__knows={"default-pids-limit": True}), {})
    assert (result.apply, result.daemon_keys) == ({"pids_limit": 0}, {"default-pids-limit": 512})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"system__systemd": False}, "needs systemd, which does not run on this host"),
        ({"engine__cgroup_version": 1}, "needs cgroup v2, and this host has v1"),
        ({"engine__cgroup_driver": "cgroupfs"}, "cgroup driver systemd, and it is cgroupfs"),
    ],
)
def test_unsupported_hosts(more: dict[str, Any], message: str) -> None:
    assert message in plan(observed(**more), {}).blockers[0]
    optional = plan(observed(**more), {"docker_daemon_pids_limit_layer": "optional"})
    assert (optional.blockers, optional.applicable, optional.apply) == ([], False, {})
    assert message in optional.reason and "optional" not in optional.reason


def test_disabled_removes_only_managed_drop_in() -> None:
    assert plan(observed(), {"docker_daemon_pids_limit_layer": "disabled"}).apply == {"pids_limit": 0}
    assert plan(observed([entry("20-x.conf", "5")]), {"docker_daemon_pids_limit_layer": "disabled"}).apply == {}


def container(maximum: int | None, current: int | None, peak: int | None, own: int | None = None) -> dict[str, Any]:
    return {"name": "web", "id": "1", "pids": {"source": "x", "max": maximum, "current": current, "peak": peak}, "pids_limit": own}


@pytest.mark.parametrize(
    ("running", "blocked", "warned", "reported"),
    [
        (container(None, 100, 120), "web (100 tasks now, peak 120; docker update --pids-limit 480 web)", "", True),
        (container(2337, 100, 120), "web (100 tasks now, peak 120; docker update --pids-limit 480 web)", "", True),
        (container(2337, 99, 120), "", "web (99 tasks now, peak 120; docker update --pids-limit 480 web)", True),
        (container(2337, 3, 26), "", "web (3 tasks now, peak 26; docker update --pids-limit 104 web)", True),
        (container(2337, 3, 25), "", "", True),
        (container(2337, 26, None), "", "web (26 tasks now, and this kernel counts no peak; docker update --pids-limit 104 web)", True),
        (container(2337, 25, None), "", "", True),
        (container(500, 400, 400, own=500), "", "", False),
        (container(50, 50, 50), "", "", False),
        (container(100, 100, 100), "", "", False),
        ({"name": "web", "id": "1", "pids": None, "pids_limit": None}, "", "", True),
    ],
)
def test_running_containers_are_compared_with_the_limit(running: dict[str, Any], blocked: str, warned: str, reported: bool) -> None:
    result = plan(observed([], [running]), {"docker_daemon_default_pids_limit": 100})
    assert (blocked in "".join(result.blockers), bool(result.blockers)) == (True, bool(blocked))
    assert (warned in "".join(result.warnings), bool(result.warnings)) == (True, bool(warned))
    assert bool(result.effects) is reported


def test_blocker_can_be_accepted() -> None:
    result = plan(observed([], [container(None, 512, 600)]), {"docker_daemon_pids_limit_accept": True})
    assert result.blockers == [] and "is already reached by web" in result.warnings[0]


def list_warnings(running: list[dict[str, Any]], limit: int = 100, **more: Any) -> list[str]:
    return plan(observed([], running), {"docker_daemon_default_pids_limit": limit, **more}).warnings


def test_headroom_names_every_container_once_the_largest_first() -> None:
    running = [{**container(None, 2, peak), "name": name} for name, peak in (("small", 25), ("web", 30), ("db", 218), ("none", 0))]
    (warning,) = list_warnings(running)
    assert warning.index("db (2 tasks now, peak 218; docker update --pids-limit 872 db)") < warning.index("web (2 tasks now, peak 30;")
    assert "small" not in warning and "none" not in warning
    assert "docker_daemon_pids_limit_headroom (4)" in warning and "pids_limit" in warning


@pytest.mark.parametrize(
    ("headroom", "peak", "warned"),
    [(1, 99, False), (1, 100, True), ("1.5", 67, True), (1.5, 66, False), (8, 13, True), (4, 4194304, True)],
)
def test_headroom_can_be_set(headroom: Any, peak: int, warned: bool) -> None:
    found = list_warnings([container(None, 2, peak)], docker_daemon_pids_limit_headroom=headroom)
    assert bool(found) is warned
    assert not found or peak < 4194304 or "--pids-limit 4194304 web" in found[0]


@pytest.mark.parametrize("headroom", [0.5, 0, -4, "many", True, None, float("nan"), float("inf"), [4]])
def test_unusable_headroom_is_a_blocker(headroom: Any) -> None:
    (blocker,) = plan(observed([]), {"docker_daemon_pids_limit_headroom": headroom}).blockers
    assert blocker.startswith(f"docker_daemon_pids_limit_headroom: {headroom!r} is not a factor; set a number of 1 or more")


def test_unchanged_limit_is_not_compared() -> None:
    same = [{**MANAGED, "tasks_max": "512"}]
    assert plan(observed(same, [container(None, 900, 900)]), {}).blockers == []


@pytest.mark.parametrize(
    ("name", "tasks_max", "warned"),
    [("20-x.conf", "5", True), ("05-x.conf", "5", False), ("20-x.conf", "512", False), ("20-x.conf", None, False)],
)
def test_overriding_drop_ins_are_reported(name: str, tasks_max: str | None, warned: bool) -> None:
    assert bool(plan(observed([MANAGED, entry(name, tasks_max)]), {}).warnings) is warned


def test_limit_below_runtime_need_is_reported() -> None:
    assert "docker exec" in plan(observed([]), {"docker_daemon_default_pids_limit": 5}).warnings[0]


# --- the observation ---


def test_observe(tmp_path: Path) -> None:
    files = {
        ROOTFUL.drop_in: render_drop_in(100),
        "/usr/lib/systemd/system/docker-.scope.d/60-vendor.conf": "[Scope]\nTasksMax = 15%\n",
        "/etc/systemd/system/scope.d/05-all.conf": "[Scope]\nMemoryMax=1G\n",
        "/etc/systemd/system/docker-.scope.d/readme.txt": "TasksMax=1",
    }
    found = observe(write_files(tmp_path, files))
    assert found["drop_in"] == {"path": ROOTFUL.drop_in, "exists": True, "text": render_drop_in(100), "tasks_max": "100"}
    assert [(e["name"], e["tasks_max"], e["is_managed"]) for e in found["drop_ins"]] == [
        ("05-all.conf", None, False),
        (DROP_IN, "100", True),
        ("60-vendor.conf", "15%", False),
    ]
    assert observe(Host(tmp_path / "empty"))["drop_ins"] == []


# --- the verdict ---


def seen(maximum: int | None, asked: int | None = None) -> dict[str, Any]:
    pids = {"source": "/sys/fs/cgroup/x/pids.max", "max": maximum, "current": 1, "peak": 1}
    return build_container({"pids": pids}, host_config={"PidsLimit": asked})


@pytest.mark.parametrize(
    ("maximum", "drop_ins", "status", "finding"),
    [
        (100, [MANAGED], "enforced", None),
        (50, [MANAGED], "enforced", "stricter"),
        (None, [MANAGED], "absent", "unlimited"),
        (2337, [], "absent", "too_high"),
        (100, [], "degraded", "drop_in_missing"),
        (100, [{**MANAGED, "tasks_max": "200"}], "degraded", "drop_in_differs"),
        (100, [MANAGED, entry("20-x.conf", "7")], "degraded", "overridden"),
        (100, [MANAGED, entry("60-x.conf", "100")], "degraded", "after_transient"),
        (100, [entry("20-x.conf", "100")], "enforced", "elsewhere"),
        (100, [MANAGED, entry("20-x.conf", None)], "enforced", None),
    ],
)
def test_judge(maximum: int | None, drop_ins: list[dict[str, Any]], status: str, finding: str | None) -> None:
    verdict = judge(build_evidence(observed(drop_ins), seen(maximum)), EXPECT)
    assert verdict.status == status
    assert (finding is None and not verdict.findings) or f"pids_limit.{finding}" in [f.id for f in verdict.findings]
    assert verdict.evidence[0] == {"source": "/sys/fs/cgroup/x/pids.max", "value": "max" if maximum is None else maximum}


def test_no_evidence_is_unknown() -> None:
    assert judge(build_evidence(observed()), EXPECT).status == "unknown"
    blind = seen(100)
    blind["kernel"].update(pids=None, unreadable={"/proc/7/cgroup": "no"})
    verdict = judge(build_evidence(observed(), blind), EXPECT)
    assert verdict.status == "unknown" and "/proc/7/cgroup: no" in verdict.findings[0].text
    assert judge_container(blind, {}, EXPECT).status == "unknown"


def test_disabled_layer_is_not_applicable() -> None:
    assert judge(build_evidence(observed([]), seen(None)), {**EXPECT, "requirement": "disabled"}).status == "not_applicable"


@pytest.mark.parametrize(
    ("asked", "maximum", "status", "disagrees", "opted_out"),
    [
        (None, 100, "enforced", False, False),
        (0, 100, "enforced", False, False),
        (None, 2337, "absent", False, False),
        (None, None, "absent", False, False),
        (-1, 100, "enforced", True, True),
        (-1, None, "absent", False, True),
        (20, 20, "enforced", False, False),
        (500, 500, "enforced", False, False),
        (20, 100, "degraded", True, False),
        (500, 100, "enforced", True, False),
        (20, None, "degraded", True, False),
        (None, 50, "enforced", False, False),
    ],
)
def test_judge_container(asked: int | None, maximum: int | None, status: str, disagrees: bool, opted_out: bool) -> None:
    verdict = judge_container(seen(maximum, asked), {}, EXPECT)
    assert (verdict.status, bool(verdict.disagreements), verdict.opted_out) == (status, disagrees, opted_out)


def test_container_at_its_limit_is_reported() -> None:
    one = seen(100)
    one["kernel"]["pids"]["current"] = 100
    assert [f.id for f in judge_container(one, {}, EXPECT).findings] == ["pids_limit.used_up"]


SLICE = "/sys/fs/cgroup/docker.slice/pids.max"


def below(maximum: int | None, *above: int | None, asked: int | None = None) -> dict[str, Any]:
    found = seen(maximum, asked)
    found["kernel"]["pids"]["ancestors"] = [
        {"source": SLICE if n == 0 else f"/sys/fs/cgroup/{n}/pids.max", "max": m} for n, m in enumerate(above)
    ]
    return found


@pytest.mark.parametrize(
    ("maximum", "above", "status", "finding", "named"),
    [
        (None, (None,), "absent", "unlimited", False),
        (None, (50,), "enforced", "stricter", True),
        (None, (100, None), "enforced", None, True),
        (None, (500, None), "absent", "too_high", True),
        (2000, (300, 50), "enforced", "stricter", False),
        (100, (50,), "enforced", "stricter", True),
        (100, (100,), "enforced", None, False),
        (100, (5000, None), "enforced", None, False),
    ],
)
def test_lower_limit_of_an_ancestor_counts(
    maximum: int | None, above: tuple[int | None, ...], status: str, finding: str | None, named: bool
) -> None:
    verdict = judge(build_evidence(observed(), below(maximum, *above)), EXPECT)
    assert (verdict.status, [f.id for f in verdict.findings]) == (status, [f"pids_limit.{finding}"] if finding else [])
    assert [entry["value"] for entry in verdict.evidence if entry["source"] == SLICE] == ([above[0]] if named else [])
    assert all((SLICE in f.text) is named for f in verdict.findings)


@pytest.mark.parametrize(
    ("asked", "maximum", "above", "status", "finding", "disagrees"),
    [
        (None, None, 50, "enforced", "stricter", False),
        (None, None, 500, "absent", "above_default", False),
        (-1, None, 50, "enforced", "stricter", False),
        (500, 500, 50, "enforced", None, False),
        (500, None, 50, "enforced", "not_its_own", True),
        (500, None, 900, "degraded", "not_its_own", True),
    ],
)
def test_container_below_a_limited_group(asked: Any, maximum: Any, above: int, status: str, finding: str | None, disagrees: bool) -> None:
    container = below(maximum, above, asked=asked)
    verdict = judge_container(container, {}, EXPECT)
    assert (verdict.status, bool(verdict.disagreements)) == (status, disagrees)
    assert [f.id for f in verdict.findings] == ([f"pids_limit.{finding}"] if finding else [])
    assert {"source": SLICE, "value": above} in verdict.evidence
