# SPDX-License-Identifier: GPL-3.0-or-later
"""Who knocks on which wall: the denials of a fleet's hosts, for the page, the metrics and the terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..terminal import Line, wrap_text
from .fleet import GONE, Fleet, HostState
from .read import get_report_time
from .text import format_age

# So many rows stand on the page, those that came most often; denials-HOST.json has them all.
SHOWN = 500
_SHOWN_GAPS = 200
_BY = {"pid": "the process lives there", "profile": "no other had the profile", "alone": "no other ran then"}


def fresh(host: HostState, fleet: Fleet) -> Mapping[str, Any] | None:
    """What was heard on the host; None where nothing was, or too long ago to count."""
    report = host.denials
    if not report or not report["denials_info"] or host.condition == GONE or fleet.now - get_report_time(report) > fleet.stale_seconds:
        return None
    heard: Mapping[str, Any] = report["denials_info"]
    return heard


def of_fleet(fleet: Fleet) -> dict[str, Any]:
    """`rows` and `more` (how many rows beyond them), `gaps`, and `silent`: hosts of which nothing recent is known, each with why; all for the page."""
    rows, gaps, silent = [], [], []
    for host in fleet.hosts:
        if not host.denials or host.condition == GONE:
            continue
        heard = fresh(host, fleet)
        if heard is None:
            why = host.denials.get("error") or f"last looked at {format_age(fleet.now - get_report_time(host.denials))} ago"
            silent.append({"host": host.name, "why": why})
            continue
        rows += [_row(host.name, entry) for entry in heard["denials"]]
        gaps += [
            {"host": host.name, "kind": gap["kind"], "text": gap["text"], "when": _span(gap["from"], gap["to"])} for gap in heard["gaps"]
        ]
    rows.sort(key=lambda row: (not row["refused"], -row["count"], row["host"]))
    heard_on = sum(fresh(host, fleet) is not None for host in fleet.hosts)
    return {"rows": rows[:SHOWN], "more": max(0, len(rows) - SHOWN), "gaps": gaps[:_SHOWN_GAPS], "silent": silent, "hosts": heard_on}


def counted(heard: Mapping[str, Any]) -> Counter[tuple[str, str, str]]:
    """Refusals by layer, scope and name of the container; what was only logged is none."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in heard["denials"]:
        if entry["refused"]:
            found[entry["layer"], entry["scope"], _name(entry) if entry["scope"] == "container" else ""] += entry["count"]
    return found


def lines(host: str, heard: Mapping[str, Any]) -> list[Line]:
    """For the terminal: a line a denial, the gaps after them."""
    found: list[Line] = [(f"{host}: {heard['total']} denials since {_when(heard['since'])}", None)]
    for row in (_row(host, entry) for entry in heard["denials"]):
        sign = "x" if row["refused"] else "-"
        found += wrap_text(f"  {sign} {row['count']:>6}  ", f"{row['who']}: {row['layer']} {row['what']} by {row['comm']} ({row['known']})")
    for gap in heard["gaps"]:
        found += wrap_text("  ? ", f"{gap['kind']}: {gap['text']}", "yellow")
    return found


def _row(host: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    many = entry["candidates"]
    known = _BY.get(entry["by"], f"one of {', '.join(many)}" if many else "not known")
    return {
        "host": host,
        "who": {"container": _name(entry), "host": "the host itself"}.get(entry["scope"], "unknown"),
        "image": (entry["container"] or {}).get("image") or "",
        "known": known,
        "layer": entry["layer"],
        "refused": entry["refused"],
        "what": " ".join(part for part in (entry["operation"], entry["detail"]) if part),
        "profile": entry["profile"] or "",
        "comm": entry["comm"],
        "count": entry["count"],
        "when": _span(entry["first"], entry["last"]),
    }


def _name(entry: Mapping[str, Any]) -> str:
    container = entry["container"] or {}
    return str(container.get("name") or str(container.get("id", ""))[:12] or "unknown")


def _when(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(first: float | None, last: float | None) -> str:
    a, b = _when(first), _when(last)
    return a if a == b else f"{a or '?'} to {b or '?'}"
