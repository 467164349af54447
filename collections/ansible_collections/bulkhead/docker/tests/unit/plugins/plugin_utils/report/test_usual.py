# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials that are new for their service, by what earlier reports of the host had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import denials, fleet, prometheus, read, usual
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.usual import DAY, Sightings, build_key, mark_new, name_image_group

from .samples import NOW, make_denial, make_denials, write_reports


class Host:
    """The reports of a host, one after the other, each read from the JSON of the last one."""

    def __init__(self) -> None:
        self.report: Any = None

    def report_new(
        self, day: float, *entries: dict[str, Any], running: tuple[dict[str, Any], ...] = (), sources: tuple[str, ...] = ()
    ) -> list[str]:
        """Return the operations that are new in a report of that day."""
        marked, seen = mark_new(entries, usual.read_sightings(self.report), NOW + day * DAY, usual.DEFAULT_DAYS, running, sources)
        self.report = json.loads(json.dumps({"sightings": seen.as_json()}))
        return [entry["operation"] for entry in marked if entry["new"]]


def make_call(operation: str, detail: str = "errno=EPERM", image: str = "nginx:1", **more: Any) -> dict[str, Any]:
    container = {"id": "c0ffee", "name": "web", "image": image}
    return make_denial(operation=operation, detail=detail, layer="seccomp", container=container, **more)


def test_what_a_service_is_denied_in_its_first_days_is_usual() -> None:
    host = Host()
    for day in (0, 3, 6.9, 8, 400):
        assert host.report_new(day, make_call("mount")) == []


def test_a_later_denial_is_new_for_some_days() -> None:
    host = Host()
    host.report_new(0, make_call("mount"))
    assert host.report_new(6, make_call("clone")) == [], "still learning"
    assert host.report_new(8, make_call("mount"), make_call("bpf")) == ["bpf"]
    assert host.report_new(14, make_call("bpf")) == ["bpf"]
    assert host.report_new(15.1, make_call("bpf")) == []


def test_versions_and_replicas_are_one_service() -> None:
    host = Host()
    host.report_new(0, make_call("mount"))
    assert host.report_new(20, make_call("mount", image="nginx:2@sha256:beef"), make_call("mount", image="redis")) == []
    assert host.report_new(28, make_call("mount", image="nginx"), make_call("bpf", image="redis:8")) == ["bpf"]


def test_a_verification_shows_services_without_denials() -> None:
    host, web = Host(), {"name": "web", "image": "nginx:1"}
    host.report_new(0, running=(web,))
    assert host.report_new(8, make_call("bpf"), running=(web,)) == ["bpf"]
    assert Host().report_new(8, make_call("bpf"), running=(web,)) == [], "the first report of a host learns"


def test_a_service_is_learned_anew_from_a_source_that_sees_more() -> None:
    host, web = Host(), {"name": "web", "image": "nginx:1"}
    host.report_new(0, make_call("mount"), running=(web,))
    assert host.report_new(20, make_call("openat", by="counters"), running=(web,), sources=("counters",)) == []
    assert host.report_new(28, make_call("bpf", by="counters"), make_call("clone"), running=(web,)) == ["bpf", "clone"]
    quiet = Host()
    quiet.report_new(0, running=(web,), sources=("counters",))
    assert quiet.report_new(8, make_call("bpf", by="counters")) == ["bpf"]


def test_the_host_and_unknown_processes_are_services() -> None:
    host = Host()
    host.report_new(0, make_denial(None, "host", operation="open"), make_denial(None, "unknown", operation="mount"))
    found = host.report_new(9, make_denial(None, "host", operation="mount"), make_denial(None, "unknown", operation="mount"))
    assert found == ["mount"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("errno=EPERM", "errno=EPERM (counted since 2026-11-01 10:00:00 UTC)", True),
        ("errno=EPERM (recorder)", "errno=EPERM (recorder, counted since 2026-11-01 10:00:00 UTC)", True),
        ("errno=EPERM cap_sys_admin", "errno=EPERM cap_net_admin", False),
        ("errno=EPERM", "errno=EACCES", False),
        ("name=/proc/12/mem", "name=/proc/4711/mem", True),
        ("name=/run/0123456789abcdef/x", "name=/run/fedcba9876543210/x", True),
        ("name=/etc/shadow", "name=/etc/passwd", False),
    ],
)
def test_numbers_and_times_make_no_new_denial(one: str, other: str, same: bool) -> None:
    assert (build_key(make_call("openat", one)) == build_key(make_call("openat", other))) == same


def test_another_destination_is_new() -> None:
    entries = [
        make_denial(layer="egress", operation="private", detail=f"10.0.0.{last} tcp/443 (from 172.17.0.2 docker0)") for last in (4, 5)
    ]
    assert build_key(entries[0]) != build_key(entries[1])
    moved = {**entries[0], "detail": "10.0.0.4 tcp/443 (from 172.17.0.9 docker0)"}
    assert build_key(entries[0]) == build_key(moved)


@pytest.mark.parametrize(
    ("image", "service"),
    [
        ("registry:5000/team/shop:1.2", "registry:5000/team/shop"),
        ("shop@sha256:beef", "shop"),
        ("sha256:beef", "container web"),
        (None, "container web"),
    ],
)
def test_a_service_is_the_image_without_tag_and_digest(image: str | None, service: str) -> None:
    assert name_image_group(make_denial(container={"id": "c0ffee", "name": "web", "image": image})) == service


def test_the_number_of_sightings_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual, "MAX_DENIALS", 3)
    seen = Sightings()
    for day, names in ((0, "ab"), (1, "cd"), (2, "a")):
        unused, seen = mark_new([make_call(name) for name in names], seen, NOW + day * DAY, 7)
    assert sorted(key.split()[1] for key in seen.denials["logs: nginx"]) == ["a", "c", "d"]


@pytest.mark.parametrize(
    "content", [None, [], {"sightings": 3}, {"sightings": {"services": {"a": "x"}, "denials": {"a": {"k": [1]}, "b": 2}}}]
)
def test_a_file_with_something_else_has_no_sightings(content: object) -> None:
    assert usual.read_sightings(content) == Sightings()


def test_new_denials_come_first_and_have_a_metric(tmp_path: Path) -> None:
    report = make_denials("web1", make_denial(count=50), make_call("bpf", new=True, count=2), make_call("mount", new=True, denied=False))
    found = fleet.judge_fleet(
        read.read_reports(write_reports(tmp_path, report)), fleet.InventoryHosts({"web1": {"fleet"}}, ()), NOW, 2 * DAY
    )
    assert [(row["what"].split()[0], row["new"]) for row in denials.collect_denials(found)["rows"]] == [
        ("bpf", True),
        ("open", False),
        ("mount", False),
    ]
    lines = [text for text, unused in denials.render_denials("web1", report["denials_info"])]
    assert "2 of them new" in lines[0]
    assert "new: web: seccomp bpf" in lines[1]
    text = prometheus.render(found)
    assert 'bulkhead_denials_new{host="web1",layer="seccomp",scope="container",container="web"} 2' in text
    assert text.count("bulkhead_denials_new{") == 1
