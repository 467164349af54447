# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary: a container that asks for nothing, so that what the kernel does to it is what the host does by default.

It lives for the length of a `with` block. Should the run that owns it be killed, the container ends by itself after LIFETIME
seconds, and the next run clears what is left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .containers import CANARY_LABEL, look_at
from .image import build, find

PROGRAM = "sleep"
LIFETIME = 180
START_TIMEOUT = 30.0


class CanaryFailed(Exception):
    """No canary could be started; the message is the engine's."""


@contextmanager
def canary(host: Host, engine: Engine) -> Iterator[dict[str, Any]]:
    """A running canary, as `evidence` holds a container. Whatever happens, container and image are removed at the end.

    Raises CanaryFailed, EngineError, EngineUnreachable.
    """
    clear_leftovers(host, engine)
    owner = _identity(host, os.getpid())
    name = f"bulkhead-canary-{os.getpid()}"
    image, container = None, None
    try:
        image = _import(engine, name, owner)
        container = engine.post(
            "/containers/create",
            {
                "Image": image,
                "Cmd": [find(PROGRAM), str(LIFETIME)],
                "Labels": {CANARY_LABEL: owner},
                # None of these is a security setting: no network because none is needed, no log because nothing is said.
                "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}, "AutoRemove": True},
            },
            name=name,
        )["Id"]
        engine.post(f"/containers/{container}/start")
        yield _settled(host, engine, container)
    except FileNotFoundError as error:
        raise CanaryFailed(str(error)) from error
    except EngineError as error:
        raise CanaryFailed(f"the engine refuses to start a container without any security option: {error.message}") from error
    finally:
        _remove(engine, container, image)


def clear_leftovers(host: Host, engine: Engine) -> None:
    """Remove canaries whose run is gone; those of a run that still lives are left to it."""
    label = {"label": [CANARY_LABEL]}
    for kind, listed in (
        ("containers", engine.get("/containers/json", all=True, filters=label)),
        ("images", engine.get("/images/json", filters=label)),
    ):
        for entry in listed:
            owner = entry["Labels"][CANARY_LABEL]
            if owner != _identity(host, int(owner.split(":")[0])):
                with suppress(EngineError):
                    engine.delete(f"/{kind}/{entry['Id']}", force=True)


def _import(engine: Engine, name: str, owner: str) -> str:
    """The image's ID. A label keeps two runs' images apart, which would otherwise have the same ID."""
    answer = engine.post(
        "/images/create",
        build([PROGRAM]),
        content_type="application/x-tar",
        fromSrc="-",
        repo=name,
        tag="1",
        changes=f"LABEL {CANARY_LABEL}={owner}",
    )
    last = answer[-1] if isinstance(answer, list) else answer
    if not isinstance(last, dict) or not str(last.get("status", "")).startswith("sha256:"):
        raise CanaryFailed(f"the engine does not import the canary's image: {last.get('error', last) if isinstance(last, dict) else last}")
    return str(last["status"])


def _settled(host: Host, engine: Engine, container: str) -> dict[str, Any]:
    """The container once its own program runs: until then the kernel shows runc's init, with runc's filter not yet loaded."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        pid = engine.get(f"/containers/{container}/json")["State"]["Pid"]
        if (host.read(f"/proc/{pid}/comm") or "").strip() == PROGRAM:
            seen = look_at(host, engine, container)
            if seen:
                return seen
        time.sleep(0.05)
    raise CanaryFailed(f"the canary's program is not seen running after {START_TIMEOUT:.0f} s; the engine's journal may say why")


def _remove(engine: Engine, container: str | None, image: str | None) -> None:
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


def _identity(host: Host, pid: int) -> str:
    """A process named so that a later one with the same PID is another: PID and start in clock ticks since boot."""
    stat = host.read(f"/proc/{pid}/stat") or ""
    return f"{pid}:{stat.rsplit(')', 1)[1].split()[19]}" if stat else f"{pid}:gone"
