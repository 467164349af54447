# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import BY_NAME
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.catalog import Control, load_controls, load_sections
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.judge import find_judge

ROLES = Path(__file__).parents[5] / "roles"
CONTROLS = list(load_controls().values())
# As many of the checks of docker-bench-security in these sections.
OF_BENCH = {"1": 20, "2": 18, "3": 24, "4": 12, "5": 32, "6": 2, "7": 9}


def test_every_check_of_docker_bench_security_has_a_control() -> None:
    for section in load_sections():
        assert sum(bool(control.number_160) for control in section.controls) == OF_BENCH[section.number]
        assert section.checked_against
    assert len({control.number_160 for control in CONTROLS if control.number_160}) == sum(OF_BENCH.values())


def test_at_most_ten_controls_are_manual() -> None:
    assert sum(bool(control.manual) for control in CONTROLS) <= 10


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_is_judged_and_configured_or_says_why_not(control: Control) -> None:
    assert bool(control.manual) != bool(control.layers or control.exposures or control.judge)
    assert bool(control.role) != bool(control.stays or control.manual)
    if control.judge:
        assert find_judge(control.judge)
    if control.role:
        spec = yaml.safe_load((ROLES / control.role / "meta/argument_specs.yml").read_text())
        assert control.variable in spec["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("control", [c for c in CONTROLS if c.layers or c.exposures], ids=lambda control: control.id)
def test_what_feeds_a_control_cites_it(control: Control) -> None:
    assert any(control.id in BY_NAME[name].controls for name in control.layers) or not control.layers
    assert all(control.id in KINDS[kind].controls for kind in control.exposures)
