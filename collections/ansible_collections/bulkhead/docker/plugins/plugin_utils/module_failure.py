# SPDX-License-Identifier: GPL-3.0-or-later
"""Explains the answer of a module that ended without a result of its own, for example under a Python that is too old. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What Python raises for a file that is written for a newer release.
_OLD = ("ImportError", "ModuleNotFoundError", "SyntaxError", "AttributeError: module")
_ADVICE = "Bulkhead needs Python 3.11 or later on the host; set ansible_python_interpreter"


def add_reason(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer, with the reason as `msg` if the module did not run. A module that ran and failed has a `msg` already."""
    if not answer.get("failed") or ("msg" in answer and "module_stderr" not in answer):
        return dict(answer)
    event = getattr(answer.get("exception"), "event", None)  # ansible-core's ErrorSummary
    trace = str(getattr(event, "formatted_traceback", None) or answer.get("module_stderr") or answer.get("exception") or "").strip()
    last = trace.splitlines()[-1].strip() if trace else str(answer.get("msg", "it printed nothing"))
    return {**answer, "msg": f"the module did not run: {last}" + (f". {_ADVICE}" if last.startswith(_OLD) else "")}
