# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host that nothing can be said of yet."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import plan


def test_a_host_in_the_middle_of_a_change_is_brought_out_of_it_first() -> None:
    observed = {"engine": {"installed": True}, "interrupted": ["20261123T204423.000001"]}
    made = plan.make(observed, {}, {"userns", "seccomp"})
    assert list(made.layers) == [plan.ENGINE_CONFIG]
    (change,) = made.layers[plan.ENGINE_CONFIG].changes
    assert change.path.endswith("20261123T204423.000001") and "undo, or finish" in change.summary
    assert (made.blockers, made.gathered("notices")) == ([], ["the layers are planned once that is done"])
