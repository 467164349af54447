# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes what planning needs: more of the host than judging does, and less of each container. Reads only."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from typing import Any

from ..engine import program
from ..engine.api import Engine
from ..engine.contents import list_contents, read_summaries
from ..engine.instance import ROOTFUL, Instance, find_instance
from ..engine.records import list_open_ids
from ..host.accounts import find_named
from ..host.root import RECORDED, RECORDED_LIMIT, Host, read_state
from ..rootless import names
from .apparmor.observe import add_managed
from .observation import observe_host

# Written by the hooks of Debian's and Ubuntu's packages (unattended-upgrades, update-notifier-common) where those are installed.
REBOOT_REQUIRED = "/run/reboot-required"
_TOOLS = ("newuidmap", "newgidmap", "rootlesskit", "slirp4netns", "pasta", "fuse-overlayfs", "runc", "useradd")
_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin")


def observe_for_planning(host: Host, engine: Engine, instance: Instance = ROOTFUL, remap_user: str = "") -> dict[str, Any]:
    """Return what planning calls `observed`, with one line per container. remap_user: the desired value of `userns-remap`.

    daemon_json.fixed: why not even root can change the file; None if it can.
    """
    observed = observe_host(host, engine, instance, read_summaries, list_contents)
    add_managed(host, observed["layers"]["apparmor"])
    observed["layers"]["rootless"].update(observe_setup(host, instance, observed["layers"]["rootless"]))
    userns = observed["layers"]["userns"]
    for kind, rows in find_named(host, remap_user).items():
        userns["named"][kind] |= rows
    file = observed["daemon_json"]
    file["fixed"] = explain_fixed(instance.scope_host(host), file["path"]) if file["exists"] else None
    return {
        **observed,
        "pending": observe_pending(host, observed["engine"], observed["unit"]["data_root"]),
        **_observe_managed(host, instance),
        "recorded": _read_recorded(host),
    }


def observe_setup(host: Host, instance: Instance, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is added to the state of the layer for planning. layer: from `observe`.

    tools: name -> path. script: path of dockerd-rootless.sh. user_bus, restrict_userns, unprivileged_userns: whether the host has them. Of the
    engine's user: manager (whether it runs), context (names.read_context), data (whether it exists), takes_pasta (whether rootlesskit does).
    """
    found: dict[str, Any] = {"tools": {}}
    found["script"] = next((path for path in names.SCRIPTS if host.path(path).exists()), None)
    for tool in _TOOLS:
        found["tools"][tool] = next((f"{folder}/{tool}" for folder in _FOLDERS if os.access(host.path(f"{folder}/{tool}"), os.X_OK)), None)
    found["user_bus"] = any(host.path(f"{folder}/systemd/user/dbus.socket").exists() for folder in ("/usr/lib", "/lib", "/etc"))
    found["restrict_userns"] = (host.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") or "").strip() == "1"
    found["unprivileged_userns"] = (host.read("/proc/sys/kernel/unprivileged_userns_clone") or "1").strip() == "1"
    selected = instance if instance.rootless else find_instance(host, layer["state"].get("user"))
    if selected.rootless:
        exists = selected.uid is not None
        kit = found["tools"]["rootlesskit"]
        found.update(
            manager=exists and host.path(f"{selected.runtime_dir}/bus").exists(),
            context=names.read_context(selected.scope_host(host), selected) if exists else {},
            data=exists and host.path(f"{selected.home}/.local/share/docker").exists(),
            # A network driver since rootlesskit 2.0. A Go program contains the names of its drivers literally.
            takes_pasta=bool(kit and found["tools"]["pasta"] and program.contains_text(str(host.path(kit)), "pasta")),
        )
    return found


def _observe_managed(host: Host, instance: Instance) -> dict[str, Any]:
    """Return what Bulkhead manages for one engine. It runs no command.

    managed:     content of the engine's file in /var/lib/bulkhead (desired_files.py), managed_error when that is damaged
    interrupted: IDs of the changes of interrupted runs; the next daemon_config undoes them
    dockerd:     path, knows {key: bool}; path is None if it is not installed
    """
    host = instance.scope_host(host)
    managed, managed_error = {}, None
    try:
        managed = read_state(host, instance.subject)
    except ValueError as error:
        managed_error = str(error)
    return {
        "managed": managed,
        "managed_error": managed_error,
        "interrupted": list_open_ids(host),
        "dockerd": program.recall_known_keys(managed, program.PIDS_KEY) or {"path": None, "knows": {}},
    }


def explain_fixed(host: Host, path: str) -> str | None:
    """Return why not even root can replace the file (man 2 ioctl_iflags; 0x80086601 is FS_IOC_GETFLAGS); None if it can."""
    flags = bytearray(8)
    try:
        with host.as_owner(path), open(host.path(path), "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as handle:
            fcntl.ioctl(handle, 0x80086601, flags)
    except OSError:  # a file system without such flags
        return None
    words = [letter for letter, bit in (("i", 0x10), ("a", 0x20)) if flags[0] & bit]
    return f"{path}: cannot be changed, not even by root (chattr +{words[0]}); allow it with chattr -{words[0]} {path}" if words else None


def _read_recorded(host: Host) -> dict[str, Any] | None:
    """Return the calls that the recorder saved of running containers; None without them."""
    try:
        found = json.loads(host.read(RECORDED, RECORDED_LIMIT) or "null")
        found["instances"] = [{**each, "access": [], "written": []} for each in found["instances"] if each["running"]]
        return {key: found[key] for key in ("host", "sources", "instances")} if found["format"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def observe_pending(host: Host, engine: Mapping[str, Any], data_root: str) -> dict[str, Any]:
    """Return what is pending on the host. data_root: where a stopped engine has its data.

    reboot:     packages that require a reboot, possibly an empty list; None if no reboot is required
    modules:    whether the modules of the running kernel exist; None if the host has no modules at all
    replaced:   whether the running dockerd's program file was replaced (man 5 proc_pid_exe: `(deleted)`)
    disk_space: path, free and size, in bytes, of the file system with the engine's data; None if the folder does not exist
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
