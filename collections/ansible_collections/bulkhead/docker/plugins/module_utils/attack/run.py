# SPDX-License-Identifier: GPL-3.0-or-later
"""Playing: every configuration's container is started, watched to its end, read and removed, a few at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.containers import PROBE_LABEL
from ..engine.temporary import remove_temporary
from .configurations import Configuration
from .image import command
from .runner import ENVIRONMENT


def mark(position: int) -> str:
    """How the names of a configuration's processes begin; with two digits an attack they fit the kernel's 15 characters."""
    return f"bulk{position:02d}x"


def play_all(
    engine: Callable[[], Engine],
    image: str,
    owner: str,
    configurations: Sequence[Configuration],
    attacks: Sequence[str],
    stage: Mapping[str, Any],
    limits: Mapping[str, float],
    told: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Configuration → `records` (what the player said), `error`, `seconds`. The control comes first; when nothing is heard of it, it is all.

    engine: makes a connection of its own for each, whose timeout is a container's. limits: `attack`, in seconds, and `at_once`. told: is called as each ends.
    """

    def one(position: int) -> tuple[str, dict[str, Any]]:
        configuration = configurations[position]
        if configuration.unavailable:
            return configuration.name, {"records": [], "error": configuration.unavailable, "seconds": 0.0}
        began, connection = time.monotonic(), engine()
        setup = {
            "attacks": list(attacks),
            "numbers": stage["numbers"],
            "ground": stage["ground"],
            "limit": limits["attack"],
            "mark": mark(position),
        }
        try:
            records, error = _play(connection, image, owner, configuration, setup, stage["binds"]), ""
        except (EngineError, EngineUnreachable) as problem:
            records, error = [], str(problem)
        finally:
            connection.close()
        told(configuration.title)
        return configuration.name, {"records": records, "error": error, "seconds": round(time.monotonic() - began, 1)}

    first = dict([one(0)])
    if not any("confinement" in record for record in first[configurations[0].name]["records"]):
        return first  # without the control no column means anything
    with ThreadPoolExecutor(int(limits["at_once"])) as pool:
        return {**first, **dict(pool.map(one, range(1, len(configurations))))}


def _play(
    engine: Engine, image: str, owner: str, configuration: Configuration, setup: Mapping[str, Any], binds: Iterable[str]
) -> list[dict[str, Any]]:
    container = None
    try:
        container = engine.post("/containers/create", creation(image, owner, configuration, setup, binds), name=_name(configuration))["Id"]
        engine.post(f"/containers/{container}/start")
        with suppress(EngineUnreachable):  # no answer in time: what was said until then counts, and the rest is unknown
            engine.post(f"/containers/{container}/wait")
        return said(engine.read(f"/containers/{container}/logs", stdout=True, stderr=True))
    finally:
        remove_temporary(engine, container, None)


def creation(image: str, owner: str, configuration: Configuration, setup: Mapping[str, Any], binds: Iterable[str]) -> dict[str, Any]:
    """The engine's API's word for a configuration's container: no network, no ports, bounded."""
    return {
        "Image": image,
        "Cmd": command(),
        "User": configuration.user,
        "Env": [f"{ENVIRONMENT}={json.dumps(setup)}"],
        "Labels": {PROBE_LABEL: owner},
        "HostConfig": {
            "NetworkMode": "none",
            "CgroupnsMode": "host",
            "Binds": list(binds),
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            **configuration.host_config,
        },
    }


def _name(configuration: Configuration) -> str:
    return f"bulkhead-attack-{configuration.name.replace('_', '-')}-{os.getpid()}"


def said(log: bytes) -> list[dict[str, Any]]:
    """The player's lines out of a container's log, which comes in frames of 8 bytes and a text (Docker Engine API: attach).

    Lines that are no JSON (an error of Python's) come as `{"stray": line}`.
    """
    texts, place = [], 0
    while place + 8 <= len(log):
        length = int.from_bytes(log[place + 4 : place + 8], "big")
        texts.append(log[place + 8 : place + 8 + length])
        place += 8 + length
    records = []
    for line in b"".join(texts).decode("utf-8", "replace").splitlines():
        record: Any = None
        with suppress(ValueError):
            record = json.loads(line)
        records.append(record if isinstance(record, dict) else {"stray": line})
    return records
