# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for a restart on a host, and how much room its engine has: what somebody should know before anything is changed there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .root import Host

# Written by the hooks of Debian's and Ubuntu's packages (unattended-upgrades, update-notifier-common) where those are installed.
REBOOT_REQUIRED = "/run/reboot-required"
_DATA_ROOT = "/var/lib/docker"


def observe_pending(host: Host, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Reading only.

    reboot:   packages that ask for a reboot, which may be none by name; None where nobody asks
    modules:  whether the modules of the running kernel are still there; None where the host keeps none at all
    replaced: whether dockerd's program is no longer the file that it was started from (man 5 proc_pid_exe: `(deleted)`)
    room:     path, free and size, in bytes, of the file system with the engine's data; None where there is no such folder
    """
    return {
        "reboot": _reboot(host),
        "modules": _modules(host),
        "replaced": _replaced(host, engine.get("pid")),
        "room": _room(host, engine.get("root_dir") or _DATA_ROOT),
    }


def _reboot(host: Host) -> list[str] | None:
    if not host.path(REBOOT_REQUIRED).exists():
        return None
    return sorted(set((host.read(f"{REBOOT_REQUIRED}.pkgs") or "").split()))


def _modules(host: Host) -> bool | None:
    if not host.path("/lib/modules").is_dir():
        return None
    return host.path(f"/lib/modules/{os.uname().release}").is_dir()


def _replaced(host: Host, pid: int | None) -> bool:
    try:
        return pid is not None and os.readlink(host.path(f"/proc/{pid}/exe")).endswith(" (deleted)")
    except OSError:  # it ended while we looked
        return False


def _room(host: Host, path: str) -> dict[str, Any] | None:
    try:
        disk = os.statvfs(host.path(path))
    except OSError:
        return None
    return {"path": path, "free": disk.f_bavail * disk.f_frsize, "size": disk.f_blocks * disk.f_frsize}
