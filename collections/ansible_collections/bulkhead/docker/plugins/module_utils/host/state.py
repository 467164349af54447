# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of managed things on a host: one JSON file per subject in /var/lib/bulkhead (root, 0700)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .files import ensure_folder, fsync_folder, write_atomically
from .root import STATE_DIR, Host, read_state

load = read_state


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
    """Lock the host against other runs that change it. Raises BlockingIOError, with a message, if another run holds the lock."""
    descriptor = os.open(ensure_folder(host) / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"another run is changing this host (it holds {STATE_DIR}/lock); run again when it has ended") from None
        yield
    finally:
        os.close(descriptor)
