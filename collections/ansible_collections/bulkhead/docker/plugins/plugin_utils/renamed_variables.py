# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the extra variables of a run against the playbooks' own variables. Pure.

A misspelt or renamed extra variable would otherwise be ignored: `-e target=web` would then harden every host.
"""

from __future__ import annotations

from collections.abc import Iterable

from .suggestion import suggest

PREFIX = "bulkhead_"
# Former name -> present name.
RENAMED = {
    "target": "bulkhead_target",
    "report_dir": "bulkhead_report_dir",
    "batch": "bulkhead_batch",
    "show": "bulkhead_show",
    "container": "bulkhead_container",
    "since": "bulkhead_since",
    "deep": "bulkhead_deep",
    "prove": "bulkhead_verify",
    "resume": "bulkhead_resume",
    "resume_minutes": "bulkhead_resume_minutes",
    "stale_hours": "bulkhead_stale_hours",
    "metrics_file": "bulkhead_metrics_file",
    "events": "bulkhead_events",
    "transaction": "bulkhead_transaction",
    "rollout_refused": "bulkhead_blocked",
    "rollout_unreachable": "bulkhead_unreachable",
}
# AWX passes the statistics of one job (fleet_report) to the next job of a workflow as an extra variable.
KNOWN = frozenset(
    (
        *RENAMED.values(),
        "bulkhead_containers_forbid",
        "bulkhead_waivers",
        "bulkhead_controls_required",
        "bulkhead_search_images",
        "bulkhead_fleet",
        "bulkhead_record",
        "bulkhead_recordings",
        "bulkhead_usual_days",
    )
)
# The only former names that were variables of an inventory; the others are ignored there.
RENAMED_IN_INVENTORY = ("rollout_refused", "rollout_unreachable")
# Set by plan_layers during a run.
FACTS = frozenset(("bulkhead_observed",))


def find_extra_variable_problems(names: Iterable[str]) -> list[str]:
    """Return one message per extra variable that has a former name, or an unknown name with the project's prefix."""
    return [message for name in sorted(names) if (message := _describe_problem(name))]


def _describe_problem(name: str) -> str:
    if name in RENAMED:
        return f"{name}: was renamed; write -e {RENAMED[name]}=…"
    if not name.startswith(PREFIX) or name in KNOWN:
        return ""
    return f"{name}: is not a known variable; {suggest(name, sorted(KNOWN), cutoff=0.8)}"


def find_inventory_problem(names: Iterable[str]) -> str:
    """Return a message for the first variable of a host with a former or an unknown name; empty if there is none."""
    for name in sorted(names):
        if name in RENAMED_IN_INVENTORY:
            return f"{name}: was renamed; write {RENAMED[name]}"
        if name.startswith(PREFIX) and name not in KNOWN | FACTS:
            return f"{name}: is not a known variable; {suggest(name, sorted(KNOWN), cutoff=0.8)}, or rename it if it is your own"
    return ""
