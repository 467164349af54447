# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags that select nothing and values that no playbook can use are found before a run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import SWITCHES
from ansible_collections.bulkhead.docker.plugins.plugin_utils.run_checks import find_tag_problems, find_value_problems


@pytest.mark.parametrize(
    ("run", "skipped", "own"),
    [
        (["all"], [], []),
        (["seccomp", "engine_config"], [], []),
        (["all"], ["apparmor"], []),
        (["all"], ["slow"], []),  # of other roles in the same run
        (["hardening"], [], ["always", "hardening"]),  # of a playbook that imports this one
        (["always"], [], []),
    ],
)
def test_tags_of_layers_and_of_others_are_accepted(run: list[str], skipped: list[str], own: list[str]) -> None:
    assert find_tag_problems(run, skipped, own, SWITCHES) == []


@pytest.mark.parametrize(
    ("run", "skipped", "message"),
    [
        (["sekcomp"], [], "--tags sekcomp: is not the tag of a layer; write seccomp"),
        (["tagged"], [], f"--tags tagged: is not the tag of a layer; known are {', '.join(sorted(SWITCHES))}"),
        (["all"], ["usrns"], "--skip-tags usrns: is not the tag of a layer; write userns"),
        (["all"], ["tagged"], f"--skip-tags tagged: is not the tag of a layer; known are {', '.join(sorted(SWITCHES))}"),
    ],
)
def test_a_tag_that_is_no_layer_is_named(run: list[str], skipped: list[str], message: str) -> None:
    assert find_tag_problems(run, skipped, ["always"], SWITCHES) == [message]


def test_a_playbook_without_tags_takes_none() -> None:
    assert find_tag_problems(["all"], ["seccomp"], ["always"], ()) == []
    assert find_tag_problems(["nightly"], [], ["always", "nightly"], ()) == []
    (problem,) = find_tag_problems(["seccomp"], [], ["always"], ())
    assert problem == "--tags seccomp: this playbook has no tags, and with one it would do nothing; leave --tags out"
    assert find_tag_problems(["all"], ["untagged"], ["always"], ()) == ["--skip-tags untagged: would skip the whole playbook; leave it out"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bulkhead_batch", value) for value in (1, "5", "25%", "100%", [1, "10%", 50])),
        *(("bulkhead_show", value) for value in ("auto", "all", "failing")),
        *(("bulkhead_resume", value) for value in (True, "no", "false", 0)),
        *(("bulkhead_stale_hours", value) for value in (48, "0.5", 0)),
        ("bulkhead_resume_minutes", "60"),
        ("bulkhead_verify", "false"),
        ("bulkhead_unknown", "x"),
    ],
)
def test_a_valid_value_is_accepted(name: str, value: Any) -> None:
    assert find_value_problems({name: value}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bulkhead_batch", value) for value in (0, -5, "abc", "0%", "101%", "", [], [1, "x"], "1,2", None, 2.5)),
        *(("bulkhead_show", value) for value in ("everything", True, "")),
        *(("bulkhead_resume", value) for value in ("maybe", None, 2)),
        *(("bulkhead_stale_hours", value) for value in ("abc", -1, True, "nan", "inf", None)),
        ("bulkhead_resume_minutes", "soon"),
        ("bulkhead_verify", "perhaps"),
    ],
)
def test_another_value_is_named_with_what_to_write(name: str, value: Any) -> None:
    (problem,) = find_value_problems({name: value})
    assert problem.startswith(f"{name}: {value!r} is not valid; write ")
