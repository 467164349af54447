# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and images that live no longer than the run that made them.

Each carries a label that says which process owns it. Should that be killed, the next run clears what is left.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .containers import PROBE_LABEL


def identify_process(host: Host, pid: int | None = None) -> str:
    """A process (None: this one) named so that a later one with the same PID is another: PID and start in clock ticks since boot."""
    pid = pid or os.getpid()
    stat = host.read(f"/proc/{pid}/stat") or ""
    return f"{pid}:{stat.rsplit(')', 1)[1].split()[19]}" if stat else f"{pid}:gone"


def is_running(host: Host, owner: str) -> bool:
    """Whether the process that `identity` named still runs."""
    return owner == identify_process(host, int(owner.split(":")[0]))


def remove_leftovers(host: Host, engine: Engine) -> None:
    """Remove what is left of runs that are gone; what belongs to one that still lives is left to it. Raises EngineError, EngineUnreachable."""
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
    """The ID of an image made of a root file system (tar). Its label keeps two runs' images apart, which would otherwise have the same ID.

    Raises EngineError, EngineUnreachable; ValueError with the engine's words when it imports nothing.
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
    """Whatever is there of the two; never raises, as it is the last thing that happens."""
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
            time.sleep(0.1)  # AutoRemove and our own removal may still be at work on the container
