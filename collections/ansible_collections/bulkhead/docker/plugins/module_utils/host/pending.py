# SPDX-License-Identifier: GPL-3.0-or-later
"""Pending reboots and restarts of a host, and the disk space of its engine: what to know before a change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .root import Host

# Written by the hooks of Debian's and Ubuntu's packages (unattended-upgrades, update-notifier-common) where those are installed.
REBOOT_REQUIRED = "/run/reboot-required"


def observe_pending(host: Host, engine: Mapping[str, Any], data_root: str) -> dict[str, Any]:
    """Return what is pending on the host. data_root: where a stopped engine has its data.

    reboot:     packages that require a reboot, possibly an empty list; None when no reboot is required
    modules:    whether the modules of the running kernel exist; None when the host has no modules at all
    replaced:   whether the running dockerd's program file was replaced (man 5 proc_pid_exe: `(deleted)`)
    disk_space: path, free and size, in bytes, of the file system with the engine's data; None when the folder does not exist
    """
    return {
        "reboot": _read_reboot(host),
        "modules": _has_modules(host),
        "replaced": _is_replaced(host, engine.get("pid")),
        "disk_space": _read_disk_space(host, engine.get("root_dir") or data_root),
    }


def _read_reboot(host: Host) -> list[str] | None:
    if not host.path(REBOOT_REQUIRED).exists():
        return None
    return sorted(set((host.read(f"{REBOOT_REQUIRED}.pkgs") or "").split()))


def _has_modules(host: Host) -> bool | None:
    if not host.path("/lib/modules").is_dir():
        return None
    return host.path(f"/lib/modules/{os.uname().release}").is_dir()


def _is_replaced(host: Host, pid: int | None) -> bool:
    try:
        return pid is not None and os.readlink(host.path(f"/proc/{pid}/exe")).endswith(" (deleted)")
    except OSError:  # it ended meanwhile
        return False


def _read_disk_space(host: Host, path: str) -> dict[str, Any] | None:
    try:
        disk = os.statvfs(host.path(path))
    except OSError:
        return None
    return {"path": path, "free": disk.f_bavail * disk.f_frsize, "size": disk.f_blocks * disk.f_frsize}
