# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of single hosts in a folder, as `report_layers`, `report_attacks` and `report_denials` wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .text import cleaned, visible

KINDS = ("verify", "attack", "denials")


@dataclass
class Reports:
    """verify, attack, denials: by host, as they were written, every string made visible. problems: a sentence for each file that is no report."""

    verify: dict[str, dict[str, Any]] = field(default_factory=dict)
    attack: dict[str, dict[str, Any]] = field(default_factory=dict)
    denials: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(folder: Path) -> Reports:
    """Every `verify-HOST.json`, `attack-HOST.json` and `denials-HOST.json`; one that can't be read becomes a problem, and its host is not a good one."""
    reports = Reports()
    for kind in KINDS:
        found = getattr(reports, kind)
        for path in sorted(folder.glob(f"{kind}-*.json")):
            try:
                report = _checked(kind, json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                reports.problems.append(f"{visible(str(path))} is not a report: {visible(str(error))}")
                continue
            found[report["host"]] = report
    return reports


def one(folder: Path, kind: str, host: str) -> dict[str, Any] | None:
    """The report of one host; None where there is none that can be read."""
    try:
        return _checked(kind, json.loads((folder / f"{kind}-{host}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def written(report: Mapping[str, Any]) -> float:
    """When a report was written, in seconds since the epoch, by the control node's clock."""
    return datetime.fromisoformat(report["written"]).timestamp()


def _checked(kind: str, content: Any) -> dict[str, Any]:
    """The report, cleaned. Raises ValueError with what it lacks."""
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    for key in ("host", "written"):
        if not isinstance(content.get(key), str):
            raise ValueError(f"no {key}")
    written(content)
    verification = content.get("verification")
    if verification is not None:
        _check_verification(verification)
    if kind == "attack":
        _check_matrix(content)
    elif kind == "denials":
        _check_denials(content)
    else:
        _check_run(content)
    for change in _mappings(content, "drift") if content.get("drift") is not None else ():
        _texts(change, "a change", "layer", "summary")
    report: dict[str, Any] = cleaned(content)
    return report


def _check_verification(verification: Any) -> None:
    """What everybody who builds on a verification takes for granted. Raises ValueError."""
    if not isinstance(verification, dict):
        raise ValueError("verification is not a mapping")
    if not verification:
        return  # nothing came of the try
    _check_findings(verification)
    for engine in _mappings(verification, "engines") if "engines" in verification else ():
        _texts(engine, "an engine", "kind", "user")
    for layer in _mappings(verification, "layers"):
        _texts(layer, "a layer", "layer", "status", "requirement", "expected")
        _check_layer(layer)
    for container in _mappings(verification, "containers"):
        _texts(container, "a container", "name", "id", "image")
        _check_findings(container)
        for key in ("opted_out", "disagreements"):
            if not isinstance(container.get(key), list) or not all(isinstance(entry, str) for entry in container[key]):
                raise ValueError(f"{key} of container {container['name']} is not a list of texts")
        for demand in _mappings(container, "settings") if "settings" in container else ():
            _texts(demand, "a demand on a container", "setting", "status", "source")
        for layer in _mappings(container, "layers"):
            _texts(layer, "a layer of a container", "layer", "status")
            _check_layer(layer)


def _check_run(report: Mapping[str, Any]) -> None:
    """The same of what a report says of the run that wrote it; reports of earlier versions say nothing."""
    if "failure" in report:
        if not isinstance(report["failure"], dict):
            raise ValueError("failure is not a mapping")
        _texts(report["failure"], "failure", "task", "msg")
    for key, kind in (("problem", str), ("not_enforced", list), ("expected", dict)):
        if key in report and not isinstance(report[key], kind):
            raise ValueError(f"{key} is not what it should be")


def _check_layer(layer: Mapping[str, Any]) -> None:
    if not all("source" in piece and "value" in piece for piece in _mappings(layer, "evidence")):
        raise ValueError(f"evidence of {layer['layer']} has no source or no value")
    _check_findings(layer)


def _check_findings(where: Mapping[str, Any]) -> None:
    for finding in _mappings(where, "findings"):
        _texts(finding, "a finding", "id", "text", "remedy")
        if not isinstance(finding.get("status"), str | None):
            raise ValueError(f"the status of finding {finding['id']} is not a text")


def _check_matrix(report: Mapping[str, Any]) -> None:
    """The same of an attack matrix (module attack_matrix)."""
    matrix = report.get("matrix")
    if not isinstance(matrix, dict) or not isinstance(report.get("unmet"), list):
        raise ValueError("no matrix, or no list unmet")
    if not matrix and isinstance(report.get("error"), str):
        return  # nothing came of the try
    for column in _mappings(matrix, "configurations"):
        _texts(column, "a configuration", "name", "title", "kind")
    for attack in _mappings(matrix, "attacks"):
        _texts(attack, "an attack", "name", "family", "about")
        if not isinstance(attack.get("cells"), dict) or not isinstance(attack.get("stopped_by"), list):
            raise ValueError(f"attack {attack['name']} has no cells, or no list stopped_by")
        for name, cell in attack["cells"].items():
            if not isinstance(cell, dict) or not isinstance(cell.get("outcome"), str):
                raise ValueError(f"attack {attack['name']} has no outcome under {name}")


def _check_denials(report: Mapping[str, Any]) -> None:
    """The same of what was heard of blockers (module denials_info)."""
    heard = report.get("denials_info")
    if not isinstance(heard, dict):
        raise ValueError("no mapping heard")
    if not heard:
        return
    _numbers(heard, "what was heard", "since", "total")
    for entry in _mappings(heard, "denials"):
        _texts(entry, "a denial", "layer", "operation", "detail", "comm", "scope", "by")
        _numbers(entry, "a denial", "count", "first", "last")
        if not isinstance(entry.get("candidates"), list) or not isinstance(entry.get("container"), dict | None) or "profile" not in entry:
            raise ValueError("a denial has no candidates, no container or no profile")
        if not isinstance(entry.get("refused"), bool):
            raise ValueError("a denial does not say whether it is one")
    for gap in _mappings(heard, "gaps"):
        _texts(gap, "a gap", "kind", "text")
        if not all(isinstance(gap.get(key), int | float | None) for key in ("from", "to", "lost")):
            raise ValueError(f"a gap ({gap['kind']}) has no time")


def _numbers(where: Mapping[str, Any], what: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(where.get(key), int | float):
            raise ValueError(f"{what} has no {key}")


def _texts(where: Mapping[str, Any], what: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(where.get(key), str):
            raise ValueError(f"{what} has no {key}")


def _mappings(where: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = where.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"{key} is not a list of mappings")
    return found
