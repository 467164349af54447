# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.audit_loading import build_rule
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.audit_rules.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.audit_rules.rules import render_folders, render_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan

from .audit_host import DESIRED, FOLDERS, PLACES, WATCHED, make_observed, managed, watch

FILE = "/etc/audit/rules.d/99-bulkhead-docker.rules"


def run(rules: Sequence[bytes] = (), desired: dict[str, Any] | None = None, **more: Any) -> LayerPlan:
    return plan(make_observed(rules, **more), {**DESIRED, **(desired or {})})


def list_texts(planned: LayerPlan) -> list[str]:
    return [planned.apply["rules_text"], planned.apply["folders_text"]]


def test_each_path_gets_a_rule_in_the_file_and_in_the_kernel() -> None:
    planned = run()
    assert [rule["path"] for rule in planned.apply["rules"]] == list(WATCHED)
    assert {rule["path"] for rule in planned.apply["rules"] if rule["folder"]} == FOLDERS
    assert planned.apply["load"] is True
    assert [change.path for change in planned.changes] == [
        FILE,
        "/etc/tmpfiles.d/bulkhead-audit-rules.conf",
        "auditctl -l -k bulkhead-docker",
    ]
    lines = [line for line in planned.apply["rules_text"].splitlines() if not line.startswith("#")]
    assert lines == ["-i", *(f"-w {path} -p wa -k bulkhead-docker" for path in WATCHED)]
    assert planned.apply["folders_text"].splitlines()[-1] == "d /run/containerd 0711 root root -"
    assert planned.changes[2].after.count("\n") == len(WATCHED)


def test_a_second_run_changes_nothing() -> None:
    planned = run(managed(), texts=list_texts(run()))
    assert (planned.changes, planned.apply, planned.warnings, planned.blockers) == ([], {}, [], [])


def test_only_what_the_kernel_misses_is_added() -> None:
    planned = run(managed(WATCHED[1:]), texts=list_texts(run()))
    (change,) = planned.changes
    assert change.summary == "watch /usr/sbin/dockerd"


def test_a_rule_about_a_folder_that_did_not_exist_is_replaced() -> None:
    rules = managed([path for path in WATCHED if path != "/run/containerd"])
    (change,) = run([*rules, build_rule("/run/containerd", False)], texts=list_texts(run())).changes
    assert change.summary == "watch /run/containerd; do not watch /run/containerd"


@pytest.mark.parametrize("rule", [watch("/etc/docker", folder=True), watch("/etc", folder=True)])
def test_a_path_that_others_watch_gets_no_second_rule(rule: bytes) -> None:
    planned = run([rule])
    paths = [rule["path"] for rule in planned.apply["rules"]]
    assert "/etc/docker" not in paths and "/etc/docker/daemon.json" not in paths and "/usr/sbin/dockerd" in paths
    assert any(notice.startswith("/etc/docker is watched by an audit rule of others") for notice in planned.notices)
    # What has a rule of Bulkhead keeps it, so that runs do not alternate.
    assert run([rule, *managed()], texts=list_texts(run())).changes == []


@pytest.mark.parametrize("rule", [watch("/etc/docker"), watch("/etc/docker", True, 2), watch("/etc/docker", True, extra=[(9, 0)])])
def test_a_rule_of_others_that_watches_less_does_not_count(rule: bytes) -> None:
    assert "/etc/docker" in [rule["path"] for rule in run([rule]).apply["rules"]]


def test_an_immutable_kernel_gets_files_only() -> None:
    planned = run(enabled=2)
    assert planned.apply["load"] is False
    assert [change.path for change in planned.changes] == [FILE, "/etc/tmpfiles.d/bulkhead-audit-rules.conf"]
    (warning,) = planned.warnings
    assert "accepts no change until the next boot; then 10 rules are added" in warning
    second = run(enabled=2, texts=list_texts(planned))
    assert (second.changes, second.warnings, second.applicable) == ([], [warning], True)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"installed": False}, "auditd is not installed; install the package auditd"),
        ({"receiver": 0}, "auditd does not run; run `systemctl enable --now auditd`"),
        ({"error": "Operation not permitted"}, "cannot be read (Operation not permitted)"),
        ({"kernel": "YQ=="}, "cannot be read"),
    ],
)
def test_a_host_that_cannot_have_rules(more: dict[str, Any], text: str) -> None:
    planned = run(**more)
    assert (planned.applicable, planned.changes, planned.blockers) == (False, [], [])
    assert text in planned.reason
    assert run(desired={"docker_audit_rules_layer": "required"}, **more).blockers == [
        f"{planned.reason}, or write docker_audit_rules_layer: optional"
    ]


def test_disabled_removes_rules_and_files() -> None:
    off = {"docker_audit_rules_layer": "disabled"}
    texts = list_texts(run())
    planned = run([watch("/etc/docker", True), *managed()], off, texts=texts)
    assert planned.apply == {"rules": [], "rules_text": "", "folders_text": "", "load": True}
    assert [change.after for change in planned.changes] == ["", "", ""]
    assert run([watch("/etc/docker", True)], off).changes == []
    assert run(desired=off, installed=False, error="no").changes == []
    assert [change.path for change in run(desired=off, installed=False, receiver=0, texts=texts).changes] == [FILE, planned.changes[1].path]
    pending = run(managed(), off, texts=texts, enabled=2)
    assert (pending.apply["load"], len(pending.changes)) == (False, 2)
    assert "10 rules are removed" in pending.warnings[0]


def test_an_excluded_path_gets_no_rule_and_loses_it() -> None:
    planned = run(managed(), {"docker_audit_rules_exclude": ["/var/lib/docker/", "/usr/bin/runc"]}, texts=list_texts(run()))
    assert set(WATCHED) - {rule["path"] for rule in planned.apply["rules"]} == {"/var/lib/docker", "/usr/sbin/runc"}
    assert expectation({**DESIRED, "docker_audit_rules_exclude": ["/a/"]}) == {"exclude": ["/a"]}


@pytest.mark.parametrize(
    ("desired", "more", "text"),
    [
        ({"docker_audit_rules_exclude": ["var"]}, {}, "docker_audit_rules_exclude: 'var' is not an absolute path"),
        ({}, {"texts": ["-w /home -p r\n", None]}, f"{FILE}: '-w /home -p r' is not a line of Bulkhead"),
        ({"docker_audit_rules_layer": "disabled"}, {"texts": ["-e 2\n", None]}, "'-e 2' is not a line of Bulkhead"),
    ],
)
def test_blockers(desired: dict[str, Any], more: dict[str, Any], text: str) -> None:
    (blocker,) = run(desired=desired, **more).blockers
    assert text in blocker


def test_a_path_that_no_rule_can_watch_is_a_warning() -> None:
    (warning,) = run(places={**PLACES, "data_root": ["/", "/"]}).warnings
    assert warning == "/ (data of the engine) gets no audit rule: it is the whole file system"


def test_without_rules_there_is_no_file() -> None:
    assert (render_rules([]), render_folders([])) == ("", "")
