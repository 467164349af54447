# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the engine's metadata say of its images: user, health check, names of variables, and how they were built. No file of an image is read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..engine.containers import SECRET_NAME
from ..engine.inspection import list_tags

# Seconds for all images. Images that are not read in this time are counted, and their controls are unknown.
BUDGET = 10.0
_ADD = re.compile(r"(?:^|#\(nop\)\s+)ADD\s")
_UPDATE = re.compile(r"\b(?:apt-get|apt|apk|yum|dnf|zypper)\s+(?:-\S+\s+)*(?:update|refresh|makecache)\b")
_INSTALL = re.compile(r"\b(?:install|add|upgrade|dist-upgrade)\b")
_SETTING = re.compile(r"(?:#\(nop\)\s+)?\b(?:ENV|ARG)\s+(\w+)=")


def read_images(get: Callable[..., Any]) -> dict[str, Any]:
    """Return `images` and `unread`, the number of those for which the time did not suffice. get: of the engine's API."""
    until, images, unread = time.monotonic() + BUDGET, [], 0
    for entry in get("/images/json"):
        if time.monotonic() > until:
            unread += 1
            continue
        inspect, history = get(f"/images/{entry['Id']}/json"), get(f"/images/{entry['Id']}/history")
        images.append(describe_image(entry, inspect, history))
    return {"images": images, "unread": unread}


def describe_image(entry: Mapping[str, Any], inspect: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what judging needs of one image. Of variables only the number of names that look like secrets leaves the host."""
    config = inspect.get("Config") or {}
    steps = [str(step.get("CreatedBy") or "") for step in reversed(history)]  # the engine lists the newest first
    names = {variable.partition("=")[0] for variable in config.get("Env") or ()}
    names.update(match[1] for step in steps for match in _SETTING.finditer(step))
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return {
        "id": entry["Id"],
        "tags": list_tags(entry),
        "user": config.get("User") or "",
        "health_check": test[0] != "NONE",
        "secret_names": sum(bool(SECRET_NAME.fullmatch(name)) for name in names),
        # The first step of a base image is the ADD of its root file system.
        "adds": sum(bool(_ADD.search(step)) for step in steps[1:]),
        "updates_alone": sum(bool(_UPDATE.search(step)) and not _INSTALL.search(step) for step in steps),
    }
