# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's configuration: daemon.json, the memory of managed keys, the flags of docker.service, and dockerd itself."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from ..engine import binary, unit
from ..engine.flags import parse_command_line
from ..engine.instance import ROOTFUL, Instance
from ..host import state
from ..host.root import Host
from . import daemon_json
from .drop_in import PIDS_KEY
from .transaction import list_open


def observe_config(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Return the configuration of one engine. The only command is dockerd's validation, as nobody, once per version of dockerd.

    daemon_json: path, exists, text (None without a file), error (a message when it is damaged), mtime, fixed (a message when not even root can
                 change it), referenced {key: {path, mtime}}: the files that it names
    managed:     content of the engine's file in /var/lib/bulkhead (desired_files.py), managed_error when that is damaged
    unit:        files (paths), argv, flags {flag: value}, places {flag: the file that has it}
    interrupted: IDs of the changes of interrupted runs; the next daemon_config undoes them
    dockerd:     path, knows {key: bool}; path is None when it is not installed
    """
    host = instance.scope_host(host)
    docker_unit = unit.read_unit(host, instance)
    flags = parse_command_line(docker_unit.argv)
    managed, managed_error = _read_managed(host, instance)
    return {
        "daemon_json": _read_daemon_json(host, flags.get("config-file", instance.config), instance),
        "managed": managed,
        "managed_error": managed_error,
        "interrupted": [transaction.id for transaction in list_open(host)],
        "unit": {
            "files": list(docker_unit.files),
            "argv": docker_unit.argv,
            "flags": flags,
            "places": {flag: unit.find_flag_file(flag, docker_unit.files) for flag in flags},
        },
        "dockerd": binary.recall_known_keys(managed, PIDS_KEY) or {"path": None, "knows": {}},
    }


def _read_daemon_json(host: Host, path: str, instance: Instance) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "exists": False, "text": None, "error": None, "mtime": None, "fixed": None, "referenced": {}}
    found["error"] = instance.explain_misplaced(path)
    if found["error"]:
        return found
    try:
        found["text"] = host.read(path)
        if found["text"] is None:
            if host.path(path).is_symlink():
                target = os.readlink(host.path(path))
                found["error"] = f"{path}: is a symbolic link to {target}, which does not exist; create that file, or remove the link"
            return found
        with host.as_owner(path) as owner:
            status = host.path(path).stat()
        if owner and status.st_uid != owner.uid:
            found["error"] = (
                f"{path}: is owned by user {status.st_uid}, but is in the home of user {owner.uid}; change the owner: chown {owner.uid} {path}"
            )
            return found
        found.update(exists=True, fixed=_explain_fixed(host, path), mtime=status.st_mtime)
        content = daemon_json.parse_daemon_json(found["text"], path).content()
    except OSError as error:
        reason = "it is a symbolic link, and links in a user's home are not followed" if error.errno == errno.ELOOP else error.strerror
        found["error"] = f"{path}: can't be read ({reason}); replace it by a readable file, or remove it"
        return found
    except daemon_json.DaemonJsonError as error:
        found["error"] = str(error)
        return found
    profile = content.get("seccomp-profile")
    if isinstance(profile, str) and profile.startswith("/"):
        found["referenced"]["seccomp-profile"] = {"path": profile, "mtime": _read_mtime(host, profile)}
    return found


def _explain_fixed(host: Host, path: str) -> str | None:
    """Return why not even root can replace the file (man 2 ioctl_iflags; 0x80086601 is FS_IOC_GETFLAGS); None when it can."""
    flags = bytearray(8)
    try:
        with host.as_owner(path), open(host.path(path), "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as handle:
            fcntl.ioctl(handle, 0x80086601, flags)
    except OSError:  # a file system without such flags
        return None
    words = [letter for letter, bit in (("i", 0x10), ("a", 0x20)) if flags[0] & bit]
    return f"{path}: can't be changed, not even by root (chattr +{words[0]}); allow it with chattr -{words[0]} {path}" if words else None


def _read_mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None


def _read_managed(host: Host, instance: Instance) -> tuple[dict[str, Any], str | None]:
    try:
        return state.load(host, instance.subject), None
    except ValueError as error:
        return {}, str(error)
