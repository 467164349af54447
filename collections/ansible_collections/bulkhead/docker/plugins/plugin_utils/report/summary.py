# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the fleet in a few lines for the terminal: numbers, hosts that are not verified, and what became worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...module_utils.formatting import format_names
from ...module_utils.layers.usage import OBSERVED
from ..terminal import Line, wrap_text
from .findings import ERROR, list_problems
from .fleet import CONDITIONS, FAILING, VERIFIED, Fleet
from .policy import EXPOSED, NOT_READ, REPORTED, WAIVED, group_granted
from .publish import Published
from .verification_table import describe_granted

# The number of names and changes that are written out; the page has all. Up to EXPLAINED hosts get one message each.
MAX_NAMES = 20
EXPLAINED = 5
_SIGNS = {VERIFIED: "+", FAILING: "x"}
_COLOURS = {VERIFIED: "green", FAILING: "red"}


def render_summary(published: Published) -> list[Line]:
    """Return the lines."""
    fleet = published.fleet
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
                found += wrap_text(f"         {host.name}: ", host.why)
        else:
            found += wrap_text("         ", format_names([host.name for host in hosts], MAX_NAMES))
    wrong = Counter(problem.id for problem in list_problems(fleet) if problem.level == ERROR and problem.layer and not problem.accepted)
    if wrong and fleet.count(FAILING) > EXPLAINED:
        found += wrap_text("  Why: ", format_names([f"{identifier} ({number})" for identifier, number in wrong.most_common()], MAX_NAMES))
    found += _render_containers(fleet)
    for problem in list_problems(fleet):
        if problem.id.startswith("waiver."):
            found += wrap_text("  ! ", f"{problem.id}: {problem.text}", "yellow")
    worse = [change for change in published.changes if change.better is False]
    if worse:
        found.append((f"  Worse since {published.since}:", "yellow"))
        for change in worse[:MAX_NAMES]:
            found += wrap_text("         ", f"{change.host}: {change.what}: {change.before} -> {change.after}")
        if len(worse) > MAX_NAMES:
            found.append((f"         and {len(worse) - MAX_NAMES} more", None))
    for text in fleet.problems:
        found += wrap_text("  ! ", text, "red")
    found.append((f"  The evidence: {published.files[0]}", None))
    return found


def _render_containers(fleet: Fleet) -> Iterator[Line]:
    """Yield what is granted to containers: the exposed ones by host or, on many hosts, by kind; numbers of the others."""
    granted = [(host.name, entry) for host in fleet.hosts if host.judgement for entry in host.judgement.granted]
    hosts, number = fleet.exposed_hosts, len({(host, entry.container) for host, entry in granted if entry.state == EXPOSED})
    if number:
        yield f"  x {number:>4} container{'' if number == 1 else 's'} exposed on {len(hosts)} host{'' if len(hosts) == 1 else 's'}", "red"
    if len(hosts) <= EXPLAINED:
        for host in hosts:
            for first, names in group_granted(host.judgement.exposed if host.judgement else ()):
                yield from wrap_text(f"         {host.name}: ", describe_granted(first, names))
    else:
        for first, unused in group_granted([entry for unused, entry in granted if entry.state == EXPOSED]):
            own = [host for host, entry in granted if entry.state == EXPOSED and entry.kind == first.kind]
            yield from wrap_text("         ", f"{first.kind}: {len(own)} containers on {format_names(list(dict.fromkeys(own)))}")
    unread = [f"{host}: {entry.container}" for host, entry in granted if entry.state == NOT_READ]
    if unread:
        yield from wrap_text("  ? containers with unknown exposures: ", format_names(unread), "red")
    for state, sign in ((REPORTED, "!"), (WAIVED, "~")):
        kinds = Counter(entry.kind for unused, entry in granted if entry.state == state)
        if kinds:
            text = ", ".join(f"{kind} ({times})" for kind, times in kinds.most_common())
            yield from wrap_text(f"  {sign} containers with {state} exposures: ", text)
    observed = [
        (host.name, container["name"], finding)
        for host in fleet.hosts
        if host.judgement
        for container in host.containers
        for finding in container["findings"]
        if finding["id"] in OBSERVED
    ]
    for identifier in OBSERVED:
        texts = [finding["text"] for unused, unused, finding in observed if finding["id"] == identifier]
        names = [f"{host}: {name}" for host, name, finding in observed if finding["id"] == identifier]
        if names:
            yield from wrap_text("  i ", f"{format_names(names)}: {texts[0] if len(names) == 1 else f'{identifier}, such as: {texts[0]}'}")
