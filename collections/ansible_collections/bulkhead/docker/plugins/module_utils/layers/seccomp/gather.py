# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers evidence of seccomp: the probe's filters in the kernel, and the file of the daemon-wide profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...host.root import Host, sha256
from ...seccomp import dump


def gather_evidence(host: Host, probe: Mapping[str, Any] | None, expect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence of the probe.

    dumped: its filters as texts (None: not read; `error` says why). file: the file of the daemon-wide profile, with its `text` if the
    expectation has none. builtin: `pid`, `dumped` and `error` of the container with the engine's built-in profile, if there is one.
    """
    found: dict[str, Any] = {"dumped": None, "error": None, "file": None, "builtin": None}
    desired = expect.get("daemon_profile")
    if desired:
        found["file"] = _read_profile_file(host, desired["path"])
        if desired.get("content") is not None:
            found["file"].pop("text")
    if probe is None:
        return found
    builtin = probe.get("builtin")
    if builtin:
        found["builtin"] = {"pid": builtin.get("pid"), **_dump(builtin)}
    return {**found, **_dump(probe)}


def _dump(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of a container's first process as texts, or why they were not read."""
    error = container.get("error") or container.get("untraceable")
    if error:
        return {"dumped": None, "error": error}
    try:
        return {"dumped": dump.read_filter_texts(container["pid"], container["kernel"].get("started")), "error": None}
    except OSError as problem:
        return {"dumped": None, "error": str(problem)}


def _read_profile_file(host: Host, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "sha256": None, "mtime": None, "error": None, "text": None}
    try:
        found["text"] = host.read(path)
        if found["text"] is not None:
            found.update(sha256=sha256(found["text"]), mtime=host.path(path).stat().st_mtime)
    except OSError as error:
        found["error"] = str(error)
    return found
