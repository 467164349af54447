# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the generated parts of docs/services.md: the table of results, and the examples for hardened_container_list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab import paths
from services.data import SETTINGS, STACKED, TableService, build_entry

PAGE = paths.REPOSITORY / "docs/services.md"
TABLE, EXAMPLES = "<!-- table -->", "<!-- examples -->"


def save_results(path: Path, suite: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add results to those of earlier runs on the same suite."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for setting, by_service in results.items():
        known.setdefault(suite, {}).setdefault(setting, {}).update(by_service)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1), encoding="utf-8")


def write_page(services: Mapping[str, TableService], results: Mapping[str, Any], suite: str, page: Path = PAGE) -> None:
    """Write both generated parts of the page."""
    text = replace_part(page.read_text(encoding="utf-8"), TABLE, render_table(services, results.get(suite, {})))
    page.write_text(replace_part(text, EXAMPLES, render_examples(services)), encoding="utf-8")


def replace_part(text: str, marker: str, part: str) -> str:
    """Return the page with the part between two markers replaced. Raises ValueError without two markers."""
    parts = text.split(marker)
    if len(parts) != 3:
        raise ValueError(f"{PAGE}: has {len(parts) - 1} lines {marker}; write two")
    return f"{parts[0]}{marker}\n\n{part}\n\n{marker}{parts[2]}"


def render_table(services: Mapping[str, TableService], results: Mapping[str, Any]) -> str:
    """Return the table of results: one row per service. Every figure is of these results."""
    lines = [
        f"| service | version | {' | '.join(SETTINGS.values())} | tasks idle | PIDs peak |",
        f"|---|---|{'---|' * len(SETTINGS)}---|---|",
    ]
    failures = []
    for name, service in services.items():
        found = {setting: results.get(setting, {}).get(name) for setting in SETTINGS}
        cells = [_describe(service, setting, entry) for setting, entry in found.items()]
        measured = [entry for entry in found.values() if entry and entry["ok"]]
        peaks = [entry["pids.peak"] for entry in measured]
        version = next((entry["version"] for entry in found.values() if entry), "")
        # The idle figure of the first setting in which it works: threads do not depend on the setting.
        idle = str(measured[0]["idle"]) if measured else ""
        lines.append(f"| {service.title} | {version} | {' | '.join(cells)} | {idle} | {max(peaks) if peaks else ''} |")
        failures += [f"- {service.title}, {SETTINGS[s]}: {_clean(e['problem'])}" for s, e in found.items() if e and not e["ok"]]
    loads = [
        f"- {service.title}: {service.load['text']}, {entry['load']['tasks']} tasks ({SETTINGS[setting]})."
        for name, service in services.items()
        for setting in SETTINGS
        if (entry := results.get(setting, {}).get(name)) and entry["ok"] and entry.get("load")
    ]
    baseline = results.get("baseline", {})
    limits = [
        f"- {service.title}: {_clean(baseline[name]['without_nofile'])}"
        for name, service in services.items()
        if baseline.get(name, {}).get("without_nofile")
    ]
    parts = ["\n".join(lines)]
    parts += ["Without a limit of open files, on the engine as installed:\n\n" + "\n".join(limits)] if limits else []
    parts += ["Under load:\n\n" + "\n".join(loads)] if loads else []
    parts += ["Failures:\n\n" + "\n".join(failures)] if failures else []
    remarks = [f"- {service.title}: {service.remarks}" for service in services.values() if service.remarks]
    parts += ["Remarks:\n\n" + "\n".join(remarks)] if remarks else []
    return "\n\n".join(parts)


def _describe(service: TableService, setting: str, entry: Mapping[str, Any] | None) -> str:
    if setting == STACKED and not service.stacked:
        return "needs root"
    if entry is None:
        return "untested"
    return "works" if entry["ok"] else "fails"


def _clean(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:160]


def render_examples(services: Mapping[str, TableService]) -> str:
    """Return the entries of hardened_container_list with which the services ran."""
    entries = []
    for name, service in services.items():
        if service.stacked:
            entries.append({**build_entry(service, f"registry.example/{name}:1"), "name": name})
    lines = yaml.safe_dump({"hardened_container_list": entries}, sort_keys=False, width=96, allow_unicode=True).splitlines()
    return "```yaml\n" + "\n".join(lines) + "\n```"
