# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that defaults and argument specs agree finds each way in which they can differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import check_specs
import pytest


@pytest.mark.parametrize(
    ("defaults", "options", "words"),
    [
        ({"r_a": 1}, {"r_a": {"type": "int", "default": 1}}, None),
        ({}, {"r_a": {"type": "str", "required": True}}, None),
        ({}, {"r_a": {"type": "str"}}, None),
        ({"r_a": []}, {"r_a": {"type": "list", "default": []}}, None),
        ({"r_a": 1}, {}, "not in meta/argument_specs.yml"),
        ({"r_a": 1}, {"r_a": {"type": "int"}}, "none in meta/argument_specs.yml"),
        ({}, {"r_a": {"type": "int", "default": 1}}, "is missing in defaults/main.yml"),
        ({"r_a": 1}, {"r_a": {"type": "int", "default": 2}}, "r_a is 1 in defaults/main.yml and 2 in"),
        ({"r_a": True}, {"r_a": {"type": "bool", "default": 1}}, "r_a is True"),
        ({"r_a": "5"}, {"r_a": {"type": "str", "default": 5}}, "r_a is '5'"),
        ({"other": 1}, {}, "must begin with r_"),
        ({"__r_a": 1}, {}, "must begin with r_"),
    ],
)
def test_compare(defaults: dict[str, Any], options: dict[str, Any], words: str | None) -> None:
    """One finding for each difference, none where there is none."""
    found = list(check_specs.compare("r", defaults, options))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


def test_role_without_spec(tmp_path: Path) -> None:
    """A role must have a spec at all."""
    assert list(check_specs.check_role(tmp_path)) == [f"{tmp_path.name}: meta/argument_specs.yml is missing"]


def test_role_without_entry_point(tmp_path: Path) -> None:
    """Ansible would check nothing without an entry point main."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "argument_specs.yml").write_text("argument_specs: {}\n")
    assert "no entry point main" in next(check_specs.check_role(tmp_path))


def test_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at the limit passes, one line more does not."""
    monkeypatch.setattr(check_specs, "COLLECTION", tmp_path)
    (tmp_path / "fits.yml").write_text("x\n" * 3)
    (tmp_path / "long.yml").write_text("x\n" * 4)
    found = list(check_specs.check_lengths(list(tmp_path.glob("*.yml")), 3))
    assert found == ["long.yml: 4 lines, 3 at most; split it by subject"]


OPTIONS = {"r_a": {"default": 1}, "r_b": {}, "attack_matrix_container": {"default": ""}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# r_a: 1   # a word\n# r_b: anything\n", None),
        ("r_a: 2\n# r_b: anything\n", None),
        ("# r_a: 1\n", "r_b is missing"),
        ("# r_a: 2\n# r_b: x\n", "r_a is shown as 2, and its default is 1"),
        ("# r_a: 1\n# r_b: x\n# r_c: 3\n", "r_c is not a variable of a role"),
    ],
)
def test_the_example_inventory_shows_everything(text: str, words: str | None) -> None:
    """Every variable, with its default; what a playbook gives a role is not for an inventory."""
    found = list(check_specs.check_example(text, OPTIONS))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]
