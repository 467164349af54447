# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the container of each configuration to its end, reads its results and removes it, a few at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.records import Temporary
from ..engine.temporary import remove_container
from .configurations import AttackConfiguration
from .image import build_command
from .runner import ENVIRONMENT


def build_mark(position: int) -> str:
    """Return the prefix of a configuration's process names. With two digits per attack they fit into the kernel's 15 characters."""
    return f"bulk{position:02d}x"


def run_all(
    engine: Callable[[], Engine],
    record: Temporary,
    configurations: Sequence[AttackConfiguration],
    attacks: Sequence[str],
    prepared: Mapping[str, Any],
    limits: Mapping[str, float],
    report: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Return `records` (printed by the runner), `container` (its ID), `error` and `seconds` per configuration.

    If the baseline has no result, only it is returned.

    record: of the image and the containers. engine: makes a connection per container, whose timeout is the container's.
    limits: `attack` (seconds), `at_once`. report: is called as each ends.
    """

    def run_at(position: int) -> tuple[str, dict[str, Any]]:
        configuration = configurations[position]
        if configuration.unavailable:
            return configuration.name, {"records": [], "container": "", "error": configuration.unavailable, "seconds": 0.0}
        began, connection = time.monotonic(), engine()
        setup = {
            "attacks": list(attacks),
            "numbers": prepared["numbers"],
            "preparation": prepared["preparation"],
            "limit": limits["attack"],
            "mark": build_mark(position),
        }
        try:
            (records, container), error = _run_container(connection, record, configuration, setup, prepared["binds"]), ""
        except (EngineError, EngineUnreachable) as problem:
            records, container, error = [], "", str(problem)
        finally:
            connection.close()
        report(configuration.title)
        seconds = round(time.monotonic() - began, 1)
        return configuration.name, {"records": records, "container": container, "error": error, "seconds": seconds}

    first = dict([run_at(0)])
    if not any("confinement" in record for record in first[configurations[0].name]["records"]):
        return first  # without the baseline no column is conclusive
    with ThreadPoolExecutor(int(limits["at_once"])) as pool:
        return {**first, **dict(pool.map(run_at, range(1, len(configurations))))}


def _run_container(
    engine: Engine, record: Temporary, configuration: AttackConfiguration, setup: Mapping[str, Any], binds: Iterable[str]
) -> tuple[list[dict[str, Any]], str]:
    """Return the runner's records and the ID of the container, which is removed."""
    container = ""
    try:
        name = f"{record.name}{build_suffix(configuration)}"
        container = engine.post("/containers/create", build_request(record.image, configuration, setup, binds), name=name)["Id"]
        engine.post(f"/containers/{container}/start")
        with suppress(EngineUnreachable):  # timeout: results until then count, the rest is unknown
            engine.post(f"/containers/{container}/wait")
        return parse_log(engine.read(f"/containers/{container}/logs", stdout=True, stderr=True)), str(container)
    finally:
        if container:
            remove_container(engine, container)


def build_request(image: str, configuration: AttackConfiguration, setup: Mapping[str, Any], binds: Iterable[str]) -> dict[str, Any]:
    """Return the API request that creates a container: no network, no ports, bounded."""
    return {
        "Image": image,
        "Cmd": build_command(),
        "User": configuration.user,
        "Env": [f"{ENVIRONMENT}={json.dumps(setup)}"],
        "HostConfig": {
            "NetworkMode": "none",
            "CgroupnsMode": "host",
            "Binds": list(binds),
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            **configuration.host_config,
        },
    }


def build_suffix(configuration: AttackConfiguration) -> str:
    """Return the end of the name of a configuration's container."""
    return f"-{configuration.name.replace('_', '-')}"


def parse_log(log: bytes) -> list[dict[str, Any]]:
    """Return the runner's records from a container's log: frames of 8 bytes and a text (Docker Engine API: attach).

    A line that is not JSON (an error of Python) becomes `{"stray": line}`.
    """
    texts, offset = [], 0
    while offset + 8 <= len(log):
        length = int.from_bytes(log[offset + 4 : offset + 8], "big")
        texts.append(log[offset + 8 : offset + 8 + length])
        offset += 8 + length
    records = []
    for line in b"".join(texts).decode("utf-8", "replace").splitlines():
        record: Any = None
        with suppress(ValueError):
            record = json.loads(line)
        records.append(record if isinstance(record, dict) else {"stray": line})
    return records
