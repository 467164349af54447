# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders one table of what a rollout will do to which hosts and containers. Identical hosts share one row. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from ...module_utils.formatting import format_names, format_size
from ...module_utils.layers.registry import BY_NAME
from ...module_utils.layers.verdict import format_containers
from ..planning.table import AS_DESIRED, DISABLED, NOT_APPLICABLE, STATE_COLOUR
from ..terminal import WIDTH, Line, wrap_text
from .decision import BATCHES, BLOCKED, INCLUDED, SKIPPED, UNREACHABLE

# How many names, and how many messages of a kind, are written per row; `plan-HOST.json` has all.
MAX_NAMES = 12
MAX_TEXTS = 12
_SHORT = {AS_DESIRED: "ok", DISABLED: "off"}  # for a table with many layers
_ORDER = {INCLUDED: 0, SKIPPED: 1, BLOCKED: 2, UNREACHABLE: 3}
_COLOUR = {INCLUDED: "yellow", SKIPPED: "green", BLOCKED: "red", UNREACHABLE: "red"}
_KINDS = (("warnings", "!", "bright purple"), ("notices", "i", None), ("blockers", "x", "red"))

Decision = Mapping[str, Any]


@dataclass
class DecisionRow:
    """Hosts of one batch with the same decision and the same changed layers."""

    label: str
    hosts: list[Decision]

    @property
    def decision(self) -> str:
        return str(self.hosts[0]["decision"])


def group_hosts(decisions: Sequence[Decision]) -> list[DecisionRow]:
    """Return the rows, by batch and decision."""
    found: dict[tuple[Any, ...], list[Decision]] = {}
    for entry in decisions:
        states = tuple((name, layer["state"]) for name, layer in entry["layers"].items())
        affects = any(effect["containers"] for effect in entry["effects"])
        details = (affects, states) if entry["decision"] == INCLUDED else ()
        found.setdefault((BATCHES.index(entry["batch"]), _ORDER[entry["decision"]], entry["stops"], *details), []).append(entry)
    ordered = sorted(found.items(), key=lambda item: item[0][:3])
    return [DecisionRow(_name_row(number), members) for number, (unused, members) in enumerate(ordered)]


def render_preflight(decisions: Sequence[Decision], batch_size: str, folder: str) -> list[Line]:
    """Return the table. batch_size: of the batch fleet, for display. folder: of the plans."""
    rows = group_hosts(decisions)
    layers = _name_columns(_list_columns(rows))
    narrow = any(name != heading for name, heading in layers.items())
    found: list[Line] = [(f"Preflight of {_count_hosts(len(decisions))}; none is changed", None)]
    head = (
        f"     hosts  {'batch':<10}  {' '.join(_pad_cell(name, name, narrow) for name in layers.values())} {'containers' if layers else ''}"
    )
    found.append((head.rstrip(), None))
    found += [(_render_row(row, layers, narrow), _COLOUR[row.decision]) for row in rows]
    for row in rows:
        found += _render_details(row)
    found.append((_summarize(decisions, batch_size), None))
    if len(decisions) > 1:
        found.append((f"  The plan of each host: {folder}/plan-HOST.json", None))
    return found


def _list_columns(rows: Sequence[DecisionRow]) -> list[str]:
    """Return the layers that are planned on any included host."""
    return list(dict.fromkeys(name for row in rows if row.decision == INCLUDED for entry in row.hosts for name in entry["layers"]))


def _name_columns(layers: Sequence[str]) -> dict[str, str]:
    """Return layer -> heading of its column: its name, or its short name if the table would be too wide."""
    beside = 42  # the columns before and after
    if beside + sum(len(_pad_cell(name, "")) + 1 for name in layers) <= WIDTH:
        return {name: name for name in layers}
    return {name: BY_NAME[name].short if name in BY_NAME and len(name) > len(_pad_cell("", "")) else name for name in layers}


def _render_row(row: DecisionRow, layers: Mapping[str, str], narrow: bool) -> str:
    first = row.hosts[0]
    head = f"  {row.label:<2} {len(row.hosts):>5}  {first['batch']:<10}  "
    if row.decision == SKIPPED:
        return f"{head}skipped: as desired and verified"
    if row.decision != INCLUDED:
        return f"{head}{row.decision}; {'stops the rollout' if first['stops'] else 'left out'}"
    states = {name: layer["state"] for name, layer in first["layers"].items()}
    cells = [_pad_cell(heading, states.get(name, "-"), narrow) for name, heading in layers.items()]
    return f"{head}{' '.join(cells)} {_count_affected(row.hosts) or 'not affected'}"


def _pad_cell(layer: str, text: str, narrow: bool = False) -> str:
    """Return the text in a column as wide as its heading, or as the longest state. narrow: with a shorter word for the longest one."""
    states = [_SHORT.get(state, state) if narrow else state for state in STATE_COLOUR]
    return f"{_SHORT.get(text, text) if narrow else text:<{max(len(layer), *map(len, states))}}"


def _count_affected(decisions: Sequence[Decision]) -> str:
    per_host = [len({name for effect in entry["effects"] for name in effect["containers"]}) for entry in decisions]
    total = sum(per_host)
    if not total or len(decisions) == 1:
        return f"{total} affected" if total else ""
    return f"{total} on {_count_hosts(sum(bool(number) for number in per_host))}"


def _render_details(row: DecisionRow) -> Iterator[Line]:
    hosts = row.hosts
    yield from wrap_text(f"  {row.label:<2} ", format_names([entry["host"] for entry in hosts], MAX_NAMES), _COLOUR[row.decision])
    if row.decision in (SKIPPED, UNREACHABLE):
        yield from _render_texts([(entry["host"], entry["why"]) for entry in hosts], len(hosts), "       ", None)
        return
    known = [entry["about"] for entry in hosts if entry["about"]]
    for key in ("system", "engine") if known else ():
        yield from wrap_text("       ", _render_counts([about[key] for about in known], len(hosts)))
    data = [(entry["host"], f"has {entry['about']['data']}") for entry in hosts if entry["about"].get("data")]
    yield from _render_texts(data, len(hosts), "       ", None)
    free = [entry["about"]["free"] for entry in hosts if entry["about"].get("free") is not None]
    if free:
        yield f"       {'at least ' if len(free) > 1 else ''}{format_size(min(free))} free on the disk", None
    if row.decision == INCLUDED:
        yield from _render_steps(hosts)
        yield from _render_effects(hosts)
    elif not any(entry["blockers"] for entry in hosts):
        yield from _render_texts([(entry["host"], entry["why"]) for entry in hosts], len(hosts), "     x ", "red")
    for kind, sign, colour in _KINDS:
        yield from _render_texts([(entry["host"], text) for entry in hosts for text in entry[kind]], len(hosts), f"     {sign} ", colour)


def _render_steps(hosts: Sequence[Decision]) -> Iterator[Line]:
    """Yield one line per layer that changes. If hosts differ, it is the most frequent change, with the number of the other hosts."""
    unchanged = True
    for name, first in hosts[0]["layers"].items():
        if first["state"] not in (AS_DESIRED, DISABLED):
            unchanged = unchanged and first["state"] == NOT_APPLICABLE
            texts = Counter(entry["layers"][name]["text"] for entry in hosts).most_common()
            text, number = texts[0]
            more = f" ({_count_hosts(number)}; differs on {_count_hosts(len(hosts) - number)})" if len(texts) > 1 else ""
            yield from wrap_text(f"       {name:<18} ", text + more, STATE_COLOUR[first["state"]])
    if unchanged:
        yield "       as desired; will be verified", "green"


def _render_effects(hosts: Sequence[Decision]) -> Iterator[Line]:
    """Yield each effect once, with its containers and hosts."""
    found: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for entry in hosts:
        for effect in entry["effects"]:
            shown = [format_containers([name], effect["details"]) for name in effect["containers"]]
            found.setdefault(effect["text"], []).append((entry["host"], shown))
    for text, places in list(found.items())[:MAX_TEXTS]:
        where = "" if len(places) == len(hosts) else f" ({_name_hosts([host for host, unused in places])})"
        if not any(containers for unused, containers in places):
            affected = ""
        elif len(hosts) == 1:
            affected = f": {', '.join(places[0][1])}"
        else:
            affected = f": {'; '.join(f'{host}: {format_names(names, MAX_NAMES)}' for host, names in places[:MAX_NAMES])}"
            affected += f"; and on {_count_hosts(len(places) - MAX_NAMES)} more" if len(places) > MAX_NAMES else ""
        yield from wrap_text("     > ", text + where + affected, "yellow")


def _render_texts(texts: Sequence[tuple[str, str]], hosts: int, prefix: str, colour: str | None) -> Iterator[Line]:
    """Yield each message once, with its hosts unless it applies to all. texts: (host, message). hosts: the number of all hosts."""
    where: dict[str, list[str]] = {}
    for host, text in texts:
        where.setdefault(text, []).append(host)
    for text, found in list(where.items())[:MAX_TEXTS]:
        yield from wrap_text(prefix, text if len(found) == hosts else f"{_name_hosts(found)}: {text}", colour)
    if len(where) > MAX_TEXTS:
        yield f"{prefix}and {len(where) - MAX_TEXTS} more of this kind", colour


def _summarize(decisions: Sequence[Decision], batch_size: str) -> str:
    if any(entry["stops"] for entry in decisions):
        return "  No host will be changed: fix or leave out the hosts that stop the rollout"
    counts = {batch: sum(entry["batch"] == batch and entry["decision"] == INCLUDED for entry in decisions) for batch in BATCHES}
    batches = [
        f"{batch} ({_count_hosts(number)}{f', {batch_size} at a time' if batch == BATCHES[-1] and number > 1 else ''})"
        for batch, number in counts.items()
        if number
    ]
    return f"  Batches, each verified before the next begins: {', then '.join(batches)}" if batches else "  There is nothing to do"


def _name_hosts(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 3 else _count_hosts(len(hosts))


def _render_counts(texts: Sequence[str], hosts: int) -> str:
    counts = Counter(texts).most_common()
    if len(counts) == 1 and counts[0][1] == hosts:
        return counts[0][0]
    return "; ".join(f"{text} ({number})" for text, number in counts[:MAX_TEXTS])


def _count_hosts(number: int) -> str:
    return f"{number} host{'' if number == 1 else 's'}"


def _name_row(number: int) -> str:
    """Return A, B, …, Z, A2, …"""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")
