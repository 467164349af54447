# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import SWITCHES
from ansible_collections.bulkhead.docker.plugins.plugin_utils.lines import WIDTH
from ansible_collections.bulkhead.docker.plugins.plugin_utils.rollout import decision, preflight

from .samples import layer, made, plan, report, verification

CHANGES = {name: layer("change") for name in SWITCHES}


def text(notes: list[dict[str, Any]]) -> str:
    return "\n".join(line for line, unused in preflight.lines(notes, "25%", "reports"))


def unreachable(host: str, groups: Any = ()) -> dict[str, Any]:
    return decision.make(host, {"unreachable": True, "msg": "Connection refused"}, groups, {}, verification(None))


def test_500_equal_hosts_are_one_row() -> None:
    effects = ["the engine is restarted; its containers keep running (live-restore): web, db"]
    fleet = [made(f"web{number}", layers=CHANGES, containers=["web", "db"], effects=effects) for number in range(500)]
    said = text(fleet)
    assert len(said.splitlines()) < 20
    assert "1000 on 500 hosts" in said and "web0, web1," in said and "and 488 more" in said
    assert "fleet (500 hosts, 25% at a time)" in said


def test_hosts_that_differ_are_rows_of_their_own_in_the_order_of_the_batches() -> None:
    notes = [
        made("idle", layers=CHANGES),
        made("busy", layers=CHANGES, containers=["db"], effects=["they stop: db"]),
        made("first", ["canary"], layers=CHANGES),
        made("preprod", ["validation"]),
        decision.make("done", plan(), (), {}, verification(report())),
        unreachable("away"),
        decision.make("wrong", {"blockers": ["mend it"], "msg": "Nothing was changed. mend it"}, (), {}, verification(None)),
    ]
    found = preflight.rows(notes)
    hosts = [[entry["host"] for entry in row.notes] for row in found]
    assert hosts == [["preprod"], ["first"], ["idle"], ["busy"], ["done"], ["wrong"], ["away"]]
    assert [row.label for row in found] == list("ABCDEFG")
    said = text(notes)
    assert "  F      1  fleet       refused, and stops the rollout" in said
    assert "  G      1  fleet       not reached, and left out" in said
    assert "  E      1  fleet       left out: as desired, and verified" in said
    assert "     x mend it" in said and "Connection refused" in said and "as desired, and to be verified" in said
    assert "  they stop: db" in said.replace(">", "")
    assert "Nothing will be touched on any host before what stops the rollout is mended" in said


def test_what_differs_within_a_row_is_counted() -> None:
    another = {**CHANGES, "seccomp": {**CHANGES["seccomp"], "changes": [{"summary": "set another", "path": "/etc/x"}]}}
    notes = [made(name, layers=CHANGES, warnings=["watch it"] if name == "b" else []) for name in "abc"] + [made("d", layers=another)]
    said = text(notes)
    assert "set it (3 hosts; another way on 1 host)" in said
    assert "     ! b: watch it" in said


def test_a_row_says_no_more_than_a_reader_takes() -> None:
    notes = [made(f"web{number}", layers=CHANGES, warnings=[f"warning {number}"]) for number in range(100)]
    said = text(notes)
    assert "and 88 more of this kind" in said and "warning 40" not in said


def test_no_line_is_wider_than_the_table() -> None:
    notes = [made(f"host-{number}.example.com", layers=CHANGES, warnings=["word " * 60], effects=["word " * 60]) for number in range(30)]
    assert max(len(line) for line in text(notes).splitlines()) <= WIDTH


def test_there_may_be_nothing_to_do() -> None:
    done = decision.make("done", plan(), (), {}, verification(report()))
    assert "There is nothing to do" in text([done, {**done, "host": "too"}])


def test_labels_go_on_after_z() -> None:
    assert [preflight._label(number) for number in (0, 25, 26, 52)] == ["A", "Z", "A2", "A3"]
