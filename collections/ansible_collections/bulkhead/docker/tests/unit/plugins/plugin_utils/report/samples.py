# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds minimal reports of hosts, and one with the most hostile strings that a container can produce."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import FORBIDDEN

NOW = 1_800_000_000.0
DAY = 86400.0
# Markup, the end of an attribute and of a script, a template, a terminal escape, a change of writing direction, characters that XML does not allow.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}]]>\x1b[31m\x00\u202etxt.exe\ufffe\ud800"


def format_time(seconds_ago: float = 60) -> str:
    return datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat(timespec="seconds")


def make_layer(name: str, status: str = "enforced", requirement: str = "required", **more: Any) -> dict[str, Any]:
    evidence = [{"source": f"/proc/1/{name}", "value": [[0, 231072, 65536]]}]
    return {
        "layer": name, "status": status, "requirement": requirement, "expected": "it is enforced", "evidence": evidence, "findings": [], **more,
    }  # fmt: skip


def make_finding(
    identifier: str, text: str = "it is wrong", status: str | None = "absent", remedy: str = "make it right"
) -> dict[str, Any]:
    return {"id": identifier, "text": text, "status": status, "remedy": remedy}


def make_container(name: str = "web", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "id": "c0ffee" * 10 + "beef", "image": "nginx", "pid": 1, "layers": [], "opted_out": [], "disagreements": [], "findings": [], **more,
    }  # fmt: skip


def make_exposure(kind: str = "engine_socket", target: str = "/run/docker.sock", **more: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}:{target}", "kind": kind, "object": target, "severity": "critical", "text": f"it has {target}", "source": "/proc/1/mountinfo",
        "value": target, **more,
    }  # fmt: skip


def make_exposed(name: str = "web", *kinds: str, **more: Any) -> dict[str, Any]:
    """Return a container with one exposure of each kind, and its finding. Default: the engine's socket."""
    entries = [make_exposure(kind) for kind in kinds or ("engine_socket",)]
    findings = [
        {**make_finding(f"container.{e['kind']}", f"container {name} {e['text']}", "degraded"), "exposures": [e["id"]]} for e in entries
    ]
    return make_container(name, exposures=entries, findings=findings, **more)


def make_control(number: str = "CIS-2.14", status: str = "fail", reason: str = HOSTILE, **more: Any) -> dict[str, Any]:
    failing = [{"container": "", "finding": ""}] if status == "fail" else []
    about = {"control": number, "level": 2, "title": "logs leave the host", "remedy": "set log-driver"}
    return {
        **about,
        "status": status,
        "reason": reason,
        "evidence": [{"source": "docker info", "value": HOSTILE}],
        "findings": failing,
        **more,
    }


def make_policy(*waivers: dict[str, str], forbid: Any = FORBIDDEN, allow: Any = None, required: Any = ()) -> dict[str, Any]:
    """Return the policy as a report keeps it."""
    accepted = [{"host": "", "container": "", **waiver} for waiver in waivers]
    return {"forbid": list(forbid), "waivers": accepted, "allow": allow or {}, "required_controls": list(required)}


def make_waiver(finding: str = "container.engine_socket", until: str = "2099-12-31", **more: str) -> dict[str, str]:
    return {"finding": finding, "reason": "it is needed", "until": until, **more}


def make_verification(
    host: str, *layers: dict[str, Any], ago: float = 60, containers: Any = (), probe: bool = True, controls: Any = (), **more: Any
) -> dict[str, Any]:
    verification = {
        "probe": probe,
        "at": NOW,
        "host": {"kernel": "6.12", "version": "26.1"},
        "layers": list(layers) or [make_layer("seccomp"), make_layer("userns")],
        "containers": list(containers),
        "controls": list(controls),
        "findings": [],
    }
    return {"host": host, "written": format_time(ago), "verification": verification, **more}


def make_unreachable(host: str, ago: float = 60) -> dict[str, Any]:
    return {"host": host, "written": format_time(ago), "enforced": False, "unreachable": True, "error": "no route", "verification": {}}


def make_attack(host: str, outcomes: dict[str, dict[str, str]], ago: float = 60, unmet: Any = ()) -> dict[str, Any]:
    """outcomes: attack -> configuration -> outcome."""
    columns = list(next(iter(outcomes.values())))
    kinds = {"none": "baseline", "host": "together", "stacked": "together"}
    matrix = {
        "subject": "host",
        "configurations": [{"name": c, "title": c, "kind": kinds.get(c, "alone"), "layers": [], "problem": ""} for c in columns],
        "attacks": [
            {
                "name": name,
                "family": "kernel",
                "about": f"does {name}",
                "foothold": "",
                "stopped_by": [c for c in columns if cells[c] == "blocked" and c not in kinds],
                "cells": {c: {"outcome": cells[c], "errno": "EPERM", "step": "call", "log": [f"pid={host}"]} for c in columns},
            }
            for name, cells in outcomes.items()
        ],
    }
    return {"host": host, "written": format_time(ago), "unmet": list(unmet), "required": {}, "matrix": matrix}


def make_denial(name: str | None = "web", scope: str = "container", **more: Any) -> dict[str, Any]:
    container = {"id": "c0ffee" * 10 + "beef", "name": name, "image": "nginx"} if scope == "container" else None
    return {
        "layer": "apparmor", "denied": True, "operation": "open", "detail": "name=/proc/kcore denied_mask=r", "profile": "docker-default", "comm": "sh",
        "exe": None, "scope": scope, "by": "pid" if container else "", "container": container, "candidates": [], "count": 3, "first": NOW - 90,
        "last": NOW - 80, "pids": [4711], **more,
    }  # fmt: skip


def make_denials(host: str, *entries: dict[str, Any], gaps: Any = (), ago: float = 60, **more: Any) -> dict[str, Any]:
    info = {
        "since": NOW - DAY, "at": NOW, "total": sum(entry["count"] for entry in entries), "complete": not gaps, "denials": list(entries),
        "gaps": [{"kind": kind, "source": "journal", "from": None, "to": NOW - 70, "lost": 7, "text": text} for kind, text in gaps],
    }  # fmt: skip
    return {"host": host, "written": format_time(ago), "denials_info": info, **more}


def write_reports(folder: Path, *reports: dict[str, Any]) -> Path:
    """Write the reports as files."""
    for report in reports:
        kind = "attack" if "matrix" in report else "denials" if "denials_info" in report else "verify"
        (folder / f"{kind}-{abs(hash(report['host']))}.json").write_text(json.dumps(report))
    return folder


def make_recorded_service(service: str = "web", **more: Any) -> dict[str, Any]:
    """Return what `report_recordings` writes of a service."""
    stopped = {"cve": "CVE-2022-0185", "title": "heap overflow in fsconfig", "url": "https://example.com/cve", "lacks": "fsconfig"}
    return {
        "service": service, "stage": "enforce", "reason": "", "hosts": ["web1", "web2"], "first": "2026-11-01", "last": "2026-11-28",
        "images": [["shop:1", "sha256:1"]], "instances": 2, "calls": 90, "access": 40,
        "events": {"starts": 3, "stops": 2, "restarts": 1, "execs": 4, "health_checks": 9},
        "denied_calls": {"bpf": {"count": 5, "errnos": ["EPERM"]}, "clone3": {"count": 70, "errnos": ["ENOSYS"]}},
        "gaps": [{"host": "web1", "kind": "not_armed", "text": "the recorder was not armed"}], "not_recorded": ["web2: calls are not recorded (no BTF)"],
        "passed": False, "missing": ["3 more days"], "estimate": "at most 2 calls are unseen", "failure": "", "notes": [],
        "reduction": {"allowed": 98, "default_allowed": 350, "removed": ["bpf"], "stopped": [stopped], "already": 7}, **more,
    }  # fmt: skip


def write_recordings(folder: Path, *services: dict[str, Any]) -> Path:
    """Write the summary of recordings."""
    (folder / "recordings.json").write_text(json.dumps({"services": list(services), "problems": [], "written": format_time()}))
    return folder
