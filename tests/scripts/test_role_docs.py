# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of variables in a role's README follows from its argument spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import role_docs
import yaml


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("C(daemon.json) and V(required)", "`daemon.json` and `required`"),
        ("See O(r_a), O(bulkhead.docker.other#role:main:other_list).", "See `r_a`, `other_list`."),
        (
            "M(bulkhead.docker.plan_layers), P(community.docker.docker_container#module)",
            "`bulkhead.docker.plan_layers`, `community.docker.docker_container`",
        ),
        ("two\n  lines, and PIDS(none)", "two lines, and PIDS(none)"),
    ],
)
def test_render_markup(text: str, rendered: str) -> None:
    assert role_docs.render_markup(text) == rendered


@pytest.mark.parametrize(
    ("option", "rendered"),
    [
        ({"type": "str"}, ("string", "none")),
        ({"type": "str", "required": True}, ("string", "required")),
        ({"type": "str", "default": ""}, ("string", '`""`')),
        ({"type": "str", "default": "5min"}, ("string", "`5min`")),
        ({"type": "bool", "default": True}, ("boolean", "`true`")),
        ({"type": "list", "elements": "str", "default": []}, ("list of strings", "`[]`")),
        ({"type": "dict", "default": {"max-file": "3"}}, ("mapping", '`{"max-file": "3"}`')),
        ({"type": "str", "choices": ["a", "b", "c"], "default": "b"}, ("`a`, `b` or `c`", "`b`")),
        ({"type": "list", "elements": "str", "choices": ["a", "b"], "default": []}, ("list of `a` or `b`", "`[]`")),
        ({"type": "list", "elements": "dict", "default": ["x" * 50]}, ("list of mappings", "")),
    ],
)
def test_render_type_and_default(option: dict[str, Any], rendered: tuple[str, str]) -> None:
    assert (role_docs.render_type(option), role_docs.render_default(option)) == rendered


OPTIONS = {
    "r_a": {"type": "int", "default": 1, "description": "How many."},
    "r_b": {"type": "list", "elements": "str", "default": ["x" * 20, "y" * 20], "description": ["What.", "More of it. " * 12]},
}


def test_render_variables() -> None:
    """Long defaults and further paragraphs are below the table, wrapped."""
    text = role_docs.render_variables(OPTIONS)
    assert "| `r_a` | integer | `1` | How many. |" in text
    assert "| `r_b` | list of strings | see below | What. |" in text
    assert "\n`r_b`:\n\n- More of it." in text and "```yaml\nr_b:\n- xxx" in text
    assert max(len(line) for line in text.splitlines()) <= role_docs.WIDTH


def test_keys_of_a_list_of_mappings() -> None:
    """Each key is below the table with its type, its default unless that is empty, and what it is."""
    keys = {
        "name": {"type": "str", "required": True, "description": "The name."},
        "why": {"type": "str", "default": "", "description": ["The reason.", "Of V(b)."]},
        "state": {"type": "str", "choices": ["a", "b"], "default": "a", "description": "What is done."},
    }
    text = role_docs.render_variables(
        {"r_c": {"type": "list", "elements": "dict", "default": [], "description": "Things.", "options": keys}}
    )
    assert "| `r_c` | list of mappings | `[]` | Things. |" in text
    assert text.endswith(
        "`r_c`:\n\n- `name` (string, required): The name.\n- `why` (string): The reason. Of `b`.\n- `state` (`a` or `b`, default `a`): What is done."
    )


def role(folder: Path, readme: str) -> Path:
    (folder / "r" / "meta").mkdir(parents=True)
    (folder / "r" / "README.md").write_text(readme)
    (folder / "r" / "meta" / "argument_specs.yml").write_text(yaml.safe_dump({"argument_specs": {"main": {"options": OPTIONS}}}))
    return folder / "r" / "README.md"


def test_check_reports_differences_that_a_run_corrects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = role(tmp_path, f"# r\n\nText.\n\n{role_docs.MARKER}\n{role_docs.MARKER}\n\nEnd.\n")
    assert role_docs.main(["--check"], tmp_path) == 1
    assert "differs from meta/argument_specs.yml" in capsys.readouterr().out
    assert role_docs.main([], tmp_path) == 0
    assert role_docs.main(["--check"], tmp_path) == 0
    text = readme.read_text()
    assert text.startswith("# r\n\nText.\n") and text.endswith("\n\nEnd.\n") and "`r_a`" in text


def test_a_readme_without_markers_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    role(tmp_path, "# r\n")
    assert role_docs.main([], tmp_path) == 1
    assert "write two, before and after the variables" in capsys.readouterr().out


def test_a_role_without_readme_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    assert role_docs.main(["--check"], tmp_path) == 1
