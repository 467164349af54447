# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the report of one host: its verification, attacks or denials, or why there is no result.

Pure: the input is the result of a task, of this run or from an event of an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from ...module_utils.attack.attribution import list_unmet
from ...module_utils.formatting import format_names
from ..controls.verdict import WAIVED
from .policy import ALLOWED, Judgement, Policy, judge_policy
from .verification_table import list_unenforced
from .waivers import get_today

_VERIFICATION = ("at", "probe", "host", "layers", "containers", "controls", "engines", "findings", "versions", "untried")
_MATRIX = ("at", "host", "subject", "seconds", "configurations", "attacks", "log", "counters")
_DENIALS = ("at", "since", "total", "complete", "gaps", "sources", "engine_error", "audit", "denials")
# The number of required controls in the message; the report has all.
MAX_CONTROLS = 10
STARTED = "a rollout has started to change this host, which has not been verified since"
LOST = "the host became unreachable during its change"


def build_report(
    host: str,
    verification: Mapping[str, Any],
    check_mode: bool,
    required_layers: Collection[str] | None = None,
    failure: Mapping[str, str] | None = None,
    policy: Policy | None = None,
    today: date | None = None,
) -> dict[str, Any]:
    """Return `verify-HOST.json`. Its `problem` is one message, empty if nothing is wrong or check mode accepts it.

    verification: result of `verify_layers`, or the failure of that task. required_layers: the layers of this run; None: all. If it is empty,
    a missing verification is not a problem.
    failure: `task` and `msg` of the failure that ended the run on this host earlier; `task` is empty if another host failed.
    policy: None: the default one. today: of the control node, for waivers; None: the present date.

    Exposed containers are under `exposed`, controls under `unmet_controls`, and both are no `problem`, because no change of the host removes them.
    """
    report: dict[str, Any] = {"host": host}
    if failure:
        report["failure" if failure.get("task") else "stopped"] = dict(failure)
    if "layers" not in verification:
        why, problem = _describe_missing_result(host, verification, "verify_layers", "nothing was verified on")
        report.update(enforced=False, not_enforced=[], **why, verification={})
        if required_layers is not None and not required_layers:
            problem = ""
    else:
        judgement = judge_policy(host, verification, policy or Policy(), today or get_today())
        missing = list_unenforced(verification, check_mode, required_layers, judgement)
        report.update(
            enforced=not list_unenforced(verification),
            not_enforced=list_unenforced(verification, check_mode, judgement=judgement),
            **_describe_policy(judgement),
            verification={key: verification[key] for key in _VERIFICATION if key in verification},
        )
        problem = f"required and not enforced on {host}: {', '.join(missing)}" if missing else ""
    if report.get("failure"):
        problem = f"{describe_failure(report['failure'])} on {host}" + (f"; {problem}" if problem else "")
    report["problem"] = problem
    return report


def _describe_policy(judgement: Judgement) -> dict[str, Any]:
    """Return what the report keeps of the policy and its results."""
    return {
        "policy": judgement.policy.as_dict(),
        "exposed": [granted.as_dict() for granted in judgement.exposed],
        "exposures_unknown": judgement.unread_containers,
        "allowed": [granted.as_dict() for granted in judgement.granted if granted.state == ALLOWED],
        "allowed_unused": [{"container": name, "kind": kind} for name, kind in judgement.unused],
        "waived": judgement.list_waived(),
        "waived_layers": sorted(judgement.waived_layers),
        "waived_controls": [control["control"] for control in judgement.controls if control["status"] == WAIVED],
        "unmet_controls": judgement.unmet_controls,
    }


def describe_problem(result: Mapping[str, Any], exposures: bool = True) -> str:
    """Return what is wrong on a host and the file with the evidence. result: as `report_layers` returns it. exposures: whether they count."""
    exposed = result.get("exposed_problem", "") if exposures else ""
    problem = "; ".join(text for text in (result["problem"], exposed) if text)
    return f"{problem}; evidence in {result['report']}" if problem and (result.get("not_enforced") or exposed) else problem


def describe_exposed(host: str, report: Mapping[str, Any]) -> str:
    """Return exposed containers of a report, containers with unknown exposures, and unmet controls, as one message; empty if there are none."""
    kinds: dict[str, list[str]] = {}
    for entry in report.get("exposed", ()):
        kinds.setdefault(entry["container"], []).append(entry["kind"])
    names = format_names([f"{name} ({', '.join(found)})" for name, found in kinds.items()])
    unread = format_names(report.get("exposures_unknown", ()))
    unmet = format_names(report.get("unmet_controls", ()), MAX_CONTROLS)
    texts = [
        f"containers exposed on {host}: {names}" if names else "",
        f"containers with unknown exposures on {host}: {unread}" if unread else "",
        f"required controls that do not pass on {host}: {unmet}" if unmet else "",
    ]
    return "; ".join(text for text in texts if text)


def describe_failure(failure: Mapping[str, str]) -> str:
    """Return `"Change the engine's configuration" failed: …`, in one line."""
    return f'"{failure["task"]}" failed: {" ".join(str(failure["msg"]).split())}'


def build_attack_report(host: str, matrix: Mapping[str, Any], required: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return `attack-HOST.json`, and what is wrong there as one message; empty if nothing is."""
    report: dict[str, Any] = {"host": host, "required": required}
    if "attacks" not in matrix:
        # A run without a result must replace the good report of an earlier run.
        why, problem = _describe_missing_result(host, matrix, "attack_matrix", "no attack was run on")
        report.update(met=False, unmet=[], **why, matrix={})
        return report, problem
    unmet = list_unmet(matrix["attacks"], required)
    report.update(met=not unmet, unmet=unmet, matrix={key: matrix[key] for key in _MATRIX if key in matrix})
    return report, f"fewer layers than required stop attacks on {host}: {'; '.join(unmet)}" if unmet else ""


def build_denials_report(host: str, info: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return `denials-HOST.json`, and what is wrong there as one message; empty if nothing is. info: result of `denials_info`."""
    if "denials" in info:
        return {"host": host, "denials_info": {key: info[key] for key in _DENIALS if key in info}}, ""
    why, problem = _describe_missing_result(host, info, "denials_info", "denials are unknown on")
    return {"host": host, "denials_info": {}, **why}, problem


def _describe_missing_result(host: str, result: Mapping[str, Any], module: str, otherwise: str) -> tuple[dict[str, Any], str]:
    """Return `error` and `unreachable` of a task without a result, and the same as one message."""
    error = str(result.get("msg", f"{module} did not run")).strip().removeprefix("Task failed: ")
    unreachable = bool(result.get("unreachable"))
    what = f"{host} was not reached" if unreachable else f"{otherwise} {host}"
    return {"error": error, "unreachable": unreachable}, f"{what}: {error}"
