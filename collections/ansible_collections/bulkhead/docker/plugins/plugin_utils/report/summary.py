# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet in a few lines, for the terminal: numbers, then whoever is not verified, then what got worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..lines import Line, wrapped
from .findings import ERROR, problems
from .fleet import CONDITIONS, FAILING, VERIFIED
from .publish import Published

# So many names, and so many changes, are written out; the page has them all. Few enough hosts get a sentence each.
NAMED = 20
EXPLAINED = 5
_SIGNS = {VERIFIED: "+", FAILING: "x"}
_COLOURS = {VERIFIED: "green", FAILING: "red"}


def lines(done: Published) -> list[Line]:
    fleet = done.fleet
    found: list[Line] = [(f"Fleet: {fleet.count(VERIFIED)} of {fleet.size} hosts verified", None)]
    for condition, meaning in reversed(CONDITIONS.items()):
        hosts = [host for host in fleet.hosts if host.condition == condition]
        if not hosts:
            continue
        found.append((f"  {_SIGNS.get(condition, '?')} {len(hosts):>4} {condition}: {meaning}", _COLOURS.get(condition, "yellow")))
        if condition == VERIFIED:
            continue
        if len(hosts) <= EXPLAINED:
            for host in hosts:
                found += wrapped(f"         {host.name}: ", host.why)
        else:
            found += wrapped("         ", _some([host.name for host in hosts]))
    wrong = Counter(problem.id for problem in problems(fleet) if problem.level == ERROR and problem.layer)
    if wrong and fleet.count(FAILING) > EXPLAINED:
        found += wrapped("  Why: ", _some([f"{identifier} ({number})" for identifier, number in wrong.most_common()]))
    worse = [change for change in done.changes if change.better is False]
    if worse:
        found.append((f"  Worse since {done.since}:", "yellow"))
        for change in worse[:NAMED]:
            found += wrapped("         ", f"{change.host}: {change.what}: {change.before} -> {change.after}")
        if len(worse) > NAMED:
            found.append((f"         and {len(worse) - NAMED} more", None))
    for problem in fleet.problems:
        found += wrapped("  ! ", problem, "red")
    found.append((f"  The evidence: {done.files[0]}", None))
    return found


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest
