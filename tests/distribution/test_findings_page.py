# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/findings.md names every finding of the layers, with its status."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LAYERS = REPOSITORY / "collections/ansible_collections/bulkhead/docker/plugins/module_utils/layers"
PAGE = (REPOSITORY / "docs/findings.md").read_text(encoding="utf-8")
STATUSES = {"ABSENT": "absent", "DEGRADED": "degraded", "UNKNOWN": "unknown", "None": "none"}
# Findings whose names are those of files and paths.
PATTERNS = {"KIND_owner", "KIND_mode", "dockerd"}


def list_findings(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Return name and possible statuses of each finding that a file adds under a literal name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_finding":
            name = node.args[0]
            if isinstance(name, ast.Constant):
                status = ast.unparse(node.args[2]) if len(node.args) > 2 else "None"
                yield str(name.value), {word for key, word in STATUSES.items() if re.search(rf"\b{key}\b", status)}


def read_rows() -> dict[tuple[str, str], str]:
    """Return the rows of the page: layer and finding -> status and meaning. The layer is empty for findings of every layer."""
    rows = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        layer = "" if section.startswith("Every layer") else section.partition("\n")[0]
        for names, rest in re.findall(r"^\| (`.+?) \| (.+) \|$", section, re.MULTILINE):
            for name in re.findall(r"`([\w.]+)`", names):
                rows[(name.partition(".")[0], name.partition(".")[2]) if "." in name else (layer, name)] = rest
    return rows


ROWS = read_rows()
FOUND = [
    ("" if path.parent == LAYERS else path.parent.name, name, statuses)
    for path in sorted(LAYERS.rglob("*.py"))
    for name, statuses in list_findings(path)
]


@pytest.mark.parametrize(("layer", "name", "statuses"), FOUND, ids=lambda value: value if isinstance(value, str) else "")
def test_each_finding_is_on_the_page(layer: str, name: str, statuses: set[str]) -> None:
    assert (layer, name) in ROWS
    assert statuses <= set(re.findall(r"`(\w+)`", ROWS[layer, name])), ROWS[layer, name]


@pytest.mark.parametrize(("layer", "name"), ROWS)
def test_each_row_is_a_finding(layer: str, name: str) -> None:
    folder = LAYERS / layer
    texts = [path.read_text(encoding="utf-8") for path in (folder.rglob("*.py") if layer else folder.glob("*.py"))]
    assert name in PATTERNS or any(f'"{name}"' in text for text in texts)
