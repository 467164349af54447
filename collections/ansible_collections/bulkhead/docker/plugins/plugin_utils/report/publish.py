# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes all formats of the fleet report into its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import replace_file
from . import junit, page, prometheus, sarif
from .attack import merge_matrices
from .changes import HostChange, compare_snapshots, select_baseline, take_fleet_snapshot
from .fleet import Fleet, InventoryHosts, judge_fleet
from .read import read_reports
from .recordings import read_recordings

PAGE, JUNIT, SARIF, METRICS, STATE = "fleet.html", "fleet.junit.xml", "fleet.sarif", "fleet.prom", "fleet.json"


@dataclass
class Published:
    """A report that was written. changes: since the report of `since`. files: their paths."""

    fleet: Fleet
    changes: list[HostChange]
    since: str
    files: list[str]


def publish_report(
    folder: Path, inventory: InventoryHosts | None, now: float, stale_seconds: float, run: str, version: str, problems: Sequence[str] = ()
) -> Published:
    """Read the reports of single hosts in `folder` and write the fleet report there. Raises OSError.

    inventory: None if it is unknown. run: ID of this run. version: of the collection. problems: what went wrong earlier, to be shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fleet = judge_fleet(read_reports(folder), inventory, now, stale_seconds)
    fleet.recordings, unread = read_recordings(folder)
    fleet.problems += [*unread, *problems]
    state = _read_state(folder / STATE, fleet)
    hosts = take_fleet_snapshot(fleet)
    since = select_baseline(state, run, hosts)
    changes = compare_snapshots(since["hosts"], hosts) if since else []
    earlier = since.get("written", "")
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    texts = {
        PAGE: page.render(fleet, changes, earlier, merge_matrices(fleet), version),
        JUNIT: junit.render(fleet),
        SARIF: sarif.render(fleet, version),
        METRICS: prometheus.render(fleet),
        STATE: json.dumps({"written": when, "run": run, "hosts": hosts, "since": since}, indent=1) + "\n",
    }
    for name, text in texts.items():
        replace_file(folder / name, text)
    return Published(fleet, changes, earlier, [str(folder / name) for name in texts])


def _read_state(path: Path, fleet: Fleet) -> dict[str, Any]:
    """Return the state of the previous report. An invalid one is a problem to show, and there is nothing to compare with."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not isinstance(state.get("hosts"), dict) or not isinstance(state.get("since"), dict):
            raise ValueError("not the state of a report")
        return state
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fleet.problems.append(f"{path} cannot be read, so changes since the previous report are unknown: {error}")
        return {}
