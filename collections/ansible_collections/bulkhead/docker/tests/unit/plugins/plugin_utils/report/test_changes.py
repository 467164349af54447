# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.changes import Change, baseline, compare


def host(condition: str = "verified", written: str = "t1", opted_out: dict[str, list[str]] | None = None, **layers: str) -> dict[str, Any]:
    return {"condition": condition, "written": written, "layers": layers, "opted_out": opted_out or {}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (host(userns="enforced"), host(userns="enforced"), []),
        (host(userns="enforced"), host(userns="absent"), [Change("h", "userns", "enforced", "absent", False)]),
        (host(userns="absent"), host(userns="degraded"), [Change("h", "userns", "absent", "degraded", True)]),
        (
            host(userns="enforced"),
            host(x="enforced"),
            [Change("h", "userns", "enforced", "unknown", False), Change("h", "x", "unknown", "enforced", True)],
        ),
        (
            host(userns="enforced", rootless="not_applicable"),
            host(userns="not_applicable", rootless="enforced"),
            [Change("h", "rootless", "not_applicable", "enforced", True), Change("h", "userns", "enforced", "not_applicable", None)],
        ),
        (host(userns="enforced"), host(userns="not_applicable"), [Change("h", "userns", "enforced", "not_applicable", False)]),
        (host(userns="enforced"), host("unreachable"), [Change("h", "host", "verified", "unreachable", False)]),
        (host("never"), host("failing", userns="absent"), [Change("h", "host", "never", "failing", None)]),
        (host(), host("failing"), [Change("h", "host", "verified", "failing", False)]),
        (host("never"), host("verified"), [Change("h", "host", "never", "verified", True)]),
        (host("never"), host("unreachable"), [Change("h", "host", "never", "unreachable", None)]),
        (host(), host(opted_out={"web": ["userns"]}), [Change("h", "container web opted out of", "nothing", "userns", False)]),
        (host(opted_out={"web": ["userns"]}), host(), [Change("h", "container web opted out of", "userns", "nothing", True)]),
        (host(opted_out={"web": ["a"]}), host(opted_out={"web": ["b"]}), [Change("h", "container web opted out of", "a", "b", None)]),
    ],
)
def test_changes_of_a_host(before: dict[str, Any], after: dict[str, Any], expected: list[Change]) -> None:
    assert compare({"h": before}, {"h": after}) == expected


def test_hosts_come_and_go_and_what_got_worse_is_first() -> None:
    before = {"a": host("never"), "b": host(), "gone": host()}
    after = {"a": host(), "b": host("failing"), "new": host()}
    assert [(c.host, c.after) for c in compare(before, after)] == [
        ("b", "failing"), ("a", "verified"), ("gone", "no report, and not in the inventory"), ("new", "new"),
    ]  # fmt: skip


def test_the_report_of_an_earlier_run_is_what_is_compared_with() -> None:
    first = {"run": "1", "written": "monday", "hosts": {"h": host(written="t1")}, "since": {}}
    assert baseline({}, "1", first["hosts"]) == {}
    # Another run, after something was verified.
    now = {"h": host("failing", "t2")}
    assert baseline(first, "2", now) == {"written": "monday", "hosts": first["hosts"]}
    # The same run writes again, after the next batch: still against Monday's.
    second = {"run": "2", "written": "tuesday", "hosts": now, "since": {"written": "monday", "hosts": first["hosts"]}}
    assert baseline(second, "2", {"h": host("failing", "t3")})["written"] == "monday"
    # The report is made again, nothing was verified in between: what changed is still shown.
    assert baseline(second, "3", now)["written"] == "monday"
    # A host came into the inventory.
    assert baseline(second, "3", {**now, "new": host("never", "")})["written"] == "tuesday"
