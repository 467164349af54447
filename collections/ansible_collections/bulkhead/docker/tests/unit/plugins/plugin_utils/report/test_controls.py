# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import BY_NAME, JUDGED, LAYERS
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import controls


def test_every_layer_has_controls_meaning_and_commands() -> None:
    for layer in JUDGED:
        assert controls.list_layer_controls(layer)
        assert controls.render_commands(layer)
        assert BY_NAME[layer].meaning


def test_every_cited_control_has_a_title() -> None:
    known = controls.load_controls()
    entries = [layer.controls for layer in LAYERS] + [controls.list_kind_controls(kind) for kind in KINDS]
    cited = {control for entry in entries for control in entry}
    titled = set(known["controls"])
    assert cited <= titled
    assert {control for control in titled if control.startswith("NIST-")} <= cited
    assert {control.partition("-")[0] for control in cited} == set(known["catalogs"])


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("userns.overlap", ["CIS-2.10", "CIS-5.31", "NIST-4.4.3"]),
        ("container.privileged", ["CIS-5.5", "NIST-4.4.3"]),
        ("container.host_network", ["CIS-5.10", "NIST-4.4.3"]),
        ("container.unmasked_path", ["NIST-4.4.3"]),
        ("container.host_files", ["NIST-4.4.3"]),
        ("container.secrets_in_environment", ["CIS-4.10", "NIST-4.1.4"]),
        ("container.not_running", []),
        ("engine.not_running", []),
    ],
)
def test_controls_of_a_finding(identifier: str, expected: list[str]) -> None:
    assert controls.list_finding_controls(identifier) == expected


def test_commands_name_a_container_by_its_id() -> None:
    assert "docker inspect -f '{{.State.Pid}}' c0ffee)" in controls.render_commands("userns", "c0ffee")
    assert "docker run" in controls.render_commands("userns")
    assert controls.render_commands("no_such_layer") == ""
