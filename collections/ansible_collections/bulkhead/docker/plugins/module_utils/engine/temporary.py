# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary containers and images of one run. A label names the process that owns each; when it is killed, the next run removes them."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .containers import PROBE_LABEL


def identify_process(host: Host, pid: int | None = None) -> str:
    """Return `PID:START` of a process (None: this one). START, in clock ticks since boot, differs when the PID is used again."""
    pid = pid or os.getpid()
    stat = host.read(f"/proc/{pid}/stat") or ""
    return f"{pid}:{stat.rsplit(')', 1)[1].split()[19]}" if stat else f"{pid}:gone"


def is_running(host: Host, owner: str) -> bool:
    """Return whether the process of `identify_process` still runs."""
    return owner == identify_process(host, int(owner.split(":")[0]))


def remove_leftovers(host: Host, engine: Engine) -> None:
    """Remove the containers and images of processes that have ended. Raises EngineError, EngineUnreachable."""
    label = {"label": [PROBE_LABEL]}
    for kind, listed in (
        ("containers", engine.get("/containers/json", all=True, filters=label)),
        ("images", engine.get("/images/json", filters=label)),
    ):
        for entry in listed:
            if not is_running(host, entry["Labels"][PROBE_LABEL]):
                with suppress(EngineError):
                    engine.delete(f"/{kind}/{entry['Id']}", force=True)


def import_image(engine: Engine, name: str, owner: str, archive: bytes) -> str:
    """Import a root file system (tar) and return the image ID. Its label makes the IDs of two runs differ.

    Raises EngineError, EngineUnreachable; ValueError with the engine's message when it imports nothing.
    """
    answer = engine.post(
        "/images/create",
        archive,
        content_type="application/x-tar",
        fromSrc="-",
        repo=name,
        tag="1",
        changes=f"LABEL {PROBE_LABEL}={owner}",
    )
    last = answer[-1] if isinstance(answer, list) else answer
    if not isinstance(last, dict) or not str(last.get("status", "")).startswith("sha256:"):
        raise ValueError(str(last.get("error", last) if isinstance(last, dict) else last))
    return str(last["status"])


def remove_temporary(engine: Engine, container: str | None, image: str | None) -> None:
    """Remove container and image, as far as they exist. Never raises."""
    with suppress(EngineError, EngineUnreachable):
        if container:
            engine.delete(f"/containers/{container}", force=True)
    deadline = time.monotonic() + 10
    while image and time.monotonic() < deadline:
        try:
            engine.delete(f"/images/{image}", force=True)
            return
        except EngineUnreachable:
            return
        except EngineError as error:
            if error.status == 404:
                return
            time.sleep(0.1)  # AutoRemove or the removal above may still be removing the container
