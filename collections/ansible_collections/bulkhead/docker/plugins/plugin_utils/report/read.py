# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the reports of single hosts that `report_layers`, `report_attacks` and `report_denials` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .policy import load_policy
from .text import escape_hidden, escape_value

KINDS = ("verify", "attack", "denials")


@dataclass
class Reports:
    """The reports of a folder, every string escaped. verify, attack, denials: by host. problems: one message per file that is not a report."""

    verify: dict[str, dict[str, Any]] = field(default_factory=dict)
    attack: dict[str, dict[str, Any]] = field(default_factory=dict)
    denials: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_reports(folder: Path) -> Reports:
    """Return every `verify-HOST.json`, `attack-HOST.json` and `denials-HOST.json`. An invalid file becomes a problem, so its host does not count."""
    reports = Reports()
    for kind in KINDS:
        found = getattr(reports, kind)
        for path in sorted(folder.glob(f"{kind}-*.json")):
            try:
                report = _check_report(kind, json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                reports.problems.append(f"{escape_hidden(str(path))} is not a report: {escape_hidden(str(error))}")
                continue
            found[report["host"]] = report
    return reports


def read_report(folder: Path, kind: str, host: str) -> dict[str, Any] | None:
    """Return the report of one host; None if there is no valid one."""
    try:
        return _check_report(kind, json.loads((folder / f"{kind}-{host}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def get_report_time(report: Mapping[str, Any]) -> float:
    """Return when a report was written, in seconds since the epoch, by the control node's clock."""
    return datetime.fromisoformat(report["written"]).timestamp()


def _check_report(kind: str, content: Any) -> dict[str, Any]:
    """Return the report, escaped. Raises ValueError with what it lacks."""
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    for key in ("host", "written"):
        if not isinstance(content.get(key), str):
            raise ValueError(f"no {key}")
    get_report_time(content)
    verification = content.get("verification")
    if verification is not None:
        _check_verification(verification)
    if kind == "attack":
        _check_matrix(content)
    elif kind == "denials":
        _check_denials(content)
    else:
        _check_run(content)
    for change in _get_mappings(content, "drift") if content.get("drift") is not None else ():
        _require_texts(change, "a change", "layer", "summary")
    report: dict[str, Any] = escape_value(content)
    return report


def _check_verification(verification: Any) -> None:
    """Check what every user of a verification relies on. Raises ValueError."""
    if not isinstance(verification, dict):
        raise ValueError("verification is not a mapping")
    if not verification:
        return  # the last verification has no result
    _check_findings(verification)
    for engine in _get_mappings(verification, "engines") if "engines" in verification else ():
        _require_texts(engine, "an engine", "kind", "user")
        for container in _get_mappings(engine, "containers") if "containers" in engine else ():
            _require_texts(container, "a container of an engine", "name")
            _check_usage(container)
    for control in _get_mappings(verification, "controls") if "controls" in verification else ():
        _check_control(control)
    for layer in _get_mappings(verification, "layers"):
        _require_texts(layer, "a layer", "layer", "status", "requirement", "expected")
        _check_layer(layer)
    for container in _get_mappings(verification, "containers"):
        _require_texts(container, "a container", "name", "id", "image")
        _check_findings(container)
        for key in ("opted_out", "disagreements"):
            if not isinstance(container.get(key), list) or not all(isinstance(entry, str) for entry in container[key]):
                raise ValueError(f"{key} of container {container['name']} is not a list of texts")
        for entry in _get_mappings(container, "exposures") if "exposures" in container else ():
            _require_texts(entry, "an exposure of a container", "id", "kind", "object", "severity", "text", "source")
            if "value" not in entry:
                raise ValueError(f"exposure {entry['id']} has no value")
        _check_usage(container)
        for setting in _get_mappings(container, "settings") if "settings" in container else ():
            _require_texts(setting, "a setting of a container", "setting", "status", "source")
        for layer in _get_mappings(container, "layers"):
            _require_texts(layer, "a layer of a container", "layer", "status")
            _check_layer(layer)


def _check_control(control: Mapping[str, Any]) -> None:
    """Check what reports rely on in a control; reports of earlier versions have none. Raises ValueError."""
    _require_texts(control, "a control", "control", "title", "status", "reason", "remedy")
    if not isinstance(control.get("level"), int):
        raise ValueError(f"control {control['control']} has no level")
    if not all("source" in piece and "value" in piece for piece in _get_mappings(control, "evidence")):
        raise ValueError(f"evidence of {control['control']} has no source or no value")
    for part in _get_mappings(control, "findings"):
        _require_texts(part, f"a finding of {control['control']}", "container", "finding")


def _check_usage(container: Mapping[str, Any]) -> None:
    """Check what a container used of its limits; reports of earlier versions lack it. Raises ValueError."""
    usage = container.get("usage", {})
    parts = list(usage.values()) if isinstance(usage, dict) else [None]
    for part in parts:
        if not isinstance(part, dict) or not all(key == "source" or isinstance(value, int | None) for key, value in part.items()):
            raise ValueError(f"usage of container {container['name']} is not a mapping of mappings of numbers")


def _check_run(report: Mapping[str, Any]) -> None:
    """Check what a report says of the run that wrote it; reports of earlier versions lack it. Raises ValueError."""
    if "failure" in report:
        if not isinstance(report["failure"], dict):
            raise ValueError("failure is not a mapping")
        _require_texts(report["failure"], "failure", "task", "msg")
    if "policy" in report:
        load_policy(report["policy"])
    for key in ("exposed", "allowed", "allowed_unused", "waived"):
        for entry in _get_mappings(report, key) if key in report else ():
            _require_texts(entry, f"an entry of {key}", "container", "finding" if key == "waived" else "kind")
    unread = report.get("exposures_unknown", [])
    if not isinstance(unread, list) or not all(isinstance(name, str) for name in unread):
        raise ValueError("exposures_unknown is not a list of texts")
    for key, kind, name in (("problem", str, "a text"), ("not_enforced", list, "a list"), ("expected", dict, "a mapping")):
        if key in report and not isinstance(report[key], kind):
            raise ValueError(f"{key} is not {name}")


def _check_layer(layer: Mapping[str, Any]) -> None:
    if not all("source" in piece and "value" in piece for piece in _get_mappings(layer, "evidence")):
        raise ValueError(f"evidence of {layer['layer']} has no source or no value")
    _check_findings(layer)


def _check_findings(owner: Mapping[str, Any]) -> None:
    for finding in _get_mappings(owner, "findings"):
        _require_texts(finding, "a finding", "id", "text", "remedy")
        if not isinstance(finding.get("status"), str | None):
            raise ValueError(f"the status of finding {finding['id']} is not a text")
        identifiers = finding.get("exposures", [])
        if not isinstance(identifiers, list) or not all(isinstance(identifier, str) for identifier in identifiers):
            raise ValueError(f"the exposures of finding {finding['id']} are not a list of texts")


def _check_matrix(report: Mapping[str, Any]) -> None:
    """Check a report of module attack_matrix. Raises ValueError."""
    matrix = report.get("matrix")
    if not isinstance(matrix, dict) or not isinstance(report.get("unmet"), list):
        raise ValueError("no matrix, or no list unmet")
    if not matrix and isinstance(report.get("error"), str):
        return  # the last attack run has no result
    for column in _get_mappings(matrix, "configurations"):
        _require_texts(column, "a configuration", "name", "title", "kind")
    for attack in _get_mappings(matrix, "attacks"):
        _require_texts(attack, "an attack", "name", "family", "about")
        if not isinstance(attack.get("cells"), dict) or not isinstance(attack.get("stopped_by"), list):
            raise ValueError(f"attack {attack['name']} has no cells, or no list stopped_by")
        for name, cell in attack["cells"].items():
            if not isinstance(cell, dict) or not isinstance(cell.get("outcome"), str):
                raise ValueError(f"attack {attack['name']} has no outcome under {name}")


def _check_denials(report: Mapping[str, Any]) -> None:
    """Check a report of module denials_info. Raises ValueError."""
    info = report.get("denials_info")
    if not isinstance(info, dict):
        raise ValueError("no mapping denials_info")
    if not info:
        return
    _require_numbers(info, "denials_info", "since", "total")
    for entry in _get_mappings(info, "denials"):
        _require_texts(entry, "a denial", "layer", "operation", "detail", "comm", "scope", "by")
        _require_numbers(entry, "a denial", "count", "first", "last")
        if not isinstance(entry.get("candidates"), list) or not isinstance(entry.get("container"), dict | None) or "profile" not in entry:
            raise ValueError("a denial has no candidates, no container or no profile")
        if not isinstance(entry.get("denied"), bool) or not isinstance(entry.get("new", False), bool):
            raise ValueError("a denial has no boolean denied, or new is not one")
    for gap in _get_mappings(info, "gaps"):
        _require_texts(gap, "a gap", "kind", "text")
        if not all(isinstance(gap.get(key), int | float | None) for key in ("from", "to", "lost")):
            raise ValueError(f"a gap ({gap['kind']}) has no time")


def _require_numbers(owner: Mapping[str, Any], what: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(owner.get(key), int | float):
            raise ValueError(f"{what} has no {key}")


def _require_texts(owner: Mapping[str, Any], what: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(owner.get(key), str):
            raise ValueError(f"{what} has no {key}")


def _get_mappings(owner: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = owner.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"{key} is not a list of mappings")
    return found
