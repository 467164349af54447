# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the attack matrix of a host for the terminal: one line per attack, one sign per configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils.attack.network_catalog import LAYER as EGRESS
from ...module_utils.layers.registry import LAYERS
from ..terminal import Line, wrap_text

# Each outcome has its own sign, for readers who do not see colours. _LOGGED follows the sign of an attack that was stopped and logged by the kernel.
_SIGN = {"blocked": "#", "succeeded": ".", "inconclusive": "-", "unknown": "?", "": ""}
_LOGGED = "*"
_NOT_RUN: dict[str, Any] = {"outcome": "", "logged": None}
_HEADS = {
    "none": "none",
    **{layer.name: layer.short for layer in LAYERS if layer.attacked or layer.name == EGRESS},
    "engine": "engine",
    "host": "host",
    "stacked": "stack",
    "container": "whole",
}
_NAME_WIDTH = 20


def render_matrix(host: str, matrix: Mapping[str, Any], unmet: Sequence[str]) -> list[Line]:
    """Return the table, then problems, inconclusive attacks, attacks that succeed, what the kernel logged, and requirements that are not met."""
    about, columns, rows = matrix.get("host", {}), matrix["configurations"], matrix["attacks"]
    title = f"{host}: {len(rows)} attacks on {matrix['subject']}, {len(columns)} configurations, {matrix['seconds']:.0f} s"
    title += f" ({about.get('distribution_name')}, kernel {about.get('kernel')}, engine {about.get('version')})"
    lines: list[Line] = [*wrap_text("", title, None), (_render_head(columns), None)]
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            lines.append((f"  {family}", "dark gray"))
        lines.append((_render_row(row, columns), _choose_colour(row, columns)))
    lines += [
        *wrap_text(
            "  ",
            "# stopped, #* stopped and logged by the kernel, . succeeded, - inconclusive, ? unknown, empty: not run; each layer alone, then together",
            None,
        )
    ]
    lines += _render_notes(matrix)
    for text in unmet:
        lines += wrap_text("  x ", text, "red")
    return lines


def _render_head(columns: Sequence[Mapping[str, Any]]) -> str:
    heads = [_HEADS.get(column["name"], column["name"][:5]) for column in columns]
    return f"  {'':<{_NAME_WIDTH}}" + " ".join(f"{head:<{_get_width(head)}}" for head in heads) + " layers"


def _get_width(head: str) -> int:
    return max(4, len(head))


def _render_row(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str:
    signs = []
    for column in columns:
        cell = _get_cell(row, column)
        sign = _SIGN[cell["outcome"]] + (_LOGGED if cell["outcome"] == "blocked" and cell["logged"] else "")
        signs.append(f"{sign:<{_get_width(_HEADS.get(column['name'], column['name'][:5]))}}")
    return f"  {row['name']:<{_NAME_WIDTH}}" + " ".join(signs) + (f" {row['layers']}" if row["conclusive"] else " inconclusive")


def _get_cell(row: Mapping[str, Any], column: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a cell of the row. Not every configuration runs every attack."""
    cell: Mapping[str, Any] = row["cells"].get(column["name"], _NOT_RUN)
    return cell


def _choose_colour(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str | None:
    """Return red if the attack succeeds against all layers together; otherwise the colour shows whether several layers stop it alone."""
    if not row["conclusive"]:
        return "dark gray"
    last = _get_cell(row, columns[-1])["outcome"]
    if last == "succeeded":
        return "red"
    return "green" if last == "blocked" and row["layers"] > 1 else "yellow"


def _render_notes(matrix: Mapping[str, Any]) -> Iterator[Line]:
    columns, rows = matrix["configurations"], matrix["attacks"]
    for column in columns:
        if column["problem"]:
            yield from wrap_text(f"  ? {column['title']}: ", column["problem"], "yellow")
    for general, attacks in _group_inconclusive(rows).items():
        if len(attacks) == 1:
            name, particular = attacks[0]
            yield from wrap_text(f"  - {name}: ", ": ".join(filter(None, (general, particular))), None)
        else:
            yield from wrap_text("  - ", f"{general}:", None)
            yield from wrap_text("    ", ", ".join(f"{name} ({particular})" for name, particular in attacks), None)
    for column in (c for c in columns if c["kind"] == "together" and c["name"] != "engine"):
        succeeded = [row["name"] for row in rows if _get_cell(row, column)["outcome"] == "succeeded"]
        if succeeded:
            yield from wrap_text(f"  ! these succeed with {column['title']}: ", ", ".join(succeeded), "yellow")
    if matrix["log"]["error"]:
        yield from wrap_text("  ? ", matrix["log"]["error"], "yellow")
    else:
        yield from wrap_text("  i ", describe_logged(rows), None)
    if matrix.get("counters"):
        yield from wrap_text("  i ", matrix["counters"]["error"] or describe_traced(rows), None)


def _group_inconclusive(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Return the common part of a reason -> the inconclusive attacks with it, each with the rest of its reason."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in (r for r in rows if not r["conclusive"]):
        general, unused, particular = row["reason"].partition(": ")
        found.setdefault(general, []).append((row["name"], particular))
    return found


def describe_logged(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of the stopped attempts the kernel logged, and why it did not log the others."""
    stopped = [cell for row in rows for cell in row["cells"].values() if cell["outcome"] == "blocked"]
    logged = sum(bool(cell["logged"]) for cell in stopped)
    reasons = dict.fromkeys(reason for cell in stopped for reason in (cell.get("silent") or "").split("; ") if reason)
    return f"the kernel logged {logged} of {len(stopped)} stopped attempts" + (f"; not logged: {'; '.join(reasons)}" if reasons else "")


def describe_traced(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of the stopped attempts left a counted denial that names the container and one of its layers, and which left none."""
    stopped = [(row["name"], column, cell) for row in rows for column, cell in row["cells"].items() if cell["outcome"] == "blocked"]
    missing: dict[str, list[str]] = {}
    for name, column, cell in stopped:
        if not cell.get("traced"):
            missing.setdefault(name, []).append(column)
    text = f"the kernel counted {sum(bool(cell.get('traced')) for _name, _column, cell in stopped)} of {len(stopped)} stopped attempts"
    text += " with their container and layer"
    without = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in missing.items())
    return text + (f"; not counted: {without}" if without else "")
