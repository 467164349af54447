# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of one host: what was verified or played there, or why nothing was.

Pure: made from what a task returned, whether it just did so or an event of it was kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...module_utils.attack.attribution import demands
from ..planning import table

_VERIFICATION = ("at", "probe", "host", "layers", "containers", "engines", "findings")
_MATRIX = ("at", "host", "subject", "seconds", "configurations", "attacks", "log")
_HEARD = ("at", "since", "total", "complete", "gaps", "sources", "engine_error", "audit", "denials")
BEGUN = "a rollout began to change this host, and nothing has been verified there since"
LOST = "it was begun, and was no longer reached before the end"


def make(
    host: str,
    verification: Mapping[str, Any],
    check_mode: bool,
    demand: Collection[str] | None = None,
    failure: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What is written of a host; `problem` is what is wrong there, in one sentence, empty when nothing is, or when check mode forgives it.

    verification: what `verify_layers` returned, or the failure of that task. demand: the layers that the run is about; None: all. A run without a verification
    demands none.
    failure: `task` and `msg` of what ended the run on this host before; `task` is empty where another host did.
    """
    report: dict[str, Any] = {"host": host}
    if failure:
        report["failure" if failure.get("task") else "stopped"] = dict(failure)
    if "layers" not in verification:
        why, problem = _came_to_nothing(host, verification, "verify_layers", "nothing was verified on")
        report.update(enforced=False, not_enforced=[], **why, verification={})
        if demand is not None and not demand:
            problem = ""
    else:
        lacking = table.not_enforced(verification, check_mode, demand)
        report.update(
            enforced=not table.not_enforced(verification),
            not_enforced=table.not_enforced(verification, check_mode),
            verification={key: verification[key] for key in _VERIFICATION if key in verification},
        )
        problem = f"required and not enforced on {host}: {', '.join(lacking)}" if lacking else ""
    if report.get("failure"):
        problem = f"{failed(report['failure'])} on {host}" + (f"; {problem}" if problem else "")
    report["problem"] = problem
    return report


def with_evidence(result: Mapping[str, Any]) -> str:
    """What is wrong on a host, and where that is written. result: what `report_layers` returns."""
    problem = result["problem"]
    return f"{problem}; evidence in {result['report']}" if problem and result.get("not_enforced") else problem


def failed(failure: Mapping[str, str]) -> str:
    """`"Change the engine's configuration" failed: …`, in one line."""
    return f'"{failure["task"]}" failed: {" ".join(str(failure["msg"]).split())}'


def attack(host: str, matrix: Mapping[str, Any], required: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """`attack-HOST.json`, and what is wrong there, in one sentence; empty when nothing is."""
    report: dict[str, Any] = {"host": host, "required": required}
    if "attacks" not in matrix:
        # A host on which the last try came to nothing must not be left with the good report of an earlier one.
        why, problem = _came_to_nothing(host, matrix, "attack_matrix", "nothing was played on")
        report.update(met=False, unmet=[], **why, matrix={})
        return report, problem
    unmet = demands(matrix["attacks"], required)
    report.update(met=not unmet, unmet=unmet, matrix={key: matrix[key] for key in _MATRIX if key in matrix})
    return report, f"attacks on {host} are not stopped as the inventory demands: {'; '.join(unmet)}" if unmet else ""


def denials(host: str, heard: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """`denials-HOST.json`, and what is wrong there, in one sentence; empty when nothing is."""
    if "denials" in heard:
        return {"host": host, "denials_info": {key: heard[key] for key in _HEARD if key in heard}}, ""
    why, problem = _came_to_nothing(host, heard, "denials_info", "nobody knows who was refused what on")
    return {"host": host, "denials_info": {}, **why}, problem


def _came_to_nothing(host: str, result: Mapping[str, Any], module: str, otherwise: str) -> tuple[dict[str, Any], str]:
    """`error` and `unreachable` of a try without evidence, and the same in one sentence."""
    error = str(result.get("msg", f"{module} did not run")).strip().removeprefix("Task failed: ")
    unreachable = bool(result.get("unreachable"))
    what = f"{host} was not reached" if unreachable else f"{otherwise} {host}"
    return {"error": error, "unreachable": unreachable}, f"{what}: {error}"
