# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's configuration as it stands on the host: daemon.json, what we remember of it, docker.service's flags, dockerd itself."""

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
from .transaction import list_open


def observe_config(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Reading only, and no command but dockerd's own validation, as nobody, where a key's name was found in its program for the first time.

    daemon_json: path, exists, text (None without a file), error (a sentence when it is no daemon.json), mtime, fixed (a sentence when
                 nobody can change it),
                 referenced {key: {path, mtime}}: the files that it names
    managed:     what the engine's file in /var/lib/bulkhead holds (engine/configure.py), managed_error when that is damaged
    unit:        files (paths), argv, flags {flag: value}, places {flag: the file that has it}
    interrupted: names of the changes that a run which died has left open; the next daemon_config undoes them
    dockerd:     path, knows {key: bool}; path None where there is none
    """
    host = instance.scope_host(host)
    docker_unit = unit.read_unit(host, instance)
    flags = parse_command_line(docker_unit.argv)
    managed, managed_error = _managed(host, instance)
    return {
        "daemon_json": _daemon_json(host, flags.get("config-file", instance.config), instance),
        "managed": managed,
        "managed_error": managed_error,
        "interrupted": [transaction.id for transaction in list_open(host)],
        "unit": {
            "files": list(docker_unit.files),
            "argv": docker_unit.argv,
            "flags": flags,
            "places": {flag: unit.find_flag_file(flag, docker_unit.files) for flag in flags},
        },
        "dockerd": _dockerd(managed),
    }


def _daemon_json(host: Host, path: str, instance: Instance) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "exists": False, "text": None, "error": None, "mtime": None, "fixed": None, "referenced": {}}
    found["error"] = instance.explain_misplaced(path)
    if found["error"]:
        return found
    try:
        found["text"] = host.read(path)
        if found["text"] is None:
            if host.path(path).is_symlink():
                there = os.readlink(host.path(path))
                found["error"] = f"{path}: is a symbolic link to {there}, which does not exist; put a file there, or remove the link"
            return found
        with host.as_owner(path) as owner:
            status = host.path(path).stat()
        if owner and status.st_uid != owner.uid:
            found["error"] = (
                f"{path}: is owned by user {status.st_uid}; give it to {owner.uid}, in whose folder it is: chown {owner.uid} {path}"
            )
            return found
        found.update(exists=True, fixed=_fixed(host, path), mtime=status.st_mtime)
        content = daemon_json.parse_daemon_json(found["text"], path).content()
    except OSError as error:
        why = "it is a symbolic link, and none is followed in a user's folder" if error.errno == errno.ELOOP else error.strerror
        found["error"] = f"{path}: can't be read ({why}); put a readable file there, or none"
        return found
    except daemon_json.DaemonJsonError as error:
        found["error"] = str(error)
        return found
    profile = content.get("seccomp-profile")
    if isinstance(profile, str) and profile.startswith("/"):
        found["referenced"]["seccomp-profile"] = {"path": profile, "mtime": _mtime(host, profile)}
    return found


def _fixed(host: Host, path: str) -> str | None:
    """Why nobody can replace the file, root included (man 2 ioctl_iflags; 0x80086601 is FS_IOC_GETFLAGS); None when it can be."""
    flags = bytearray(8)
    try:
        with host.as_owner(path), open(host.path(path), "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as handle:
            fcntl.ioctl(handle, 0x80086601, flags)
    except OSError:  # a file system without such flags
        return None
    words = [letter for letter, bit in (("i", 0x10), ("a", 0x20)) if flags[0] & bit]
    return f"{path}: can't be changed by anybody (chattr +{words[0]}); lift that with chattr -{words[0]} {path}" if words else None


def _mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None


def _managed(host: Host, instance: Instance) -> tuple[dict[str, Any], str | None]:
    try:
        return state.load(host, instance.subject), None
    except ValueError as error:
        return {}, str(error)


def _dockerd(managed: dict[str, Any]) -> dict[str, Any]:
    """Whether this engine knows the one key that tutorials tell and upstream never had; remembered, as looking takes a read of 100 MB."""
    program = binary.find_dockerd()
    if program is None:
        return {"path": None, "knows": {}}
    remembered = managed.get("dockerd", {})
    identity = binary.read_identity(program)
    if {key: remembered.get(key) for key in identity} == identity:
        return {**identity, "knows": remembered["knows"]}
    return {**identity, "knows": {"default-pids-limit": binary.knows_key(program, "default-pids-limit", 100)}}
