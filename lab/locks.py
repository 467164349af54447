# SPDX-License-Identifier: GPL-3.0-or-later
"""Advisory file locks. The kernel drops them with their holder, so none can be left behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.progress import Heartbeat, say


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Return a descriptor that holds the lock, or None if another process has it.

    The file stays for good: removing one that another process has just opened would
    give the two of them different locks of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def hold_lock(path: Path, waiting_for: str, *, shared: bool = False) -> Iterator[int]:
    """Hold the lock for a while; say who is waited for. Yields the descriptor."""
    descriptor = try_lock(path, shared=shared)
    if descriptor is None:
        say(f"waiting for {waiting_for}")
        heartbeat = Heartbeat(f"waiting for {waiting_for}")
        while descriptor is None:
            time.sleep(0.2)
            heartbeat.beat()
            descriptor = try_lock(path, shared=shared)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
