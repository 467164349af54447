# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the kernel's audit rules and the files of Bulkhead's rules. The control node parses both (layers/audit_rules/kernel.py)."""

from __future__ import annotations

import base64
import os
import socket
import struct
import zlib
from typing import Any

from .root import Host

RULES = "/etc/audit/rules.d/99-bulkhead-docker.rules"  # the last: rules of others take precedence
FOLDERS = "/etc/tmpfiles.d/bulkhead-audit-rules.conf"
_PROGRAMS = ("", "-shim", "-shim-runc-v1", "-shim-runc-v2")


def observe_rules(host: Host, **own: str) -> dict[str, Any]:
    """Return the state of layer audit_rules. own: name -> path, of what the engine configures.

    places: name or path -> path, and real path if it exists. kernel: answers of the kernel's audit, compressed, in base64. error: why it gives
    none. installed: whether auditd is. texts: of both files.
    """
    found: dict[str, Any] = {"kernel": "", "error": None, "places": {}, "texts": [host.read(RULES), host.read(FOLDERS)]}
    fixed = ("/run/containerd", *(f"/usr/bin/containerd{name}" for name in _PROGRAMS), "/usr/bin/runc", "/usr/sbin/runc")
    for name, path in {**{path: path for path in fixed}, **own}.items():
        place = host.path(path)
        found["places"][name] = path, f"/{os.path.relpath(os.path.realpath(place), host.root)}" if place.exists() else None
    found["installed"] = host.path("/sbin/auditctl").exists() and host.path(RULES).parent.is_dir()
    try:
        found["kernel"] = base64.b64encode(zlib.compress(read_kernel())).decode()
    except OSError as error:
        found["error"] = str(error)
    return found


def read_kernel() -> bytes:
    """Return the answers to AUDIT_GET and AUDIT_LIST_RULES, or a NLMSG_ERROR (linux/audit.h, linux/netlink.h). Raises OSError."""
    answers = b""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as link:  # NETLINK_AUDIT
        link.settimeout(5)
        for kind, last in ((1000, 1000), (1013, 3)):
            link.send(struct.pack("=IHHII", 16, kind, 1, 1, 0))
            while struct.unpack_from("=H", message := link.recv(1 << 16), 4)[0] not in (2, last):
                answers += message
            answers += message
    return answers
