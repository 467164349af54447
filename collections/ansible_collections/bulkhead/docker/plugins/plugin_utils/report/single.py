# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of one host: what was proven there, or why nothing was. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..planning import table

_KEPT = ("at", "canary", "host", "layers", "containers", "engines", "findings")
BEGUN = "a rollout began to change this host, and nothing has been proven there since"

LOST = "it was begun, and was no longer reached before the end"


def make(
    host: str, proof: Mapping[str, Any], check_mode: bool, demand: Collection[str] | None = None, failure: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What is written of a host; `problem` is what is wrong there, in one sentence, empty when nothing is, or when check mode forgives it.

    proof: what `verify_layers` returned, or the failure of that task. demand: the layers that the run is about; None: all. A run without a proof
    demands none.
    failure: `task` and `msg` of what ended the run on this host before; `task` is empty where another host did.
    """
    report: dict[str, Any] = {"host": host}
    if failure:
        report["failure" if failure.get("task") else "stopped"] = dict(failure)
    if "layers" not in proof:
        error = str(proof.get("msg", "verify_layers did not run")).strip().removeprefix("Task failed: ")
        unreachable = bool(proof.get("unreachable"))
        report.update(enforced=False, not_enforced=[], error=error, unreachable=unreachable, proof={})
        problem = f"{host} was not reached: {error}" if unreachable else f"nothing was proven on {host}: {error}"
        if demand is not None and not demand:
            problem = ""
    else:
        lacking = table.not_enforced(proof, check_mode, demand)
        report.update(
            enforced=not table.not_enforced(proof),
            not_enforced=table.not_enforced(proof, check_mode),
            proof={key: proof[key] for key in _KEPT if key in proof},
        )
        problem = f"required and not enforced on {host}: {', '.join(lacking)}" if lacking else ""
    if report.get("failure"):
        problem = f"{failed(report['failure'])} on {host}" + (f"; {problem}" if problem else "")
    report["problem"] = problem
    return report


def failed(failure: Mapping[str, str]) -> str:
    """`"Change the engine's configuration" failed: …`, in one line."""
    return f'"{failure["task"]}" failed: {" ".join(str(failure["msg"]).split())}'
