# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the calls that seccomp denied to containers as the recorder counted them: an errno is in no log."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..host.root import RECORDED, RECORDED_LIMIT, Host

RECORDER = "recorder"


def read_recorded_denials(host: Host, since: float) -> tuple[list[dict[str, Any]], str]:
    """Return an entry per container, call and errno that was denied since then, and why the file cannot be read; empty without a recorder.

    ENOSYS is left out: engines and runtimes answer so that C libraries use an older call, such as clone instead of clone3 (moby
    profiles/seccomp/default.json; runc libcontainer/seccomp/patchbpf). The recording of the service has these calls.
    """
    try:
        text = host.read(RECORDED, RECORDED_LIMIT)
        recorded = json.loads(text) if text is not None else {"instances": [], "host": {}}
        return [
            _build_entry(instance, call, recorded["host"].get("machine"), since)
            for instance in recorded["instances"]
            for call in instance["denied_calls"]
            if call["last"] >= since and call["errno"] != errno.ENOSYS
        ], ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [], f"{RECORDED} cannot be read, so calls that the recorder saw denied are missing: {error!r}"


def is_counted_by_recorder(entry: Mapping[str, Any], recorded: set[tuple[str, str]]) -> bool:
    """Return whether an entry of the logs is an errno that the recorder counted too. recorded: ID of the container and call."""
    return (
        entry["layer"] == "seccomp"
        and entry["detail"].startswith("action=errno")
        and ((entry["container"] or {}).get("id"), entry["operation"]) in recorded
    )


def _build_entry(instance: Mapping[str, Any], call: Mapping[str, Any], machine: str | None, since: float) -> dict[str, Any]:
    detail = f"errno={errno.errorcode.get(call['errno'], call['errno'])}"
    if call["abi"] != machine:
        detail += f" abi={call['abi']}"
    begins = datetime.fromtimestamp(call["first"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {
        "layer": "seccomp",
        "denied": True,
        "operation": call["name"],
        "detail": f"{detail} (recorder{f', counted since {begins}' if call['first'] < since else ''})",
        "profile": instance.get("apparmor"),
        "comm": "unknown",
        "exe": None,
        "scope": "container",
        "container": {key: instance.get(key) for key in ("id", "name", "image")},
        "by": RECORDER,
        "candidates": [],
        "count": call["count"],
        "first": call["first"],
        "last": call["last"],
        "pids": [],
    }
