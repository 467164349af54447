# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet in a few lines, for the terminal: numbers, then whoever is not proven, then what got worse."""

from __future__ import annotations

import textwrap

from ..planning.table import WIDTH, Line
from .fleet import CONDITIONS, FAILING, PROVEN
from .write import Written

# So many hosts a condition, and so many changes, are named; the page has them all.
NAMED = 20
_SIGNS = {PROVEN: "+", FAILING: "x"}
_COLOURS = {PROVEN: "green", FAILING: "red"}


def lines(done: Written) -> list[Line]:
    fleet = done.fleet
    found: list[Line] = [(f"Fleet: {fleet.count(PROVEN)} of {len(fleet.hosts)} hosts proven", None)]
    for condition, meaning in reversed(CONDITIONS.items()):
        hosts = [host for host in fleet.hosts if host.condition == condition]
        if hosts:
            head = f"  {_SIGNS.get(condition, '?')} {len(hosts):>4} {condition}: {meaning}"
            found.append((head, _COLOURS.get(condition, "yellow")))
        if condition != PROVEN:
            for host in hosts[:NAMED]:
                found += [(row, None) for row in _wrapped(f"         {host.name}: ", host.why)]
            if len(hosts) > NAMED:
                found.append((f"         … and {len(hosts) - NAMED} more", None))
    worse = [change for change in done.changes if change.better is False]
    if worse:
        found.append((f"  Worse since {done.since}:", "yellow"))
        found += [(f"         {c.host}: {c.what}: {c.before} -> {c.after}", None) for c in worse[:NAMED]]
        if len(worse) > NAMED:
            found.append((f"         … and {len(worse) - NAMED} more", None))
    for problem in fleet.problems:
        found += [(row, "red") for row in _wrapped("  ! ", problem)]
    found.append((f"  The evidence: {done.files[0]}", None))
    return found


def _wrapped(prefix: str, text: str) -> list[str]:
    rows = textwrap.wrap(text, max(20, WIDTH - len(prefix))) or [""]
    return [prefix + rows[0], *(" " * len(prefix) + row for row in rows[1:])]
