# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix for people: a line an attack, a sign a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils.layers.registry import LAYERS
from ..terminal import Line, wrap_text

# Not by colour alone: each outcome has a sign of its own. A refusal that the kernel logged has LOGGED behind it.
_SIGN = {"blocked": "#", "succeeded": ".", "inconclusive": "-", "unknown": "?"}
_LOGGED = "*"
_HEADS = {
    "none": "none",
    **{layer.name: layer.short for layer in LAYERS if layer.attacked},
    "engine": "engine",
    "host": "host",
    "stacked": "stack",
    "container": "whole",
}
_NAME = 20


def matrix_lines(host: str, matrix: Mapping[str, Any], unmet: Sequence[str]) -> list[Line]:
    """The table, then what it can't show, what gets through, what is not logged, and what the inventory demands in vain."""
    about, columns, rows = matrix.get("host", {}), matrix["configurations"], matrix["attacks"]
    title = f"{host}: {len(rows)} attacks on {matrix['subject']}, {len(columns)} configurations, {matrix['seconds']:.0f} s"
    title += f" ({about.get('distribution_name')}, kernel {about.get('kernel')}, engine {about.get('version')})"
    lines: list[Line] = [*wrap_text("", title, None), (_head(columns), None)]
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            lines.append((f"  {family}", "dark gray"))
        lines.append((_row(row, columns), _colour(row, columns)))
    lines += [
        *wrap_text(
            "  ",
            "# stopped, #* and the kernel logged it, . got through, - no verification, ? unknown; each layer alone, then together",
            None,
        )
    ]
    lines += _notes(matrix)
    for text in unmet:
        lines += wrap_text("  x ", text, "red")
    return lines


def _head(columns: Sequence[Mapping[str, Any]]) -> str:
    heads = [_HEADS.get(column["name"], column["name"][:5]) for column in columns]
    return f"  {'':<{_NAME}}" + " ".join(f"{head:<{_width(head)}}" for head in heads) + " layers"


def _width(head: str) -> int:
    return max(4, len(head))


def _row(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str:
    signs = []
    for column in columns:
        cell = row["cells"][column["name"]]
        sign = _SIGN[cell["outcome"]] + (_LOGGED if cell["outcome"] == "blocked" and cell["logged"] else "")
        signs.append(f"{sign:<{_width(_HEADS.get(column['name'], column['name'][:5]))}}")
    return f"  {row['name']:<{_NAME}}" + " ".join(signs) + (f" {row['layers']}" if row["provable"] else " no verification")


def _colour(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str | None:
    """By what counts most: whether it gets through all layers together, otherwise by how many stop it alone."""
    if not row["provable"]:
        return "dark gray"
    last = row["cells"][columns[-1]["name"]]["outcome"]
    if last == "succeeded":
        return "red"
    return "green" if last == "blocked" and row["layers"] > 1 else "yellow"


def _notes(matrix: Mapping[str, Any]) -> Iterator[Line]:
    columns, rows = matrix["configurations"], matrix["attacks"]
    for column in columns:
        if column["trouble"]:
            yield from wrap_text(f"  ? {column['title']}: ", column["trouble"], "yellow")
    for general, attacks in _unprovable(rows).items():
        if len(attacks) == 1:
            name, particular = attacks[0]
            yield from wrap_text(f"  - {name}: ", ": ".join(filter(None, (general, particular))), None)
        else:
            yield from wrap_text("  - ", f"{general}:", None)
            yield from wrap_text("    ", ", ".join(f"{name} ({particular})" for name, particular in attacks), None)
    for column in (c for c in columns if c["kind"] == "together" and c["name"] != "engine"):
        through = [row["name"] for row in rows if row["cells"][column["name"]]["outcome"] == "succeeded"]
        if through:
            yield from wrap_text(f"  ! with {column['title']} get through: ", ", ".join(through), "yellow")
    if matrix["log"]["error"]:
        yield from wrap_text("  ? ", matrix["log"]["error"], "yellow")
    else:
        yield from wrap_text("  i ", logged(columns, rows), None)


def _unprovable(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """What reasons have in common → the attacks that prove nothing for it, each with the rest of its reason."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in (r for r in rows if not r["provable"]):
        general, unused, particular = row["reason"].partition(": ")
        found.setdefault(general, []).append((row["name"], particular))
    return found


def logged(columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """How many blockers left a message of the kernel's, and why the others did not."""
    blockers = [cell for row in rows for cell in row["cells"].values() if cell["outcome"] == "blocked"]
    told = sum(bool(cell["logged"]) for cell in blockers)
    reasons = dict.fromkeys(reason for cell in blockers for reason in (cell.get("silent") or "").split("; ") if reason)
    return f"the kernel logged {told} of {len(blockers)} blockers" + (f"; silent: {'; '.join(reasons)}" if reasons else "")
