# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether verification tells the truth of a machine that a fault has left in some state: its report, held against the kernel's word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faults.machine import FaultMachine

_KERNEL = (Path(__file__).parent / "guest" / "kernel.py").read_text(encoding="utf-8")


def ask(machine: FaultMachine) -> list[str]:
    """Verify the machine, look for ourselves, and say what differs. An engine that can run no container at the time is no liar."""
    report = machine.folder / f"verify-{machine.name}.json"
    report.unlink(missing_ok=True)
    _code, output = machine.playbook("verify", log="verify.log")
    if not report.exists():
        return [f"verification gives no report: {output[-300:]}"]
    done = machine.run(f"python3 - <<'KERNEL'\n{_KERNEL}KERNEL\n")
    kernel: dict[str, bool] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return lies(json.loads(report.read_text(encoding="utf-8")), kernel)


def lies(report: Mapping[str, Any], kernel: Mapping[str, bool] | None) -> list[str]:
    """kernel: layer → whether a new container is under it; None where none could be started. `degraded` and `unknown` claim neither."""
    status = {layer["layer"]: layer["status"] for layer in report["proof"].get("layers") or ()}
    if kernel is None:
        return [f"verification calls {layer} {said} where no container starts" for layer, said in status.items() if said == "enforced"]
    found = []
    for layer, holds in kernel.items():
        said = status.get(layer, "nothing")
        if said == "nothing" or (said == "enforced" and not holds) or (said == "absent" and holds):
            found.append(f"verification calls {layer} {said}, and for the kernel it {'holds' if holds else 'does not hold'}")
    return found
