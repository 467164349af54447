# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders SARIF 2.1.0 (OASIS standard, errata 01) for dashboards that collect findings of many tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from . import controls
from .findings import Problem, list_problems
from .fleet import Fleet

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(fleet: Fleet, version: str) -> str:
    """Return the JSON text. version: of the collection."""
    found = list_problems(fleet)
    cited = sorted({control for problem in found for control in problem.controls})
    rules = {problem.id: problem for problem in found}
    run = {
        "tool": {
            "driver": {
                "name": "Bulkhead",
                "semanticVersion": version,
                "rules": [_build_rule(rules[identifier], found) for identifier in sorted(rules)],
                "supportedTaxonomies": [{"name": about["name"]} for about in _select_catalogs(cited).values()],
            }
        },
        "taxonomies": [
            {
                "name": about["name"],
                "version": about["version"],
                "organization": catalog,
                "taxa": [
                    {"id": c, "shortDescription": {"text": controls.load_controls()["controls"][c]}}
                    for c in cited
                    if c.startswith(f"{catalog}-")
                ],
            }
            for catalog, about in _select_catalogs(cited).items()
        ],
        "results": [_build_result(problem) for problem in found],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _select_catalogs(cited: Iterable[str]) -> dict[str, Any]:
    used = {control.partition("-")[0] for control in cited}
    return {catalog: about for catalog, about in controls.load_controls()["catalogs"].items() if catalog in used}


def _build_rule(problem: Problem, found: Iterable[Problem]) -> dict[str, Any]:
    cited = sorted({control for other in found if other.id == problem.id for control in other.controls})
    catalogs = controls.load_controls()["catalogs"]
    rule: dict[str, Any] = {
        "id": problem.id,
        "shortDescription": {"text": problem.id.replace("_", " ").replace(".", ": ")},
        "relationships": [
            {"target": {"id": control, "toolComponent": {"name": catalogs[control.partition("-")[0]]["name"]}}, "kinds": ["relevant"]}
            for control in cited
        ],
        "properties": {"tags": ["security", *cited]},
    }
    if problem.remedy:
        rule["help"] = {"text": problem.remedy}
    return rule


def _build_result(problem: Problem) -> dict[str, Any]:
    name, identifier = problem.container
    place = "/".join(part for part in (problem.host or "bulkhead_waivers", f"containers/{name}" if name else "", problem.layer) if part)
    # Identifies a finding across runs. Its text contains numbers that change with each start.
    same = "\n".join((problem.host, problem.id, name, problem.layer))
    file = f"verify-{problem.host}.json" if problem.host else "fleet.json"
    # SARIF 2.1.0, 3.27.23: all results of a run have the property, or none. An empty array means that the result is not suppressed.
    accepted = [{"kind": "external", "status": "accepted", "justification": problem.accepted}] if problem.accepted else []
    return {
        "ruleId": problem.id,
        "level": problem.level,
        "message": {"text": f"{problem.host}: {problem.text}" if problem.host else problem.text},
        "suppressions": accepted,
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(file)}},
                "logicalLocations": [{"fullyQualifiedName": place, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"bulkhead/v1": hashlib.sha256(same.encode()).hexdigest()},
        "properties": {
            "host": problem.host,
            "layer": problem.layer,
            "container": identifier,
            "controls": list(problem.controls),
            "remedy": problem.remedy,
            "evidence": [{"source": source, "value": value} for source, value in problem.evidence],
        },
    }
