# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host whose last run was interrupted."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Change, LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import plan


def test_an_interrupted_change_is_recovered_first() -> None:
    observed = {"engine": {"installed": True}, "interrupted": ["20261123T204423.000001"]}
    result = plan.plan_host(observed, {}, {"userns", "seccomp"})
    assert list(result.layers) == [plan.ENGINE_CONFIG]
    (change,) = result.layers[plan.ENGINE_CONFIG].changes
    assert change.path.endswith("20261123T204423.000001") and "undo or finish" in change.summary
    assert (result.blockers, result.collect("notices")) == ([], ["the layers are planned after that"])


@pytest.mark.parametrize("before", ["null\n", " \n", "", "{}"])
def test_an_empty_configuration_has_no_keys(before: str) -> None:
    # dockerd 26.1.5 on trixie starts with each of them.
    path = "/etc/docker/daemon.json"
    config = LayerPlan("engine_config", changes=[Change(path, "change icc", before, '{"icc": false}')], apply={"path": path})
    assert plan._describe_engine_change(LayerPlan("x", daemon_keys={"icc": False}), config) == "set icc"
