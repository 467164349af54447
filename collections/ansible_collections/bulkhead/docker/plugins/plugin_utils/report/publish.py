# SPDX-License-Identifier: GPL-3.0-or-later
"""All formats of a fleet's report, written into its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import replace
from . import junit, page, prometheus, sarif
from .attack import matrix
from .changes import Change, baseline, compare, snapshot
from .fleet import Fleet, Inventory, judge
from .read import read

PAGE, JUNIT, SARIF, METRICS, STATE = "fleet.html", "fleet.junit.xml", "fleet.sarif", "fleet.prom", "fleet.json"


@dataclass
class Published:
    """fleet: what was found. changes: since the report written at `since`. files: what was written."""

    fleet: Fleet
    changes: list[Change]
    since: str
    files: list[str]


def publish(
    folder: Path, inventory: Inventory | None, now: float, stale_seconds: float, run: str, version: str, problems: Sequence[str] = ()
) -> Published:
    """Read the reports of single hosts in `folder` and write there what they say of the fleet.

    inventory: None when it is not known. run: names this run of Ansible's. problems: what went wrong before the reports were there. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fleet = judge(read(folder), inventory, now, stale_seconds)
    fleet.problems += problems
    state = _state(folder / STATE, fleet)
    hosts = snapshot(fleet)
    since = baseline(state, run, hosts)
    changes = compare(since["hosts"], hosts) if since else []
    earlier = since.get("written", "")
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    texts = {
        PAGE: page.render(fleet, changes, earlier, matrix(fleet), version),
        JUNIT: junit.render(fleet),
        SARIF: sarif.render(fleet, version),
        METRICS: prometheus.render(fleet),
        STATE: json.dumps({"written": when, "run": run, "hosts": hosts, "since": since}, indent=1) + "\n",
    }
    for name, text in texts.items():
        replace(folder / name, text)
    return Published(fleet, changes, earlier, [str(folder / name) for name in texts])


def _state(path: Path, fleet: Fleet) -> dict[str, Any]:
    """What the last report left; one that can't be read is a problem to show, and the report begins anew."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not isinstance(state.get("hosts"), dict) or not isinstance(state.get("since"), dict):
            raise ValueError("not the state of a report")
        return state
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        fleet.problems.append(f"{path} can't be read, so that nothing is known of the last report: {error}")
        return {}
