# SPDX-License-Identifier: GPL-3.0-or-later
"""Selects, counts and renders the denials of a fleet's hosts, for the page, the metrics and the terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..terminal import Line, wrap_text
from .fleet import GONE, Fleet, HostState
from .read import get_report_time
from .text import format_age

# The number of rows and log gaps on the page, the most frequent first; denials-HOST.json has all.
MAX_ROWS = 500
_MAX_GAPS = 200
# How a denial was attributed to its container.
_BY = {
    "pid": "the process runs there",
    "profile": "no other container had the profile",
    "alone": "no other container ran then",
    "recorder": "the recorder counted it there",
    "counters": "the kernel counted it there",
    "address": "it had that address",
}


def get_recent_denials(host: HostState, fleet: Fleet) -> Mapping[str, Any] | None:
    """Return the result of `denials_info` on the host; None without one, or if it is too old to count."""
    report = host.denials
    if not report or not report["denials_info"] or host.condition == GONE or fleet.now - get_report_time(report) > fleet.stale_seconds:
        return None
    info: Mapping[str, Any] = report["denials_info"]
    return info


def collect_denials(fleet: Fleet) -> dict[str, Any]:
    """Return what the page shows of all hosts.

    `rows`, and `more`, the number of rows that are left out. `gaps`. `silent`: hosts without recent denials, each with the reason. `hosts`: the number of
    the others.
    """
    rows, gaps, silent = [], [], []
    for host in fleet.hosts:
        if not host.denials or host.condition == GONE:
            continue
        info = get_recent_denials(host, fleet)
        if info is None:
            why = host.denials.get("error") or f"last collected {format_age(fleet.now - get_report_time(host.denials))} ago"
            silent.append({"host": host.name, "why": why})
            continue
        rows += [_build_row(host.name, entry) for entry in info["denials"]]
        gaps += [
            {"host": host.name, "kind": gap["kind"], "text": gap["text"], "when": _format_span(gap["from"], gap["to"])}
            for gap in info["gaps"]
        ]
    rows.sort(key=lambda row: (not row["new"], not row["denied"], -row["count"], row["host"]))
    hosts = sum(get_recent_denials(host, fleet) is not None for host in fleet.hosts)
    return {"rows": rows[:MAX_ROWS], "more": max(0, len(rows) - MAX_ROWS), "gaps": gaps[:_MAX_GAPS], "silent": silent, "hosts": hosts}


def count_denials(info: Mapping[str, Any], only_new: bool = False) -> Counter[tuple[str, str, str]]:
    """Return the number of denials by layer, scope and name of the container. Operations that were logged and allowed do not count."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in info["denials"]:
        if entry["denied"] and (_is_new(entry) or not only_new):
            found[entry["layer"], entry["scope"], _get_container_name(entry) if entry["scope"] == "container" else ""] += entry["count"]
    return found


def count_new(info: Mapping[str, Any]) -> int:
    """Return the number of denied operations that are new for their service."""
    return sum(entry["count"] for entry in info.get("denials", ()) if _is_new(entry))


def render_denials(host: str, info: Mapping[str, Any]) -> list[Line]:
    """Return one line per denial for the terminal, new ones first, then the log gaps."""
    new = count_new(info)
    title = f"{host}: {info['total']} denials since {_format_time(info['since'])}" + (f", {new} of them new" if new else "")
    found: list[Line] = [(title, None)]
    for row in sorted((_build_row(host, entry) for entry in info["denials"]), key=lambda row: not row["new"]):
        sign = "x" if row["denied"] else "-"
        text = f"{row['who']}: {row['layer']} {row['what']} by {row['comm']} ({row['known']})"
        found += wrap_text(f"  {sign} {row['count']:>6}  ", ("new: " if row["new"] else "") + text, "red" if row["new"] else None)
    for gap in info["gaps"]:
        found += wrap_text("  ? ", f"{gap['kind']}: {gap['text']}", "yellow")
    return found


def _build_row(host: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    candidates = entry["candidates"]
    known = _BY.get(entry["by"], f"one of {', '.join(candidates)}" if candidates else "not known")
    return {
        "host": host,
        "who": {"container": _get_container_name(entry), "host": "the host itself"}.get(entry["scope"], "unknown"),
        "image": (entry["container"] or {}).get("image") or "",
        "known": known,
        "layer": entry["layer"],
        "denied": entry["denied"],
        "new": _is_new(entry),
        "what": " ".join(part for part in (entry["operation"], entry["detail"]) if part),
        "profile": entry["profile"] or "",
        "comm": entry["comm"],
        "count": entry["count"],
        "when": _format_span(entry["first"], entry["last"]),
    }


def _is_new(entry: Mapping[str, Any]) -> bool:
    """Return whether an operation was denied that is new for its service. Reports of earlier versions do not say so."""
    return bool(entry["denied"] and entry.get("new", False))


def _get_container_name(entry: Mapping[str, Any]) -> str:
    container = entry["container"] or {}
    return str(container.get("name") or str(container.get("id", ""))[:12] or "unknown")


def _format_time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _format_span(first: float | None, last: float | None) -> str:
    start, end = _format_time(first), _format_time(last)
    return start if start == end else f"{start or '?'} to {end or '?'}"
