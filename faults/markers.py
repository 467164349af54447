# SPDX-License-Identifier: GPL-3.0-or-later
"""Markers: an image, volumes, containers and a network that no fault may lose. They are created before a fault and compared after it.

The volume has what copies often lose: holes, hard links, extended attributes, an access control list, file capabilities, setuid bits,
owners other than root, and times.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Protocol


class Shell(Protocol):
    """A machine that runs shell scripts as root."""

    def run_script(self, script: str, timeout: float = 600) -> subprocess.CompletedProcess[str]: ...


# Before SEED: the engine keeps its images in containerd.
USE_CONTAINERD = """
mkdir -p /etc/docker; echo '{"features": {"containerd-snapshotter": true}}' > /etc/docker/daemon.json
systemctl restart docker
"""
_GUEST = Path(__file__).parent / "guest"
SEED = (_GUEST / "seed.sh").read_text(encoding="utf-8")
READ_MARKERS = f"python3 - <<'PROGRAM'\n{(_GUEST / 'markers.py').read_text(encoding='utf-8')}PROGRAM\n"


def read_markers(machine: Shell) -> dict[str, Any]:
    """Return the present state of the markers; `engine` is False if no engine answers."""
    done = machine.run_script(READ_MARKERS)
    text = (done.stdout.strip() or done.stderr.strip()).splitlines()
    try:
        state: dict[str, Any] = json.loads(text[-1])
    except (IndexError, ValueError):
        return {"engine": False, "error": "\n".join(text[-5:])}
    return state


def find_losses(before: dict[str, Any], after: dict[str, Any], running: frozenset[str], other_ids: bool = False) -> list[str]:
    """Return what of `before` is missing or differs. running: the containers that must run.

    other_ids: images may have other IDs, as after a migration from containerd; each container must have that of its image.
    """
    if not after.get("engine"):
        return [f"the engine does not answer: {after.get('error')}"]
    found = []
    if other_ids:
        before, renamed = _rename_images(before, after)
        found += renamed
    for kind in ("images", "volumes", "containers", "networks"):
        for name, earlier in before[kind].items():
            found += [f"{kind} {name} {difference}" for difference in _find_differences(earlier, after[kind].get(name))]
    stopped = [name for name in sorted(running) if not after["containers"].get(name, {}).get("running")]
    return found + [f"container {name} does not run" for name in stopped]


def _rename_images(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return `before` with the IDs that its images have in `after`, and which images have two of them."""
    new: dict[str, str] = {}
    found = []
    for name, identifier in before["images"].items():
        now = after["images"].get(name)
        if now and new.setdefault(identifier, now) != now:
            found.append(f"images {name} is another one than before")
    images = {name: new.get(identifier, identifier) for name, identifier in before["images"].items()}
    containers = {name: {**entry, "image": new.get(entry.get("image"), entry.get("image"))} for name, entry in before["containers"].items()}
    return {**before, "images": images, "containers": containers}, found


def _find_differences(earlier: Any, now: Any) -> list[str]:
    if now is None:
        return ["is missing"]
    if not isinstance(earlier, dict):
        return [] if earlier == now else [f"was {earlier}, is {now}"]
    found = []
    for key, value in earlier.items():
        if key == "running":
            continue
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            found += [f"{key}/{text}" for text in _find_differences(value, now[key])]
        elif value != now.get(key):
            found.append(f"{key}: was {value}, is {now.get(key)}")
    return found
