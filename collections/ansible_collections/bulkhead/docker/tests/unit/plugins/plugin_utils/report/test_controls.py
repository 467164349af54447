# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import BY_NAME, JUDGED, LAYERS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import controls

PLUGINS = Path(controls.__file__).parents[2]


def test_every_layer_has_controls_meaning_and_commands() -> None:
    for layer in JUDGED:
        assert controls.list_layer_controls(layer)
        assert controls.render_commands(layer)
        assert BY_NAME[layer].meaning


def test_exactly_the_controls_with_a_title_are_cited() -> None:
    known = controls.load_controls()
    entries: list[Any] = [layer.controls for layer in LAYERS]
    for entry in known["findings"].values():
        entries += entry.values() if isinstance(entry, dict) else [entry]
    cited = {control for entry in entries for control in entry}
    assert cited == set(known["controls"])
    assert {control.partition("-")[0] for control in cited} == set(known["catalogs"])


@pytest.mark.parametrize(
    ("identifier", "text", "expected"),
    [
        ("userns.overlap", "", ["CIS-2.10", "CIS-5.31", "NIST-4.4.3"]),
        ("container.privileged", "", ["CIS-5.5", "NIST-4.4.3"]),
        ("container.host_namespace", "container x shares the host's network namespace (NetworkMode=host)", ["CIS-5.10", "NIST-4.4.3"]),
        ("container.host_namespace", "something else", []),
        ("engine.not_running", "", []),
    ],
)
def test_controls_of_a_finding(identifier: str, text: str, expected: list[str]) -> None:
    assert controls.list_finding_controls(identifier, text) == expected


def test_findings_with_controls_exist() -> None:
    code = (PLUGINS / "module_utils" / "exposures" / "judge.py").read_text()
    for identifier, entry in controls.load_controls()["findings"].items():
        assert f'"{identifier}"' in code
        if isinstance(entry, dict):
            keys = re.search(r"_HOST_NAMESPACES = \{(.*)\}", code)
            assert keys
            assert {words.partition("=")[0] for words in entry} == set(re.findall(r'"(\w+Mode)"', keys[1]))


def test_commands_name_a_container_by_its_id() -> None:
    assert "docker inspect -f '{{.State.Pid}}' c0ffee)" in controls.render_commands("userns", "c0ffee")
    assert "docker run" in controls.render_commands("userns")
    assert controls.render_commands("no_such_layer") == ""
