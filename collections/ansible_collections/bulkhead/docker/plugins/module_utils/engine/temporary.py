# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates the temporary containers and images of one run, and removes them; when the run is killed, the next one does.

A record names them (engine/records.py).
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict

from ..host import state
from ..host.files import write_atomically
from ..host.root import Host
from .api import Engine, EngineError, EngineUnreachable
from .records import FOLDER, Temporary, read_records

# A busy host takes long to remove a container of many tasks, and keeps its image and networks until then.
_REMOVAL_SECONDS = 60.0
_LEFTOVER_SECONDS = 10.0


def identify_process(host: Host, pid: int | None = None) -> str:
    """Return `PID:START` of a process (None: this one). START, in clock ticks since boot, differs when the PID is used again."""
    pid = pid or os.getpid()
    stat = host.read(f"/proc/{pid}/stat") or ""
    return f"{pid}:{stat.rsplit(')', 1)[1].split()[19]}" if stat else f"{pid}:gone"


def is_running(host: Host, owner: str) -> bool:
    """Return whether the process of `identify_process` still runs."""
    return owner == identify_process(host, int(owner.split(":")[0]))


@contextmanager
def create_temporary(
    host: Host, engine: Engine, prefix: str, suffixes: Sequence[str] = ("",), networks: Sequence[str] = ()
) -> Iterator[Temporary]:
    """Yield the record of an image, its containers and networks, named `PREFIX-TOKEN` and a suffix; remove them at the end.

    suffixes: of containers. networks: suffixes of networks.

    Removes what killed runs left in this engine first. Raises EngineError, EngineUnreachable, OSError.
    """
    remove_leftovers(host, engine)
    token = secrets.token_hex(8)
    name = f"{prefix}-{token}"
    record = Temporary(
        token,
        identify_process(host),
        engine.socket,
        name,
        [f"{name}{suffix}" for suffix in suffixes],
        "",
        [f"{name}{suffix}" for suffix in networks],
    )
    _save_record(host, record)
    try:
        yield record
    finally:
        _remove_recorded(host, engine, record, _REMOVAL_SECONDS)


def import_image(host: Host, engine: Engine, record: Temporary, archive: bytes) -> str:
    """Import a root file system (tar) and return the image ID. A label with the token makes the IDs of two runs differ.

    Raises EngineError, EngineUnreachable, OSError; ValueError with the engine's message when it imports nothing.
    """
    answer = engine.post(
        "/images/create",
        archive,
        content_type="application/x-tar",
        fromSrc="-",
        repo=record.name,
        tag="1",
        changes=f"LABEL io.bulkhead.token={record.token}",
    )
    last = answer[-1] if isinstance(answer, list) else answer
    if not isinstance(last, dict) or not str(last.get("status", "")).startswith("sha256:"):
        raise ValueError(str(last.get("error", last) if isinstance(last, dict) else last))
    record.image = str(last["status"])
    _save_record(host, record)
    return record.image


def remove_leftovers(host: Host, engine: Engine) -> None:
    """Remove the containers, networks and images of runs that were killed. Raises EngineError, EngineUnreachable."""
    for record in read_records(host):
        if record.socket == engine.socket and not is_running(host, record.owner):
            for entry in engine.get("/containers/json", all=True):
                if record.has_container(entry):
                    with suppress(EngineError):
                        engine.delete(f"/containers/{entry['Id']}", force=True)
            if not record.image:
                record.image = next((entry["Id"] for entry in engine.get("/images/json") if record.has_image(entry)), "")
            _remove_recorded(host, engine, record, _LEFTOVER_SECONDS)


def remove_container(engine: Engine, identifier: str) -> None:
    """Remove a container, as far as it exists. Never raises."""
    with suppress(EngineError, EngineUnreachable):
        engine.delete(f"/containers/{identifier}", force=True)


def _save_record(host: Host, record: Temporary) -> None:
    path = host.path(f"{FOLDER}/{record.token}.json")
    for last in (False, True):
        state.ensure_folder(host)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            write_atomically(path, json.dumps(asdict(record)), mode=0o600)
            return
        except FileNotFoundError:  # another run just removed its record, and with it the empty folder
            if last:
                raise


def _remove_recorded(host: Host, engine: Engine, record: Temporary, seconds: float) -> None:
    """Remove the networks, the image and the record. The record stays if one of them cannot be removed, for the next run."""
    deadline = time.monotonic() + seconds
    paths = [*(f"/networks/{network}" for network in record.networks), *([f"/images/{record.image}"] if record.image else [])]
    if not all(_remove_object(engine, path, deadline) for path in paths):
        return
    path = host.path(f"{FOLDER}/{record.token}.json")
    path.unlink(missing_ok=True)
    with suppress(OSError):  # other records, or the state of a hardened host
        path.parent.rmdir()
        path.parent.parent.rmdir()


def _remove_object(engine: Engine, path: str, deadline: float) -> bool:
    """Remove a network or an image, and return whether it is gone. Tries until the deadline, because the engine may still be removing its container."""
    while True:
        try:
            engine.delete(path, force=True)
            return True
        except EngineUnreachable:
            return False
        except EngineError as error:
            if error.status == 404:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
