# SPDX-License-Identifier: GPL-3.0-or-later
"""What may not be lost: an image, volumes, containers and a network, made before a fault and looked at after it.

The volume has what copies tend to lose: holes, hard links, extended attributes, an access control list, file capabilities, setuid bits,
owners other than root, times.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Protocol


class Runs(Protocol):
    """A machine in which a shell script can be run as root."""

    def run(self, script: str, timeout: float = 600) -> subprocess.CompletedProcess[str]: ...


_GUEST = Path(__file__).parent / "guest"
SEED = (_GUEST / "seed.sh").read_text(encoding="utf-8")
LOOK = f"python3 - <<'LOOK'\n{(_GUEST / 'look.py').read_text(encoding='utf-8')}LOOK\n"


def look(machine: Runs) -> dict[str, Any]:
    """Everything that may not be lost, as it is in the machine; `engine` is False where none answers."""
    done = machine.run(LOOK)
    text = (done.stdout.strip() or done.stderr.strip()).splitlines()
    try:
        seen: dict[str, Any] = json.loads(text[-1])
    except (IndexError, ValueError):
        return {"engine": False, "error": "\n".join(text[-5:])}
    return seen


def lost(before: dict[str, Any], after: dict[str, Any], running: frozenset[str]) -> list[str]:
    """What of `before` is not there, or not as it was. running: the containers that have to run."""
    if not after.get("engine"):
        return [f"the engine does not answer: {after.get('error')}"]
    found = []
    for kind in ("images", "volumes", "containers", "networks"):
        for name, was in before[kind].items():
            found += [f"{kind} {name} {where}" for where in _differences(was, after[kind].get(name))]
    stopped = [name for name in sorted(running) if not after["containers"].get(name, {}).get("running")]
    return found + [f"container {name} does not run" for name in stopped]


def _differences(was: Any, now: Any) -> list[str]:
    if now is None:
        return ["is gone"]
    if not isinstance(was, dict):
        return [] if was == now else [f"was {was}, is {now}"]
    found = []
    for key, value in was.items():
        if key == "running":
            continue
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            found += [f"{key}/{text}" for text in _differences(value, now[key])]
        elif value != now.get(key):
            found.append(f"{key}: was {value}, is {now.get(key)}")
    return found
