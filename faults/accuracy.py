# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifier accuracy: compare the report on a machine after a fault with an independent reading of the kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faults.machine import FaultMachine

# Judged from files of the host, which need no container.
_OF_HOST = frozenset({"files", "audit_rules"})
_READ_LAYERS = (Path(__file__).parent / "guest" / "layers.py").read_text(encoding="utf-8")


def check_verification(machine: FaultMachine) -> list[str]:
    """Verify the machine, read the layers of a new container, and return what differs."""
    report = machine.folder / f"verify-{machine.name}.json"
    report.unlink(missing_ok=True)
    _code, output = machine.run_playbook("verify", log="verify.log")
    if not report.exists():
        return [f"verification writes no report: {output[-300:]}"]
    done = machine.run_script(f"python3 - <<'PROGRAM'\n{_READ_LAYERS}PROGRAM\n")
    actual: dict[str, bool] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return find_mismatches(json.loads(report.read_text(encoding="utf-8")), actual)


def find_mismatches(report: Mapping[str, Any], actual: Mapping[str, bool] | None) -> list[str]:
    """Return the statuses that contradict the kernel. `degraded` and `unknown` contradict nothing.

    actual: for each layer, whether it is enforced on a new container. None if no container can start: then any status except
    `enforced` is accepted.
    """
    status = {layer["layer"]: layer["status"] for layer in report["verification"].get("layers") or ()}
    if actual is None:
        enforced = [layer for layer, word in status.items() if word == "enforced" and layer not in _OF_HOST]
        return [f"verification reports {layer} as enforced where no container starts" for layer in enforced]
    found = []
    for layer, is_enforced in actual.items():
        word = status.get(layer, "missing")
        if word == "missing" or (word == "enforced" and not is_enforced) or (word == "absent" and is_enforced):
            found.append(
                f"verification reports {layer} as {word}, but the kernel {'enforces it' if is_enforced else 'does not enforce it'}"
            )
    return found
