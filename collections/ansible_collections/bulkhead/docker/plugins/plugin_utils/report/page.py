# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the fleet as one HTML file that needs no server, no network and no second file.

The table is plain HTML, readable without a script. The evidence is one block of JSON per host, parsed when a cell is opened, so that a thousand hosts
load fast. Jinja2 escapes data from hosts, and the script sets them as text. The page's policy (CSP) allows only the script and style with its hashes.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ...module_utils.exposures.kinds import KINDS
from ...module_utils.formatting import format_names
from ...module_utils.layers.registry import LAYERS
from ...module_utils.layers.verdict import ENFORCED, REQUIRED
from . import control_table, controls, denials
from .attack import Matrix
from .changes import HostChange
from .findings import Problem, list_problems
from .fleet import CONDITIONS, VERIFIED, Fleet, HostState
from .policy import LISTED, STATES, WAIVED, Granted, group_granted
from .text import render_value
from .verification_table import SIGN, STATE_SIGN, describe_granted

HERE = Path(__file__).parent
_LEVELS = ("error", "warning", "note")
_LABELS = {"not_applicable": "n/a"}
# The number of rows of one kind of exposure in one state; verify-HOST.json has all.
MAX_EXPOSURES = 200
# The number of containers that are written out per kind when a host is opened.
MAX_TEXTS = 5


def render(fleet: Fleet, changes: Sequence[HostChange], since: str, matrix: Matrix, version: str) -> str:
    """Return the page. changes: since the report of `since`, empty without one. version: of the collection."""
    style, script = (HERE / "page.css").read_text(encoding="utf-8"), (HERE / "page.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(render_value=render_value, format_names=format_names, cite=controls.cite_control)
    return environment.get_template("page.html.j2").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_hash_text(style)}'; script-src '{_hash_text(script)}'; base-uri 'none'; form-action 'none'",
        when=datetime.fromtimestamp(fleet.now, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version,
        size=fleet.size,
        conditions=CONDITIONS,
        counts={condition: fleet.count(condition) for condition in CONDITIONS},
        layers=[{"name": name, "title": controls.get_layer_title(name), **_count_enforced(fleet, name)} for name in fleet.layers],
        hosts=[_build_row(host, fleet.layers, matrix) for host in fleet.hosts],
        problems=fleet.problems,
        changes=changes,
        since=since,
        wrong=_group_problems(list_problems(fleet)),
        exposures=_collect_exposures(fleet),
        exposed=fleet.exposed_hosts,
        exposed_containers=sum(len(host.judgement.exposed_containers) for host in fleet.hosts if host.judgement),
        waivers=fleet.waivers,
        controls=control_table.build_table(fleet),
        opted_out=[(host, container) for host in fleet.hosts for container in host.containers],
        matrix=matrix,
        denials=denials.collect_denials(fleet),
        recordings=fleet.recordings,
        registry=[layer for layer in LAYERS if layer.judged],
        prepare=controls.load_controls()["prepare"],
        data={
            "layers": [_build_layer(name) for name in fleet.layers],
            "attack": {"columns": matrix.columns, "rows": [row["name"] for row in matrix.rows], "kinds": matrix.kinds},
            "controls": {control: controls.cite_control(control) for control in controls.load_controls()["controls"]},
        },
    )


def _build_layer(name: str) -> dict[str, str]:
    return {
        "name": name,
        "title": controls.get_layer_title(name),
        "by_hand": controls.render_commands(name),
        "by_hand_container": controls.render_commands(name, "CONTAINER"),
    }


def _build_row(host: HostState, layers: Sequence[str], matrix: Matrix) -> dict[str, Any]:
    cells = [_build_cell(host, name) for name in layers]
    found = {finding["id"] for layer in host.layers.values() for finding in layer["findings"]}
    found |= {finding["id"] for container in host.containers for finding in container["findings"]}
    granted = [entry for entry in host.judgement.granted if entry.state != LISTED] if host.judgement else []
    found |= {term for entry in granted for term in (entry.finding, f"{entry.kind}:{entry.state}", entry.container)}
    terms = [host.name, *host.groups, host.condition, *(f"{name}:{cell['status']}" for name, cell in zip(layers, cells, strict=True))]
    terms += [*sorted(found), *(container["name"] for container in host.containers)]
    return {
        "state": host,
        "rank": list(CONDITIONS).index(host.condition),
        "cells": cells,
        "terms": " ".join(terms).lower(),
        "opted_out": sum(bool(container["opted_out"]) for container in host.containers),
        "exposed": len(host.judgement.exposed_containers) if host.judgement else 0,
        "details": {**_build_details(host, layers), "attacks": matrix.picked.get(host.name, [])},
    }


def _build_cell(host: HostState, name: str) -> dict[str, Any]:
    status = host.get_status(name)
    required = host.layers.get(name, {}).get("requirement") == REQUIRED
    # The class free makes a status pale if the inventory does not require it, or waives it.
    waived = required and host.is_waived(name)
    kind = status if status == ENFORCED or (required and not waived) or name not in host.layers else f"{status} free"
    sign = SIGN.get(status, "?") + (STATE_SIGN[WAIVED] if waived else "")
    return {"status": status, "label": _LABELS.get(status, status), "sign": sign, "kind": kind}


def _build_details(host: HostState, layers: Sequence[str]) -> dict[str, Any]:
    """Return what the script shows when a cell of this host is opened."""
    return {
        "host": host.name,
        "condition": host.condition,
        "why": host.why,
        "written": host.written,
        "age": host.age,
        "groups": host.groups,
        "about": {key: str(value) for key, value in host.about.items() if value is not None},
        "running": host.running,
        "again": f"ansible-playbook -i INVENTORY bulkhead.docker.verify --limit {shlex.quote(host.name)}",
        "exposures": _describe_exposures(host),
        "findings": [_build_finding(finding, host) for finding in host.findings],
        "layers": {name: _build_evidence(host.layers[name], host) for name in layers if name in host.layers},
        "containers": [
            {
                **{key: container[key] for key in ("name", "id", "image", "opted_out", "notes")},
                "layers": {layer["layer"]: _build_evidence(layer, host, container["name"]) for layer in container["layers"]},
            }
            for container in host.containers
        ],
    }


def _describe_exposures(host: HostState) -> list[dict[str, Any]]:
    """Return one line per kind of exposure, and the texts of its first containers."""
    granted = host.judgement.granted if host.judgement else []
    return [
        {
            "line": f"{STATE_SIGN[first.state]} {describe_granted(first, names)}",
            "texts": [entry.text for entry in granted if (entry.kind, entry.state) == (first.kind, first.state)][:MAX_TEXTS]
            if first.state != LISTED
            else [],
        }
        for first, names in group_granted(granted)
    ]


def _build_evidence(layer: Mapping[str, Any], host: HostState, container: str = "") -> dict[str, Any]:
    return {
        "status": layer["status"],
        "requirement": layer.get("requirement", ""),
        "expected": layer.get("expected", ""),
        "evidence": [[piece["source"], render_value(piece["value"])] for piece in layer["evidence"]],
        "findings": [_build_finding(finding, host, container) for finding in layer["findings"]],
    }


def _build_finding(finding: Mapping[str, Any], host: HostState, container: str = "") -> dict[str, Any]:
    waiver = host.judgement.get_waiver(finding["id"], container) if host.judgement else None
    return {
        "waived": waiver.describe() if waiver else "",
        **{key: finding[key] for key in ("id", "text", "remedy")},
        "controls": controls.list_finding_controls(finding["id"]),
    }


def _count_enforced(fleet: Fleet, name: str) -> dict[str, int]:
    """Return how many verified or failing hosts require the layer, and on how many of them it is enforced."""
    required = [
        host for host in fleet.hosts if host.layers.get(name, {}).get("requirement") == REQUIRED and host.condition in (VERIFIED, "failing")
    ]
    return {"required": len(required), "enforced": sum(host.get_status(name) == ENFORCED for host in required)}


def _group_problems(found: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return each problem once with its hosts and containers, the most frequent first, then what is waived or allowed."""
    kinds: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in found:
        kinds.setdefault((problem.accepted, problem.level, problem.id), []).append(problem)
    order = sorted(kinds, key=lambda kind: (bool(kind[0]), _LEVELS.index(kind[1]), -len(kinds[kind]), kind[2], kind[0]))
    return [
        {
            "level": level,
            "id": identifier,
            "accepted": accepted,
            "first": kinds[accepted, level, identifier][0],
            "problems": kinds[accepted, level, identifier],
            "hosts": Counter(problem.host or "bulkhead_waivers" for problem in kinds[accepted, level, identifier]),
            "containers": format_names(sorted({p.container[0] for p in kinds[accepted, level, identifier] if p.container[0]})),
            "controls": sorted({control for problem in kinds[accepted, level, identifier] for control in problem.controls}),
        }
        for accepted, level, identifier in order
    ]


def _collect_exposures(fleet: Fleet) -> list[dict[str, Any]]:
    """Return each kind of exposure and state once, the worst state first: its containers, and a row per object.

    `more`: the number of rows that are left out.
    """
    found: dict[tuple[str, str], list[tuple[str, Granted]]] = {}
    for host in fleet.hosts:
        for granted in host.judgement.granted if host.judgement else ():
            found.setdefault((granted.state, granted.kind), []).append((host.name, granted))
    groups = []
    for state, kind in sorted(
        found, key=lambda key: (STATES.index(key[0]), list(KINDS).index(key[1]) if key[1] in KINDS else len(KINDS), key[1])
    ):
        pairs = found[state, kind]
        rows = [
            {
                "host": host,
                "container": granted.container,
                "object": entry.get("object", ""),
                "text": entry.get("text", granted.text),
                "source": entry.get("source", ""),
                "value": render_value(entry["value"]) if "value" in entry else "",
                "accepted": granted.waiver.describe() if granted.waiver else "",
            }
            for host, granted in pairs
            for entry in granted.entries or ({},)
        ]
        first = pairs[0][1]
        about = {"meaning": KINDS[kind].meaning if kind in KINDS else first.text, "severity": first.severity, "remedy": first.remedy}
        names = format_names(list(dict.fromkeys(granted.container for unused, granted in pairs)))
        cut = {"rows": rows[:MAX_EXPOSURES], "more": max(0, len(rows) - MAX_EXPOSURES)}
        groups.append({"kind": kind, "state": state, "sign": STATE_SIGN[state], "names": names, "number": len(pairs), **about, **cut})
    return groups


def _hash_text(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
