# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists an engine's images in containerd, as containerd's own program does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from .roots import MigrationBlocked

_TIMEOUT = 120


def find_namespace(info: Mapping[str, Any]) -> tuple[str, str]:
    """Return containerd's socket and the namespace of an engine. info: its `/info`."""
    containerd = info.get("Containerd") or {}
    namespace = (containerd.get("Namespaces") or {}).get("Containers") or "moby"
    return containerd.get("Address") or "/run/containerd/containerd.sock", namespace


def build_command(info: Mapping[str, Any], *arguments: str) -> list[str]:
    """Return the command that lists the engine's images, or another one for its namespace."""
    address, namespace = find_namespace(info)
    return ["ctr", "--address", address, "--namespace", namespace, *(arguments or ("images", "ls"))]


def read_output(command: list[str]) -> str:
    """Return what a command prints. Raises MigrationBlocked."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MigrationBlocked(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise MigrationBlocked(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
