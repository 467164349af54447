# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's configuration: daemon.json and the flags of docker.service. It runs no command."""

from __future__ import annotations

import errno
import os
from typing import Any

from ..engine import unit
from ..engine.flags import parse_command_line
from ..engine.instance import ROOTFUL, Instance
from ..host.root import Host
from . import daemon_json


def observe_config(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Return the configuration of one engine.

    daemon_json: path, exists, text (None without a file), error (a message when it is damaged), mtime, referenced {key: {path, mtime}}: the files
                 that it names
    unit:        files (paths), argv, flags {flag: value}, places {flag: the file that has it}
    """
    host = instance.scope_host(host)
    docker_unit = unit.read_unit(host, instance)
    flags = parse_command_line(docker_unit.argv)
    return {
        "daemon_json": _read_daemon_json(host, flags.get("config-file", instance.config), instance),
        "unit": {
            "files": list(docker_unit.files),
            "argv": docker_unit.argv,
            "flags": flags,
            "places": {flag: unit.find_flag_file(flag, docker_unit.files) for flag in flags},
        },
    }


def _read_daemon_json(host: Host, path: str, instance: Instance) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "exists": False, "text": None, "error": None, "mtime": None, "referenced": {}}
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
        found.update(exists=True, mtime=status.st_mtime)
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


def _read_mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None
