# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, decision

RUN = "42:7"
ABSENT = {
    "layers": [
        {
            "layer": "seccomp",
            "status": "absent",
            "requirement": "required",
            "evidence": [{"source": "/proc/7/status", "value": "Seccomp: 0"}],
        }
    ]
}
ENFORCED = {"layers": [{"layer": "seccomp", "status": "enforced", "requirement": "required", "evidence": []}]}


def make_decision(host: str, run: str = RUN, decision_name: str = decision.INCLUDED) -> dict[str, Any]:
    return {"host": host, "run": run, "decision": decision_name, "batch": "canary"}


def report_host(verification: dict[str, Any], host: str = "web", run: str = RUN, **more: Any) -> dict[str, Any]:
    return {**single.build_report(host, verification, False, **more), "run": run, "started": False}


def measure(**reports: dict[str, Any]) -> batch.RolloutProgress:
    return batch.measure_progress([make_decision(host) for host in [*reports, "later"]], reports, RUN)


def test_each_host_is_in_one_list() -> None:
    done = measure(
        good=report_host(ENFORCED),
        bad=report_host(ABSENT),
        broken=report_host(ENFORCED, failure={"task": "Change it", "msg": "no"}),
        other=report_host(ABSENT, failure={"task": "", "msg": "another host of its batch failed"}),
        lost={**report_host({"msg": single.STARTED}), "started": True},
        old=report_host(ENFORCED, run="41:1"),
    )
    assert (done.verified, done.failed, done.incomplete, done.lost, done.untouched) == (
        ["good"],
        ["bad", "broken"],
        ["other"],
        ["lost"],
        ["old", "later"],
    )


def test_a_run_without_verification_requires_none() -> None:
    assert measure(web=report_host({"msg": "left out"}, required_layers=[])).verified == ["web"]
    assert measure(web=report_host({"msg": "left out"}, required_layers=[], failure={"task": "Change it", "msg": "no"})).failed == ["web"]
    assert measure(web=report_host({"msg": "left out"})).failed == ["web"]


def test_hosts_of_other_runs_and_excluded_hosts_do_not_count() -> None:
    decisions = [
        make_decision("a", run="41:1"),
        make_decision("b", decision_name=decision.SKIPPED),
        make_decision("c", decision_name=decision.UNREACHABLE),
    ]
    assert batch.measure_progress(decisions, {}, RUN) == batch.RolloutProgress()


def test_a_verified_batch_is_one_line() -> None:
    done = measure(good=report_host(ENFORCED))
    assert batch.render_batch("canary", done, "reports") == [("Batch canary is verified: 1 of 2 hosts of this rollout", "green")]


def test_a_stopped_batch_names_hosts_layers_and_evidence() -> None:
    failure = {"task": "Change the engine's configuration", "msg": "the engine\ndid not come up"}
    done = measure(good=report_host(ENFORCED), bad=report_host(ABSENT, failure=failure))
    output = "\n".join(text for text, unused in batch.render_batch("canary", done, "reports"))
    for words in (
        "The rollout has stopped in batch canary",
        'x bad: "Change the engine\'s configuration" failed: the engine did not come up',
        "required and not enforced: seccomp (absent)",
        "seccomp: Seccomp: 0  <- /proc/7/status",
        "evidence in reports/verify-bad.json",
        "+ verified before: good",
        ". not changed: later",
    ):
        assert words in output


def test_many_failed_hosts_are_named_without_details() -> None:
    done = measure(**{f"h{number}": report_host(ABSENT) for number in range(30)})
    output = [text for text, unused in batch.render_batch("fleet", done, "reports")]
    assert any(line.startswith("  x and on 20 more: h10, h11") for line in output)
    assert len(output) < 40


def test_a_run_of_some_layers_requires_only_these() -> None:
    assert report_host(ABSENT, required_layers={"pids_limit"})["problem"] == ""
    assert report_host(ABSENT, required_layers={"pids_limit"})["enforced"] is False
    assert "seccomp (absent)" in report_host(ABSENT, required_layers={"seccomp"})["problem"]
