# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra variables with a former or an unknown name are found, and others are left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.renamed_variables import FACTS, KNOWN, RENAMED, find_extra_variable_problems


@pytest.mark.parametrize("former", sorted(RENAMED))
def test_former_name_leads_to_present_one(former: str) -> None:
    assert find_extra_variable_problems([former]) == [f"{former}: was renamed; write -e {RENAMED[former]}=…"]


def test_all_former_names_are_told_at_once() -> None:
    assert find_extra_variable_problems(["target", "show", "bulkhead_batch"]) == [
        "show: was renamed; write -e bulkhead_show=…",
        "target: was renamed; write -e bulkhead_target=…",
    ]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("bulkhead_taget", "bulkhead_target"), ("bulkhead_reportdir", "bulkhead_report_dir"), ("bulkhead_block", "bulkhead_blocked")],
)
def test_typo_leads_to_closest_name(typo: str, meant: str) -> None:
    assert find_extra_variable_problems([typo]) == [f"{typo}: is not a known variable; write {meant}"]


def test_without_close_name_all_are_listed() -> None:
    (message,) = find_extra_variable_problems(["bulkhead_xyzzy"])
    assert message == f"bulkhead_xyzzy: is not a known variable; known are {', '.join(sorted(KNOWN))}"


@pytest.mark.parametrize("name", [*sorted(KNOWN), "userns_remap_layer", "ansible_python_interpreter", "targets", "my_show"])
def test_other_variables_are_accepted(name: str) -> None:
    assert find_extra_variable_problems([name]) == []


def test_variables_of_playbooks_are_known() -> None:
    folder = Path(__file__).parents[4] / "playbooks"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.yml"))
    used = set(re.findall(r"(?<![\w.])bulkhead_[a-z_]+(?=\s*\|\s*default)", text))
    assert {"bulkhead_usual_days", "bulkhead_since"} <= used <= KNOWN | FACTS
