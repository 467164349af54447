# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.changes import HostChange, compare_snapshots, select_baseline


def host(condition: str = "verified", written: str = "t1", opted_out: dict[str, list[str]] | None = None, **layers: str) -> dict[str, Any]:
    return {"condition": condition, "written": written, "layers": layers, "opted_out": opted_out or {}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (host(userns="enforced"), host(userns="enforced"), []),
        (host(userns="enforced"), host(userns="absent"), [HostChange("h", "userns", "enforced", "absent", False)]),
        (host(userns="absent"), host(userns="degraded"), [HostChange("h", "userns", "absent", "degraded", True)]),
        (
            host(userns="enforced"),
            host(x="enforced"),
            [HostChange("h", "userns", "enforced", "unknown", False), HostChange("h", "x", "unknown", "enforced", True)],
        ),
        (
            host(userns="enforced", rootless="not_applicable"),
            host(userns="not_applicable", rootless="enforced"),
            [
                HostChange("h", "rootless", "not_applicable", "enforced", True),
                HostChange("h", "userns", "enforced", "not_applicable", None),
            ],
        ),
        (host(userns="enforced"), host(userns="not_applicable"), [HostChange("h", "userns", "enforced", "not_applicable", False)]),
        (host(userns="enforced"), host("unreachable"), [HostChange("h", "host", "verified", "unreachable", False)]),
        (host("never"), host("failing", userns="absent"), [HostChange("h", "host", "never", "failing", None)]),
        (host(), host("failing"), [HostChange("h", "host", "verified", "failing", False)]),
        (host("never"), host("verified"), [HostChange("h", "host", "never", "verified", True)]),
        (host("never"), host("unreachable"), [HostChange("h", "host", "never", "unreachable", None)]),
        (host(), host(opted_out={"web": ["userns"]}), [HostChange("h", "container web opted out of", "nothing", "userns", False)]),
        (host(opted_out={"web": ["userns"]}), host(), [HostChange("h", "container web opted out of", "userns", "nothing", True)]),
        (host(opted_out={"web": ["a"]}), host(opted_out={"web": ["b"]}), [HostChange("h", "container web opted out of", "a", "b", None)]),
    ],
)
def test_changes_of_a_host(before: dict[str, Any], after: dict[str, Any], expected: list[HostChange]) -> None:
    assert compare_snapshots({"h": before}, {"h": after}) == expected


def test_new_and_gone_hosts_and_changes_for_the_worse_first() -> None:
    before = {"a": host("never"), "b": host(), "gone": host()}
    after = {"a": host(), "b": host("failing"), "new": host()}
    assert [(c.host, c.after) for c in compare_snapshots(before, after)] == [
        ("b", "failing"), ("a", "verified"), ("gone", "no report, and not in the inventory"), ("new", "new"),
    ]  # fmt: skip


def test_the_report_of_an_earlier_run_is_the_baseline() -> None:
    first = {"run": "1", "written": "monday", "hosts": {"h": host(written="t1")}, "since": {}}
    assert select_baseline({}, "1", first["hosts"]) == {}
    # Another run, with new results.
    now = {"h": host("failing", "t2")}
    assert select_baseline(first, "2", now) == {"written": "monday", "hosts": first["hosts"]}
    # The same run writes again after the next batch: still compared with Monday's.
    second = {"run": "2", "written": "tuesday", "hosts": now, "since": {"written": "monday", "hosts": first["hosts"]}}
    assert select_baseline(second, "2", {"h": host("failing", "t3")})["written"] == "monday"
    # The report is written again without a verification in between: the changes are still shown.
    assert select_baseline(second, "3", now)["written"] == "monday"
    # The inventory has a new host.
    assert select_baseline(second, "3", {**now, "new": host("never", "")})["written"] == "tuesday"
