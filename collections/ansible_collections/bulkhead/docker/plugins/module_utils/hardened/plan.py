# SPDX-License-Identifier: GPL-3.0-or-later
"""What hardened containers need: compare the list with what the engine has. community.docker does the running (role hardened_container)."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.api import Engine, EngineError
from ..host.root import Host
from .settings import COMPOSE, CONTAINER, LABEL, container, seccomp_path

CREATE, REPLACE, START, REMOVE = "create", "replace", "start", "remove"
# On each container that a compose project runs (compose: pkg/api/labels.go).
_PROJECT = "com.docker.compose.project"


class CannotRun(Exception):
    """The containers can't be run as described; the message says why, and what to do."""


@dataclass
class Plan:
    """By container. actions: what it needs, where it needs anything. options: for docker_container, where that runs it.

    moved: the image that it has, where its image's name stands for another one now.
    """

    actions: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)


def plan(host: Host, engine: Engine, containers: Iterable[Mapping[str, Any]], folder: str, run_by: str, project: str) -> Plan:
    """Nothing is changed. folder: of the seccomp profiles. project: the compose project's name.

    Raises CannotRun, EngineError, EngineUnreachable, OSError.
    """
    planned = Plan()
    for entry in containers:
        name = entry["name"]
        present = _inspect(engine, f"/containers/{name}/json")
        if present is not None:
            _ours(name, present["Config"].get("Labels") or {}, project if run_by == COMPOSE else "")
        if entry["state"] == "absent":
            if present:
                planned.actions[name] = REMOVE
            continue
        text = _profile(host, entry, folder)
        planned.fingerprints[name] = mark = fingerprint(entry, text)
        now = _inspect(engine, f"/images/{entry['image']}/json") if present else None
        action = decide(present, mark, now["Id"] if now else None)
        if action:
            planned.actions[name] = action
            if run_by == CONTAINER:
                planned.options[name] = container(entry, text, mark)
        if present and now and now["Id"] != present["Image"]:
            planned.moved[name] = present["Image"]
    return planned


def decide(present: Mapping[str, Any] | None, mark: str, image: str | None) -> str:
    """Pure. present: `docker inspect` of the container; image: ID of the image that its name stands for now, None where it is not there."""
    if present is None:
        return CREATE
    if present["Config"]["Labels"][LABEL] != mark or (image and image != present["Image"]):
        return REPLACE
    return "" if present["State"]["Running"] else START


def fingerprint(entry: Mapping[str, Any], seccomp: str) -> str:
    """Of the settings that a container was made with. seccomp: its profile's text, as neither compose nor the engine sees that a file has changed."""
    return hashlib.sha256(json.dumps([dict(entry), seccomp], sort_keys=True).encode()).hexdigest()


def _ours(name: str, labels: Mapping[str, str], project: str) -> None:
    """project: the compose project that it should be of; empty for none. Raises CannotRun."""
    if LABEL not in labels:
        raise CannotRun(f"container {name} is there and was not made by this role; remove or rename it, or give this one another name")
    has = labels.get(_PROJECT, "")
    if has != project:
        words = [f"by compose project {one}" if one else "by itself" for one in (has, project)]
        raise CannotRun(
            f"container {name} is run {words[0]}, and would now be run {words[1]}; set hardened_container_run_by and"
            f" hardened_container_project as they were, or remove it first (docker rm --force {name})"
        )


def lacking(run_by: str) -> str:
    """Why community.docker can't run containers here; empty when it can. Asks the client for its compose plugin, which takes a moment."""
    if run_by == COMPOSE:
        try:
            asked = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the docker client does not run: {error}"
        if asked.returncode == 0:
            return ""
        return (
            "this host has no compose plugin (version 2 or newer) for the docker client; install docker-compose (Debian 13 or newer) or"
            " docker-compose-plugin (Docker's own packages), or set hardened_container_run_by: container"
        )
    if importlib.util.find_spec("requests"):
        return ""
    return "community.docker.docker_container needs the Python package requests on this host; install python3-requests"


def _inspect(engine: Engine, path: str) -> dict[str, Any] | None:
    """None when there is no such thing."""
    try:
        answer: dict[str, Any] = engine.get(path)
        return answer
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def _profile(host: Host, entry: Mapping[str, Any], folder: str) -> str:
    path = seccomp_path(entry, folder)
    text = host.read(path) if path else ""
    if text is None:
        raise CannotRun(
            f"container {entry['name']}: {path} is not on this host; run the role seccomp_profiles first, or name another seccomp_profile"
        )
    return text
