# SPDX-License-Identifier: GPL-3.0-or-later
"""Running hardened containers over the engine's API: compare, then create, replace, start or remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..engine.api import Engine, EngineError
from ..host.root import Host
from .settings import creation, seccomp_path

# On each container that is ours; the value says with which settings it was made.
LABEL = "io.bulkhead.hardened"
CREATE, REPLACE, START, REMOVE = "create", "replace", "start", "remove"
_BEFORE = "-before"


class CannotRun(Exception):
    """A container can't be run as described; the message says why, and what to do."""


@dataclass
class Step:
    """What one container needs. action: empty for nothing."""

    name: str
    action: str = ""
    body: dict[str, Any] = field(default_factory=dict)


def plan(host: Host, engine: Engine, containers: Iterable[Mapping[str, Any]], folder: str) -> list[Step]:
    """Raises CannotRun, EngineError, EngineUnreachable, OSError. Nothing is changed."""
    steps = []
    for entry in containers:
        present = inspect(engine, entry["name"])
        if present is not None and LABEL not in (present["Config"].get("Labels") or {}):
            raise CannotRun(
                f"container {entry['name']} is there and was not made by this role; remove or rename it, or give this one another name"
            )
        if entry["state"] == "absent":
            steps.append(Step(entry["name"], REMOVE if present else ""))
            continue
        body = creation(entry, _profile(host, entry, folder))
        body["Labels"] = {LABEL: fingerprint(body)}
        steps.append(Step(entry["name"], decide(present, body, _image_id(engine, entry["image"]) if present else None), body))
    return steps


def decide(present: Mapping[str, Any] | None, body: Mapping[str, Any], image: str | None) -> str:
    """Pure. present: `docker inspect` of the container; image: ID of the image that its name stands for now, None where it is not there."""
    if present is None:
        return CREATE
    if present["Config"]["Labels"][LABEL] != body["Labels"][LABEL] or (image and image != present["Image"]):
        return REPLACE
    return "" if present["State"]["Running"] else START


def fingerprint(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def apply(engine: Engine, step: Step) -> None:
    """Raises CannotRun, EngineError, EngineUnreachable. A successor that does not start is removed, and the old container comes back."""
    if step.action == REMOVE:
        engine.delete(f"/containers/{step.name}", force=True)
    elif step.action == START:
        engine.post(f"/containers/{step.name}/start")
    elif step.action == CREATE:
        _create(engine, step)
    elif step.action == REPLACE:
        _pull(engine, step.body["Image"])
        before = f"{step.name}{_BEFORE}"
        with suppress(EngineError):
            engine.delete(f"/containers/{before}", force=True)
        engine.post(f"/containers/{step.name}/stop")
        engine.post(f"/containers/{step.name}/rename", **{"name": before})
        try:
            _create(engine, step)
        except (CannotRun, EngineError):
            engine.post(f"/containers/{before}/rename", **{"name": step.name})
            engine.post(f"/containers/{step.name}/start")
            raise
        engine.delete(f"/containers/{before}", force=True)


def inspect(engine: Engine, name: str) -> dict[str, Any] | None:
    """None when there is no such container."""
    try:
        answer: dict[str, Any] = engine.get(f"/containers/{name}/json")
        return answer
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def _create(engine: Engine, step: Step) -> None:
    _pull(engine, step.body["Image"])
    try:
        engine.post("/containers/create", step.body, name=step.name)
        engine.post(f"/containers/{step.name}/start")
    except EngineError as error:
        with suppress(EngineError):
            engine.delete(f"/containers/{step.name}", force=True)
        raise CannotRun(f"container {step.name} does not start: {error.message}") from error


def _image_id(engine: Engine, image: str) -> str | None:
    try:
        return str(engine.get(f"/images/{image}/json")["Id"])
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def _pull(engine: Engine, image: str) -> None:
    if _image_id(engine, image):
        return
    answer = engine.post("/images/create", fromImage=image if ":" in image.rsplit("/", 1)[-1] or "@" in image else f"{image}:latest")
    lines = answer if isinstance(answer, list) else [answer]
    problem = next((line["error"] for line in lines if isinstance(line, dict) and "error" in line), None)
    if problem:
        raise CannotRun(f"image {image} can't be pulled: {problem}")


def _profile(host: Host, entry: Mapping[str, Any], folder: str) -> str:
    path = seccomp_path(entry, folder)
    text = host.read(path) if path else ""
    if text is None:
        raise CannotRun(
            f"container {entry['name']}: {path} is not on this host; run the role seccomp_profiles first, or name another seccomp_profile"
        )
    return text
