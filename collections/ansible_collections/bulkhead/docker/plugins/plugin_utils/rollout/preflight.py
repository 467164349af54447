# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of what a rollout will do where, and which containers will feel it: hosts of which the same can be said are one row. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from ...module_utils.formatting import format_size
from ..lines import Line, wrapped
from ..planning.table import AS_WANTED, DISABLED, STATE_COLOUR
from .decision import BATCHES, REFUSED, TAKE, UNREACHABLE, VERIFIED

# So many names, and so many sentences, are written out of one row; the hosts' own files have them all.
NAMED = 12
SAID = 12
_ORDER = {TAKE: 0, VERIFIED: 1, REFUSED: 2, UNREACHABLE: 3}
_FATE = {VERIFIED: "left out: as desired, and verified", REFUSED: "refused", UNREACHABLE: "not reached"}
_COLOUR = {TAKE: "yellow", VERIFIED: "green", REFUSED: "red", UNREACHABLE: "red"}
_KINDS = (("warnings", "!", "bright purple"), ("notices", "i", None), ("blockers", "x", "red"))

Note = Mapping[str, Any]


@dataclass
class Row:
    """Hosts of one batch with one fate and the same layers to be changed."""

    label: str
    notes: list[Note]

    @property
    def fate(self) -> str:
        return str(self.notes[0]["fate"])


def rows(notes: Sequence[Note]) -> list[Row]:
    """In the order of what happens: by batch, then whoever is left out."""
    found: dict[tuple[Any, ...], list[Note]] = {}
    for note in notes:
        states = tuple((name, layer["state"]) for name, layer in note["layers"].items())
        feel = any(effect["containers"] for effect in note["effects"])
        key = (BATCHES.index(note["batch"]), _ORDER[note["fate"]], note["stops"], *((feel, states) if note["fate"] == TAKE else ()))
        found.setdefault(key, []).append(note)
    ordered = sorted(found.items(), key=lambda item: item[0][:3])
    return [Row(_label(number), members) for number, (unused, members) in enumerate(ordered)]


def lines(notes: Sequence[Note], size: str, folder: str) -> list[Line]:
    """size: of a batch of the fleet, as the run was told. folder: where the single plans are."""
    table = rows(notes)
    layers = _layers(table)
    found: list[Line] = [(f"Preflight: {_hosts(len(notes))} looked at, and nothing has been touched", None)]
    found.append(
        (f"     hosts  {'batch':<10}  {' '.join(_cell(name, name) for name in layers)} {'containers' if layers else ''}".rstrip(), None)
    )
    found += [(_row(row, layers), _COLOUR[row.fate]) for row in table]
    for row in table:
        found += _details(row)
    found.append((_summary(notes, size), None))
    if len(notes) > 1:
        found.append((f"  The plan of each host: {folder}/plan-HOST.json", None))
    return found


def _layers(table: Sequence[Row]) -> list[str]:
    """The columns: what is planned on any host that is taken."""
    return list(dict.fromkeys(name for row in table if row.fate == TAKE for note in row.notes for name in note["layers"]))


def _row(row: Row, layers: Sequence[str]) -> str:
    head = f"  {row.label:<2} {len(row.notes):>5}  {row.notes[0]['batch']:<10}  "
    if row.fate != TAKE:
        return (
            head
            + _FATE[row.fate]
            + (", and stops the rollout" if row.notes[0]["stops"] else ", and left out" if row.fate != VERIFIED else "")
        )
    states = {name: layer["state"] for name, layer in row.notes[0]["layers"].items()}
    cells = [_cell(name, states.get(name, "-")) for name in layers]
    return f"{head}{' '.join(cells)} {_felt(row.notes) or 'feel nothing'}"


def _cell(layer: str, text: str) -> str:
    """A column is as wide as its head, or as the longest word that can stand in it."""
    return f"{text:<{max(len(layer), *map(len, STATE_COLOUR))}}"


def _felt(notes: Sequence[Note]) -> str:
    per_host = [len({name for effect in note["effects"] for name in effect["containers"]}) for note in notes]
    total = sum(per_host)
    if not total or len(notes) == 1:
        return f"{total} feel it" if total else ""
    return f"{total} on {_hosts(sum(bool(number) for number in per_host))}"


def _details(row: Row) -> Iterator[Line]:
    notes = row.notes
    yield from wrapped(f"  {row.label:<2} ", names([note["host"] for note in notes]), _COLOUR[row.fate])
    if row.fate in (VERIFIED, UNREACHABLE):
        yield from _said([(note["host"], note["why"]) for note in notes], len(notes), "       ", None)
        return
    known = [note["about"] for note in notes if note["about"]]
    for key in ("system", "engine") if known else ():
        yield from wrapped("       ", _counted([about[key] for about in known], len(notes)))
    data = [(note["host"], f"holds {note['about']['data']}") for note in notes if note["about"].get("data")]
    yield from _said(data, len(notes), "       ", None)
    tight = [note["about"]["free"] for note in notes if note["about"].get("free") is not None]
    if tight:
        yield f"       {format_size(min(tight))} free on its disk" + (", the least of them" if len(tight) > 1 else ""), None
    if row.fate == TAKE:
        yield from _steps(notes)
        yield from _effects(notes)
    elif not any(note["blockers"] for note in notes):
        yield from _said([(note["host"], note["why"]) for note in notes], len(notes), "     x ", "red")
    for kind, sign, colour in _KINDS:
        yield from _said([(note["host"], text) for note in notes for text in note[kind]], len(notes), f"     {sign} ", colour)


def _steps(notes: Sequence[Note]) -> Iterator[Line]:
    """What is done, a line a layer; where hosts differ, the sentence of most of them and how many there are of others."""
    nothing = True
    for name, first in notes[0]["layers"].items():
        if first["state"] not in (AS_WANTED, DISABLED):
            nothing = False
            whats = Counter(note["layers"][name]["what"] for note in notes).most_common()
            more = f" ({_hosts(whats[0][1])}; another way on {_hosts(len(notes) - whats[0][1])})" if len(whats) > 1 else ""
            yield from wrapped(f"       {name:<18} ", whats[0][0] + more, STATE_COLOUR[first["state"]])
    if nothing:
        yield "       as desired, and to be verified", "green"


def _effects(notes: Sequence[Note]) -> Iterator[Line]:
    """Each sentence once, with the containers that it is about, and where."""
    said: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for note in notes:
        for effect in note["effects"]:
            said.setdefault(effect["text"], []).append((note["host"], effect["containers"]))
    for text, places in list(said.items())[:SAID]:
        where = "" if len(places) == len(notes) else f" ({_where([host for host, unused in places])})"
        if not any(containers for unused, containers in places):
            felt = ""
        elif len(notes) == 1:
            felt = f": {', '.join(places[0][1])}"
        else:
            felt = f": {'; '.join(f'{host}: {names(found)}' for host, found in places[:NAMED])}" + (
                f"; and on {_hosts(len(places) - NAMED)} more" if len(places) > NAMED else ""
            )
        yield from wrapped("     > ", text + where + felt, "yellow")


def _said(sentences: Sequence[tuple[str, str]], hosts: int, prefix: str, colour: str | None) -> Iterator[Line]:
    """Each sentence once, with the hosts that it is about unless it is about all."""
    where: dict[str, list[str]] = {}
    for host, text in sentences:
        where.setdefault(text, []).append(host)
    for text, found in list(where.items())[:SAID]:
        yield from wrapped(prefix, text if len(found) == hosts else f"{_where(found)}: {text}", colour)
    if len(where) > SAID:
        yield f"{prefix}and {len(where) - SAID} more of this kind", colour


def _summary(notes: Sequence[Note], size: str) -> str:
    counts = {batch: sum(note["batch"] == batch and note["fate"] == TAKE for note in notes) for batch in BATCHES}
    if any(note["stops"] for note in notes):
        return "  Nothing will be touched on any host before what stops the rollout is mended"
    words = [
        f"{batch} ({_hosts(number)}{f', {size} at a time' if batch == BATCHES[-1] and number > 1 else ''})"
        for batch, number in counts.items()
        if number
    ]
    return f"  Batches, each verified before the next begins: {', then '.join(words)}" if words else "  There is nothing to do"


def names(found: Sequence[str]) -> str:
    rest = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + rest


def _where(hosts: Sequence[str]) -> str:
    return names(hosts) if len(hosts) <= 3 else _hosts(len(hosts))


def _counted(words: Sequence[str], hosts: int) -> str:
    counts = Counter(words).most_common()
    if len(counts) == 1 and counts[0][1] == hosts:
        return counts[0][0]
    return "; ".join(f"{word} ({number})" for word, number in counts[:SAID])


def _hosts(number: int) -> str:
    return f"{number} host{'' if number == 1 else 's'}"


def _label(number: int) -> str:
    """A, B, …, Z, A2, …"""
    turn, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")
