# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the summary of all recordings that `report_recordings` wrote, for the page of the fleet and the metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .text import escape_hidden, escape_value

REPORT = "recordings.json"
# Engines and runtimes answer ENOSYS so that C libraries use an older call (module_utils/audit/recorded.py).
ORDINARY = "ENOSYS"
_EVENTS = ("starts", "stops", "restarts", "execs", "health_checks")
_TEXTS = ("service", "stage", "reason", "first", "last", "estimate", "failure")
_LISTS = ("hosts", "missing", "not_recorded", "notes")


def read_recordings(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the services, every string escaped, and one message if the file is not such a summary. Neither without a file."""
    path = folder / REPORT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        services = _get_list(content, "services", dict)
        for service in services:
            _check_service(service)
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError) as error:
        return [], [f"{escape_hidden(str(path))} is not a summary of recordings: {escape_hidden(str(error))}"]
    return escape_value(services), []


def count_denied_calls(service: Mapping[str, Any]) -> int:
    """Return how often seccomp denied calls of the service, without calls that got ENOSYS only."""
    return sum(call["count"] for call in service["denied_calls"].values() if set(call["errnos"]) != {ORDINARY})


def _check_service(service: Mapping[str, Any]) -> None:
    """Check what page and metrics rely on. Raises ValueError."""
    for key in _TEXTS:
        if not isinstance(service.get(key), str):
            raise ValueError(f"a service has no text {key}")
    name = service["service"]
    for key in _LISTS:
        _get_list(service, key, str, name)
    for key in ("instances", "calls", "access"):
        _check_number(service, key, name)
    if not isinstance(service.get("passed"), bool):
        raise ValueError(f"service {name} has no boolean passed")
    for key in _EVENTS:
        _check_number(_get_mapping(service, "events", name), key, name)
    for gap in _get_list(service, "gaps", dict, name):
        if not all(isinstance(gap.get(key), str) for key in ("host", "kind", "text")):
            raise ValueError(f"a gap of service {name} has no host, kind or text")
    denied = _get_mapping(service, "denied_calls", name)
    for call in denied:
        own = _get_mapping(denied, call, name)
        _check_number(own, "count", name)
        _get_list(own, "errnos", str, name)
    if service.get("reduction") is not None:
        _check_reduction(_get_mapping(service, "reduction", name), name)


def _check_reduction(reduction: Mapping[str, Any], name: str) -> None:
    for key in ("allowed", "default_allowed", "already"):
        _check_number(reduction, key, name)
    for each in _get_list(reduction, "stopped", dict, name):
        if not all(isinstance(each.get(key), str) for key in ("cve", "title", "url", "lacks")):
            raise ValueError(f"a vulnerability of service {name} has no cve, title, url or lacks")
        if not each["url"].startswith("https://"):
            raise ValueError(f"the url of {each['cve']} of service {name} does not begin with https://")


def _check_number(owner: Mapping[str, Any], key: str, name: str) -> None:
    if not isinstance(owner.get(key), int) or isinstance(owner[key], bool):
        raise ValueError(f"service {name} has no number {key}")


def _get_mapping(owner: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    found = owner.get(key)
    if not isinstance(found, dict):
        raise ValueError(f"{key} of service {name} is not a mapping")
    return found


def _get_list(owner: Mapping[str, Any], key: str, kind: type, name: str = "") -> list[Any]:
    found = owner.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, kind) for entry in found):
        of = f" of service {name}" if name else ""
        raise ValueError(f"{key}{of} is not a list of {'texts' if kind is str else 'mappings'}")
    return found
