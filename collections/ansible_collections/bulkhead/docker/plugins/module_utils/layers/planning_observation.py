# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation that planning needs: more of the host than judging does, and less of each container. Reads only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..engine.api import Engine
from ..engine.contents import list_contents
from ..engine.instance import ROOTFUL, Instance
from ..engine.summaries import read_summaries
from ..engine_config.observe_managed import explain_fixed, observe_managed
from ..host.root import STATE_DIR, Host
from ..subid.accounts import find_named
from .observation import observe_host
from .rootless.observe_setup import observe_setup

# Written by the hooks of Debian's and Ubuntu's packages (unattended-upgrades, update-notifier-common) where those are installed.
REBOOT_REQUIRED = "/run/reboot-required"


def observe_for_planning(host: Host, engine: Engine, instance: Instance = ROOTFUL, remap_user: str = "") -> dict[str, Any]:
    """Return what planning calls `observed`, with one line per container. remap_user: the desired value of `userns-remap`.

    daemon_json.fixed: why not even root can change the file; None when it can.
    """
    observed = observe_host(host, engine, instance, read_summaries, list_contents)
    observed["layers"]["rootless"].update(observe_setup(host, instance, observed["layers"]["rootless"]))
    userns = observed["layers"]["userns"]
    for kind, rows in find_named(host, remap_user).items():
        userns["named"][kind] |= rows
    file = observed["daemon_json"]
    file["fixed"] = explain_fixed(instance.scope_host(host), file["path"]) if file["exists"] else None
    return {
        **observed,
        "pending": observe_pending(host, observed["engine"], observed["unit"]["data_root"]),
        **observe_managed(host, instance),
        "recorded": _read_recorded(host),
    }


def _read_recorded(host: Host) -> dict[str, Any] | None:
    """Return the calls that the recorder saved of running containers; None without them."""
    try:
        found = json.loads(host.read(f"{STATE_DIR}/recorder/recorded.json", 1 << 29) or "null")
        found["instances"] = [{**each, "access": [], "written": []} for each in found["instances"] if each["running"]]
        return {key: found[key] for key in ("host", "sources", "instances")} if found["format"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
