# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of one host, as it is written down. Pure: made from what a task returned, whether it just did so or an event of it was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..planning import table

_PROOF = ("at", "canary", "host", "layers", "containers", "engines", "findings")
_MATRIX = ("at", "host", "subject", "seconds", "configurations", "attacks", "log")


def verify_report(host: str, proof: Mapping[str, Any], not_enforced: Sequence[str]) -> dict[str, Any]:
    """`verify-HOST.json`.

    proof: what verify_layers returned, or what came of the try, with `msg` and perhaps `unreachable`. not_enforced: what the run complained of; in
    check mode that is not all that does not hold.
    """
    report: dict[str, Any] = {"host": host}
    if "layers" not in proof:
        error = str(proof.get("msg", "verify_layers did not run")).strip().removeprefix("Task failed: ")
        report.update(enforced=False, not_enforced=[], error=error, unreachable=bool(proof.get("unreachable")), proof={})
        return report
    kept = {key: proof[key] for key in _PROOF if key in proof}
    report.update(enforced=not table.not_enforced(proof), not_enforced=list(not_enforced), proof=kept)
    return report


def attack_report(host: str, matrix: Mapping[str, Any], required: Mapping[str, Any], unmet: Sequence[str]) -> dict[str, Any]:
    """`attack-HOST.json`. matrix: what attack_matrix returned. required: by attack, how many layers have to stop it. unmet: where fewer do."""
    kept = {key: matrix[key] for key in _MATRIX if key in matrix}
    return {"host": host, "met": not unmet, "unmet": list(unmet), "required": dict(required), "matrix": kept}
