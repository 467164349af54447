# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the desired hardened containers with those of the engine. community.docker then runs what differs (role hardened_container)."""

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
from .obstacles import find_missing_sources, find_obstacles
from .settings import COMPOSE, CONTAINER, LABEL, build_container_options, get_seccomp_path

CREATE, REPLACE, START, REMOVE = "create", "replace", "start", "remove"
# Label of each container that a compose project runs (compose: pkg/api/labels.go).
_PROJECT = "com.docker.compose.project"


class CannotRun(Exception):
    """The containers cannot be run as described. The message gives the reason and what to do."""


@dataclass
class ContainersPlan:
    """Each mapping is by the container's name. actions: only of containers that differ. options: for docker_container, if that runs the container.

    moved: the ID of the container's image, if the image's name now means another one. missing: images that the engine has to pull
    first. warnings: one message each.
    """

    actions: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_containers(
    host: Host, engine: Engine, containers: Iterable[Mapping[str, Any]], folder: str, run_by: str, project: str
) -> ContainersPlan:
    """Return what differs. folder: of the seccomp profiles. project: the compose project's name.

    Raises CannotRun, EngineError, EngineUnreachable, OSError.
    """
    planned = ContainersPlan()
    containers = list(containers)
    for entry in containers:
        name = entry["name"]
        present = _inspect(engine, f"/containers/{name}/json")
        if present is not None:
            _check_owner(name, present["Config"].get("Labels") or {}, project if run_by == COMPOSE else "")
        if entry["state"] == "absent":
            if present:
                planned.actions[name] = REMOVE
            continue
        text = _read_profile(host, entry, folder)
        planned.fingerprints[name] = fingerprint = compute_fingerprint(entry, text)
        image = _inspect(engine, f"/images/{entry['image']}/json")
        action = choose_action(present, fingerprint, image["Id"] if image else None)
        if action:
            planned.actions[name] = action
            if not image and action != START and entry["image"] not in planned.missing:
                planned.missing.append(entry["image"])
            if run_by == CONTAINER:
                _check_spare_names(engine, name, action)
                planned.options[name] = build_container_options(entry, text, fingerprint)
        if present and image and image["Id"] != present["Image"]:
            planned.moved[name] = present["Image"]
    starting = {name for name, action in planned.actions.items() if action != REMOVE}
    if starting:
        obstacles = list(find_obstacles(host, lambda path: _inspect(engine, path), containers, starting))
        if obstacles:
            raise CannotRun("\n".join(obstacles))
        planned.warnings += find_missing_sources(host, containers, starting)
    return planned


def choose_action(present: Mapping[str, Any] | None, fingerprint: str, image: str | None) -> str:
    """Return the action for a container; empty for none. Pure.

    present: `docker inspect` of the container; None without one. image: ID of the image that the image's name means now; None without one.
    """
    if present is None:
        return CREATE
    if present["Config"]["Labels"][LABEL] != fingerprint or (image and image != present["Image"]):
        return REPLACE
    return "" if present["State"]["Running"] else START


def compute_fingerprint(entry: Mapping[str, Any], seccomp: str) -> str:
    """Return a digest of a container's settings. seccomp: text of its profile, because neither compose nor the engine notices a changed file."""
    # What verification accepts is not a setting of the container, which would otherwise be replaced.
    # Lists of earlier versions have no ulimits.
    settings = {key: value for key, value in entry.items() if key != "allow_exposures" and (key != "ulimits" or value)}
    return hashlib.sha256(json.dumps([settings, seccomp], sort_keys=True).encode()).hexdigest()


def _check_owner(name: str, labels: Mapping[str, str], project: str) -> None:
    """Check that the role created the container, in this compose project; empty for none. Raises CannotRun."""
    if LABEL not in labels:
        raise CannotRun(f"container {name} exists and was not created by this role; remove or rename it, or write another name")
    has = labels.get(_PROJECT, "")
    if has != project:
        texts = [f"by compose project {entry}" if entry else "without a compose project" for entry in (has, project)]
        raise CannotRun(
            f"container {name} is run {texts[0]}, and would now be run {texts[1]}; set hardened_container_run_by and"
            f" hardened_container_project as they were, or remove it first (docker rm --force {name})"
        )


def _check_spare_names(engine: Engine, name: str, action: str) -> None:
    """Check that no other container has a name that a replacement needs (roles/hardened_container/tasks/container.yml). Raises CannotRun."""
    for spare in [f"{name}-before", f"{name}-next"] if action == REPLACE else []:
        present = _inspect(engine, f"/containers/{spare}/json")
        if present is not None and LABEL not in (present["Config"].get("Labels") or {}):
            raise CannotRun(f"container {spare} exists, and its name is needed while {name} is replaced; remove or rename it")


def find_missing_tool(run_by: str) -> str:
    """Return what community.docker lacks on this host, as a message; empty if nothing is missing. Runs the docker client, which takes a moment."""
    if run_by == COMPOSE:
        try:
            result = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the docker client does not run: {error}"
        if result.returncode == 0:
            return ""
        return (
            "this host has no compose plugin (version 2 or later) for the docker client; install docker-compose (Debian 13 or later) or"
            " docker-compose-plugin (Docker's own packages), or set hardened_container_run_by: container"
        )
    if importlib.util.find_spec("requests"):
        return ""
    return "community.docker.docker_container needs the Python package requests on this host; install python3-requests"


def _inspect(engine: Engine, path: str) -> dict[str, Any] | None:
    """Return an object of the engine; None without one."""
    try:
        answer: dict[str, Any] = engine.get(path)
        return answer
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def _read_profile(host: Host, entry: Mapping[str, Any], folder: str) -> str:
    path = get_seccomp_path(entry, folder)
    text = host.read(path) if path else ""
    if text is None:
        raise CannotRun(
            f"container {entry['name']}: {path} does not exist on this host; run role seccomp_profiles first, or write another seccomp_profile"
        )
    return text
