# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import table


def test_a_plan_shows_changes_and_reasons() -> None:
    base = {"requirement": "required", "applicable": True, "changes": [], "reason": "", "with_engine": ""}
    plan = {
        "layers": {
            "seccomp": {**base, "changes": [{"summary": "install web.json"}]},
            "apparmor": {**base, "applicable": False, "reason": "no AppArmor"},
            "userns": base,
            "no_new_privileges": {**base, "with_engine": "set no-new-privileges"},
            "pids_limit": {**base, "requirement": "disabled"},
        },
        "effects": ["the engine restarts"],
        "warnings": [],
        "notices": [],
        "blockers": [],
    }
    text = "\n".join(line for line, unused in table.render_plan("h", plan))
    for expected in (
        "install web.json",
        "not applicable: no AppArmor",
        "as desired",
        "disabled",
        "set no-new-privileges",
        "> the engine restarts",
    ):
        assert expected in text
