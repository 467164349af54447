# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import single
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import batch, decision

RUN = "42:7"
LACKING = {
    "layers": [
        {
            "layer": "seccomp",
            "status": "absent",
            "requirement": "required",
            "evidence": [{"source": "/proc/7/status", "value": "Seccomp: 0"}],
        }
    ]
}
HOLDING = {"layers": [{"layer": "seccomp", "status": "enforced", "requirement": "required", "evidence": []}]}


def planned(host: str, run: str = RUN, fate: str = decision.TAKE) -> dict[str, Any]:
    return {"host": host, "run": run, "fate": fate, "batch": "canary"}


def reported(verification: dict[str, Any], host: str = "web", run: str = RUN, **more: Any) -> dict[str, Any]:
    return {**single.make(host, verification, False, **more), "run": run, "begun": False}


def progress(**reports: dict[str, Any]) -> batch.Progress:
    return batch.progress([planned(host) for host in [*reports, "later"]], reports, RUN)


def test_where_each_host_stands() -> None:
    done = progress(
        good=reported(HOLDING),
        bad=reported(LACKING),
        broken=reported(HOLDING, failure={"task": "Change it", "msg": "no"}),
        beside=reported(LACKING, failure={"task": "", "msg": "another host of its batch failed"}),
        lost={**reported({"msg": single.BEGUN}), "begun": True},
        old=reported(HOLDING, run="41:1"),
    )
    assert (done.verified, done.failed, done.stopped, done.lost, done.untouched) == (
        ["good"],
        ["bad", "broken"],
        ["beside"],
        ["lost"],
        ["old", "later"],
    )


def test_a_run_without_a_proof_is_not_stopped_by_its_absence() -> None:
    assert progress(web=reported({"msg": "left out"}, demand=[])).verified == ["web"]
    assert progress(web=reported({"msg": "left out"}, demand=[], failure={"task": "Change it", "msg": "no"})).failed == ["web"]
    assert progress(web=reported({"msg": "left out"})).failed == ["web"]


def test_hosts_of_other_runs_and_those_that_are_left_out_are_not_counted() -> None:
    notes = [planned("a", run="41:1"), planned("b", fate=decision.VERIFIED), planned("c", fate=decision.UNREACHABLE)]
    assert batch.progress(notes, {}, RUN) == batch.Progress()


def test_a_batch_that_went_well_is_one_line() -> None:
    done = progress(good=reported(HOLDING))
    assert batch.lines("canary", done, "reports") == [("Batch canary is verified: 1 of 2 hosts of this rollout", "green")]


def test_a_batch_that_stopped_names_hosts_layers_and_evidence() -> None:
    failure = {"task": "Change the engine's configuration", "msg": "the engine\ndid not come up"}
    done = progress(good=reported(HOLDING), bad=reported(LACKING, failure=failure))
    said = "\n".join(text for text, unused in batch.lines("canary", done, "reports"))
    for words in (
        "The rollout has stopped in batch canary",
        'x bad: "Change the engine\'s configuration" failed: the engine did not come up',
        "required and not enforced: seccomp (absent)",
        "seccomp: Seccomp: 0  <- /proc/7/status",
        "evidence in reports/verify-bad.json",
        "+ verified before: good",
        ". not touched: later",
    ):
        assert words in said


def test_many_hosts_that_fail_are_named_and_not_explained() -> None:
    done = progress(**{f"h{number}": reported(LACKING) for number in range(30)})
    said = [text for text, unused in batch.lines("fleet", done, "reports")]
    assert any(line.startswith("  x and on 20 more: h10, h11") for line in said)
    assert len(said) < 40


def test_a_run_about_some_layers_demands_these_alone() -> None:
    assert reported(LACKING, demand={"pids_limit"})["problem"] == ""
    assert reported(LACKING, demand={"pids_limit"})["enforced"] is False
    assert "seccomp (absent)" in reported(LACKING, demand={"seccomp"})["problem"]
