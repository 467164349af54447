# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/containers.md lists every kind of exposure as exposures/kinds.py does, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import check_specs
import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import FORBIDDEN, KINDS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report.policy import find_variable_problems

PAGE = (Path(__file__).parents[2] / "docs/containers.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def render_kinds() -> str:
    rows = [
        f"| `{kind.name}`{' *' if kind.name in FORBIDDEN else ''} | {kind.severity} | {kind.meaning} | {', '.join(kind.controls)} |"
        for kind in KINDS.values()
    ]
    return "\n".join(["| kind | severity | meaning | controls |", "|---|---|---|---|", *rows]).replace(" |  |", " | |")


def test_the_table_of_kinds_is_that_of_the_code() -> None:
    assert PAGE.split("<!-- kinds -->")[1].strip() == render_kinds(), f"write this between the marks:\n{render_kinds()}"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "hardened_container_list" not in example])
def test_the_examples_are_valid(example: dict[str, object]) -> None:
    assert find_variable_problems(example) == []


def test_the_example_inventory_has_the_default() -> None:
    assert tuple(check_specs.OF_PLAYBOOKS["bulkhead_containers_forbid"]["default"]) == FORBIDDEN


def test_traefik_and_portainer_have_examples() -> None:
    names = {str(waiver.get("container")) for example in EXAMPLES for waiver in example.get("bulkhead_waivers", ())}
    assert {"traefik", "portainer*"} <= names
