# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/cis.md has the tables of the catalog, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import cis_page
import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import find_variable_problems

PAGE = (Path(__file__).parents[2] / "docs/cis.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_tables_are_those_of_the_catalog() -> None:
    assert cis_page.render_page(PAGE) == PAGE, "run python scripts/cis_page.py"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_valid(example: dict[str, object]) -> None:
    assert find_variable_problems(example) == []
