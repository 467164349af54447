# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder's files on a host, and how to ask the running recorder."""

from __future__ import annotations

import json
import socket
from typing import Any

from ..host.root import RECORDED, RECORDED_LIMIT, STATE_DIR, Host

FOLDER = f"{STATE_DIR}/recorder"
PROGRAM = f"{FOLDER}/recorder.pyz"
SETTINGS = f"{FOLDER}/settings.json"
BACKLOG = f"{FOLDER}/backlog.json"
PROFILES = f"{FOLDER}/profiles"
UNIT_NAME = "bulkhead-recorder.service"
UNIT = f"/etc/systemd/system/{UNIT_NAME}"
RUNTIME_FOLDER = "bulkhead-recorder"  # below /run; systemd creates and removes it
CONTROL = f"/run/{RUNTIME_FOLDER}/control"


class RecorderNotRunning(Exception):
    """The recorder does not answer."""


def request_flush(host: Host, timeout: float) -> dict[str, Any]:
    """Make the running recorder save everything, and return its `version` and `settings`. Raises RecorderNotRunning."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout)
            link.connect(str(host.path(CONTROL)))
            link.sendall(b"flush\n")
            pieces = []
            while piece := link.recv(1 << 16):
                pieces.append(piece)
        answer = json.loads(b"".join(pieces))
    except (OSError, ValueError) as error:
        raise RecorderNotRunning(f"the recorder does not answer on {CONTROL}: {error}") from error
    if "error" in answer:
        raise RecorderNotRunning(f"the recorder could not save what it has recorded: {answer['error']}")
    return dict(answer)


def read_recorded(host: Host) -> dict[str, Any] | None:
    """Return what is recorded, without the recorder's own state; None without a file. Raises OSError, and ValueError for a damaged file."""
    text = host.read(RECORDED, RECORDED_LIMIT)
    if text is None:
        return None
    recorded = json.loads(text)
    if not isinstance(recorded, dict):
        raise ValueError(f"{RECORDED}: is not an object; remove it, and the recorder begins anew")
    recorded.pop("state", None)
    return recorded


def list_recorded_profiles(host: Host) -> list[str]:
    """Return the AppArmor profiles whose original data the recorder keeps."""
    folder = host.path(PROFILES)
    return sorted(path.name.removesuffix(".original") for path in folder.glob("*.original")) if folder.is_dir() else []


def read_boot_id(host: Host) -> str:
    """Return the ID that the kernel gave this boot (man 5 proc_sys_kernel)."""
    return (host.read("/proc/sys/kernel/random/boot_id") or "").strip()
