# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with files, and evidence as module verify_layers gathers it; tests change single parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

ID = "c" * 64


def write_files(root: Host | Path, files: Mapping[str, str | bytes]) -> Host:
    """Write these files below the root, with the folders above them, and return the host that has them. files: path -> content."""
    host = root if isinstance(root, Host) else Host(root)
    for path, content in files.items():
        file = host.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return host


def build_container(
    kernel: Mapping[str, Any] | None = None,
    *others: dict[str, Any],
    host_config: Any = None,
    inspect: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return the evidence on a container, or on the probe, as engine/containers.py makes it.

    kernel: the state of its first process; without any, nothing was read of it. others: the states of its other tasks.
    """
    first = {"pid": 7, "unreadable": {}, **(kernel or {})}
    base: dict[str, Any] = {
        "name": "web", "id": ID, "pid": first["pid"], "image": "i", "error": None, "runtime": {"name": "", "shares_kernel": True},
        "kernel": first, "states": [first, *others], "processes": 1 + len(others), "commands": [], "unread": [], "mountinfo": {},
        "seccomp_filter": None,
    }  # fmt: skip
    seen: dict[str, Any] = {"AppArmorProfile": "", "User": "", "HostConfig": host_config or {}, "Mounts": [], "Ports": {}, "SecretNames": 0}
    return {**base, "inspect": {**seen, **(inspect or {})}, **changes}


def build_evidence(observed: Mapping[str, Any] | None = None, probe: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the evidence on the selected engine of a host, as layers/evidence.py makes it."""
    base: dict[str, Any] = {
        "observed": dict(observed or {}),
        "probe": probe,
        "probe_error": None if probe else "no probe",
        "containers": [],
    }
    return {**base, "exposures": {}, "layer_evidence": {}, "other_engines": {}, **changes}
