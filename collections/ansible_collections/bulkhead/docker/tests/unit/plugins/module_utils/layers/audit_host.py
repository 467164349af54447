# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's audit rules and the engine's files, as an observation shows them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.host.audit_loading import build_rule

ALL, EQUAL, KEY = 0xFFFFFFFF, 0x40000000, b"mine"
DESIRED: dict[str, Any] = {"docker_audit_rules_layer": "optional", "docker_audit_rules_exclude": []}
PROGRAMS = {path: [path, path] for path in ("/run/containerd", "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc")}
ABSENT = {path: [path, None] for path in ("/usr/bin/containerd-shim", "/usr/bin/containerd-shim-runc-v1")}
PLACES = {
    "dockerd": ["/usr/sbin/dockerd", "/usr/sbin/dockerd"],
    "data_root": ["/var/lib/docker", "/var/lib/docker"],
    **PROGRAMS,
    **ABSENT,
    "/usr/bin/runc": ["/usr/bin/runc", "/usr/sbin/runc"],
}
FILES = {
    "/etc/docker": "folder",
    "/etc/docker/daemon.json": "config",
    "/usr/lib/systemd/system/docker.service": "unit",
    "/run/containerd/containerd.sock": "containerd_socket",
}
WATCHED = (
    *("/usr/sbin/dockerd", "/run/containerd", "/var/lib/docker", "/etc/docker", "/usr/lib/systemd/system/docker.service"),
    *("/run/containerd/containerd.sock", "/etc/docker/daemon.json", "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2"),
    "/usr/sbin/runc",
)
FOLDERS = {"/run/containerd", "/var/lib/docker", "/etc/docker"}


def pack_rule(
    fields: Sequence[tuple[int, int]], texts: bytes = b"", filter: int = 4, action: int = 2, mask: int = ALL, operator: int = EQUAL
) -> bytes:
    """Return a struct audit_rule_data."""
    rest = [0] * (64 - len(fields))
    numbers = [*(kind for kind, unused in fields), *rest, *(value for unused, value in fields), *rest, *[operator] * len(fields), *rest]
    return struct.pack("=3I", filter, action, len(fields)) + struct.pack(f"={64 + 192 + 1}I", *[mask] * 64, *numbers, len(texts)) + texts


def watch(path: str, folder: bool = False, permissions: int = 10, extra: Sequence[tuple[int, int]] = (), **more: Any) -> bytes:
    """Return a rule of others that watches a path."""
    fields = [(107 if folder else 105, len(path)), (106, permissions), (210, len(KEY)), *extra]
    return pack_rule(fields, path.encode() + KEY, **more)


def managed(paths: Sequence[str] = WATCHED) -> list[bytes]:
    return [build_rule(path, path in FOLDERS) for path in paths]


def answer(rules: Sequence[bytes], enabled: int = 1, receiver: int = 5) -> str:
    """Return what host/audit_rules.py reads of a kernel with these rules."""
    messages = [(1000, struct.pack("=8I", 0, enabled, 1, receiver, 0, 64, 0, 0)), *((1013, rule) for rule in rules), (3, b"")]
    raw = b"".join(struct.pack("=IHHII", 16 + len(data), kind, 0, 1, 0) + data + b"\0" * (-len(data) % 4) for kind, data in messages)
    return base64.b64encode(zlib.compress(raw)).decode()


def make_observed(rules: Sequence[bytes] = (), user: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an observation. more: enabled, receiver, and parts of the layer's state."""
    kernel = answer(rules, **{key: more.pop(key) for key in ("enabled", "receiver") if key in more})
    state = {"kernel": kernel, "error": None, "places": PLACES, "installed": True, "texts": [None, None], **more}
    files = {path: {"kind": kind, "target": None} for path, kind in FILES.items()}
    return {
        "instance": user or {"user": "", "uid": 0, "gid": 0, "home": ""},
        "daemon_json": {"path": "/etc/docker/daemon.json"},
        "layers": {"audit_rules": state, "files": {"files": files}},
    }
