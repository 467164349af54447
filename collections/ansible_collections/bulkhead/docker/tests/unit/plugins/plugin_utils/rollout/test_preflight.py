# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import SWITCHES
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Effect
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision, preflight
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import WIDTH

from .samples import make_decision, make_last_report, make_layer, make_plan, make_report

CHANGES = {name: make_layer("change") for name in SWITCHES}


def render(decisions: list[dict[str, Any]]) -> str:
    return "\n".join(line for line, unused in preflight.render_preflight(decisions, "25%", "reports"))


def make_unreachable(host: str, groups: Any = ()) -> dict[str, Any]:
    return decision.decide_host(host, {"unreachable": True, "msg": "Connection refused"}, groups, {}, make_last_report(None))


def test_500_identical_hosts_are_one_row() -> None:
    effects = [Effect("the engine is restarted; its containers keep running (live-restore)", ["web", "db"])]
    fleet = [make_decision(f"web{number}", layers=CHANGES, containers=["web", "db"], effects=effects) for number in range(500)]
    output = render(fleet)
    assert len(output.splitlines()) < 13 + len(SWITCHES)  # one line per layer
    assert "1000 on 500 hosts" in output and "web0, web1," in output and "and 488 more" in output
    assert "fleet (500 hosts, 25% at a time)" in output


def test_different_hosts_are_rows_in_the_order_of_batches() -> None:
    decisions = [
        make_decision("idle", layers=CHANGES),
        make_decision("busy", layers=CHANGES, containers=["db"], effects=[Effect("they stop", ["db"])]),
        make_decision("first", ["canary"], layers=CHANGES),
        make_decision("preprod", ["validation"]),
        decision.decide_host("done", make_plan(), (), {}, make_last_report(make_report())),
        make_unreachable("away"),
        decision.decide_host("wrong", {"blockers": ["fix it"], "msg": "Nothing was changed. fix it"}, (), {}, make_last_report(None)),
    ]
    found = preflight.group_hosts(decisions)
    hosts = [[entry["host"] for entry in row.hosts] for row in found]
    assert hosts == [["preprod"], ["first"], ["idle"], ["busy"], ["done"], ["wrong"], ["away"]]
    assert [row.label for row in found] == list("ABCDEFG")
    output = render(decisions)
    assert "  F      1  fleet       blocked; stops the rollout" in output
    assert "  G      1  fleet       unreachable; left out" in output
    assert "  E      1  fleet       skipped: as desired and verified" in output
    assert "     x fix it" in output and "Connection refused" in output and "as desired; will be verified" in output
    assert "  they stop: db" in output.replace(">", "")
    assert "No host will be changed: fix or leave out the hosts that stop the rollout" in output


def test_differences_within_a_row_are_counted() -> None:
    another = {**CHANGES, "seccomp": {**CHANGES["seccomp"], "changes": [{"summary": "set another", "path": "/etc/x"}]}}
    decisions = [make_decision(name, layers=CHANGES, warnings=["watch it"] if name == "b" else []) for name in "abc"] + [
        make_decision("d", layers=another)
    ]
    output = render(decisions)
    assert "set it (3 hosts; differs on 1 host)" in output
    assert "     ! b: watch it" in output


def test_the_details_of_a_row_are_bounded() -> None:
    decisions = [make_decision(f"web{number}", layers=CHANGES, warnings=[f"warning {number}"]) for number in range(100)]
    output = render(decisions)
    assert "and 88 more of this kind" in output and "warning 40" not in output


def test_no_line_is_wider_than_the_table() -> None:
    decisions = [
        make_decision(f"host-{number}.example.com", layers=CHANGES, warnings=["word " * 60], effects=[Effect("word " * 60)])
        for number in range(30)
    ]
    assert max(len(line) for line in render(decisions).splitlines()) <= WIDTH


def test_a_rollout_may_have_nothing_to_do() -> None:
    done = decision.decide_host("done", make_plan(), (), {}, make_last_report(make_report()))
    assert "There is nothing to do" in render([done, {**done, "host": "too"}])


def test_row_names_continue_after_z() -> None:
    assert [preflight._name_row(number) for number in (0, 25, 26, 52)] == ["A", "Z", "A2", "A3"]
