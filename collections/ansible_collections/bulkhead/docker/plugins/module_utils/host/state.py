# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of managed things on a host: one JSON file per subject in /var/lib/bulkhead (root, 0700)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import fsync_folder, write_atomically
from .root import STATE_DIR, Host


def load(host: Host, subject: str) -> dict[str, Any]:
    """Return the state of `subject`; empty when none is saved. Raises ValueError when the file is damaged."""
    path = f"{STATE_DIR}/{subject}.json"
    text = host.read(path)
    if text is None:
        return {}
    try:
        state = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); restore it from a backup, or remove it and run the role again") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is {type(state).__name__}, not an object; remove it and run the role again")
    return state


def ensure_folder(host: Host) -> Path:
    """Create /var/lib/bulkhead if necessary, readable by root alone, and return its path."""
    path = host.path(STATE_DIR)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def save(host: Host, subject: str, state: dict[str, Any]) -> None:
    """Save the state of `subject`; an empty state removes the file."""
    path = ensure_folder(host) / f"{subject}.json"
    if state:
        write_atomically(path, json.dumps(state, indent=1, sort_keys=True) + "\n", mode=0o600)
    elif path.exists():
        path.unlink()
        fsync_folder(path.parent)


@contextmanager
def lock_host(host: Host) -> Iterator[None]:
    """Lock the host against other runs that change it. Raises BlockingIOError when another run holds the lock."""
    descriptor = os.open(ensure_folder(host) / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
