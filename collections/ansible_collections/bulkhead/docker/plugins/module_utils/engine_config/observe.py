# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's configuration: daemon.json and the flags of docker.service. It runs no command."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from typing import Any

from ..engine import configuration, unit
from ..engine.instance import ROOTFUL, Instance
from ..engine.processes import find_socket
from ..host.root import Host


def observe_config(host: Host, instance: Instance = ROOTFUL, process: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration of one engine.

    process: its dockerd (engine/processes.py), None when it does not run.
    daemon_json: path, exists, text (None without a file), error (why it cannot be used), damaged (whether the text is why), mtime,
                 referenced {key: {path, mtime}}: the files that it names
    unit:        files (paths), argv, flags {flag: value}, places {flag: the file that has it}, problems (what systemd skips in the files),
                 unknown (why the flags are not known), differing (configuration.describe_command), program (dockerd's path by the unit),
                 command (program and arguments of the next start),
                 data_root and socket with which the engine starts, remap: the value of userns-remap with which it starts
    """
    host = instance.scope_host(host)
    docker_unit = unit.read_unit(host, instance)
    command = configuration.describe_command(docker_unit, process)
    flags = command["flags"]
    program = next((word for word in docker_unit.argv if word.endswith("/dockerd")), "")
    file, content = _read_daemon_json(host, configuration.find_daemon_json(host, instance, flags, docker_unit, process), instance)
    listen = unit.read_unit(host, instance, "docker.socket").listen
    named = configuration.find_configured_socket(flags, content, instance, listen)
    return {
        "daemon_json": file,
        "unit": {
            "files": list(docker_unit.files),
            "argv": docker_unit.argv,
            "flags": flags,
            "places": {flag: unit.find_flag_file(flag, docker_unit.files) for flag in flags},
            "problems": docker_unit.problems,
            "unknown": command["unknown"],
            "differing": command["differing"],
            "program": program,
            "command": [program, *command["arguments"]],
            "data_root": configuration.find_data_root(flags, content),
            "socket": find_socket(host, process, instance.socket) if process else named,
            "remap": flags.get("userns-remap") or content.get("userns-remap"),
        },
    }


def _read_daemon_json(host: Host, path: str, instance: Instance) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the file's state and its content, which is empty when it cannot be used."""
    found: dict[str, Any] = {"path": path, "exists": False, "text": None, "error": None, "damaged": False, "mtime": None, "referenced": {}}
    found["error"] = instance.explain_misplaced(path)
    if found["error"]:
        return found, {}
    try:
        found["text"] = host.read(path)
        if found["text"] is None:
            if host.path(path).is_symlink():
                target = os.readlink(host.path(path))
                found["error"] = f"{path}: is a symbolic link to {target}, which does not exist; create that file, or remove the link"
            return found, {}
        with host.as_owner(path) as owner:
            status = host.path(path).stat()
        if owner and status.st_uid != owner.uid:
            found["error"] = (
                f"{path}: is owned by user {status.st_uid}, but is in the home of user {owner.uid}; change the owner: chown {owner.uid} {path}"
            )
            return found, {}
        found.update(exists=True, mtime=status.st_mtime)
        content = _parse_content(found["text"])
    except OSError as error:
        reason = "it is a symbolic link, and links in a user's home are not followed" if error.errno == errno.ELOOP else error.strerror
        found["error"] = f"{path}: cannot be read ({reason}); replace it by a readable file, or remove it"
        return found, {}
    except ValueError as error:
        found.update(error=f"{path}: is not valid ({error})", damaged=True)
        return found, {}
    profile = content.get("seccomp-profile")
    if isinstance(profile, str) and profile.startswith("/"):
        found["referenced"]["seccomp-profile"] = {"path": profile, "mtime": _read_mtime(host, profile)}
    return found, content


def _parse_content(text: str) -> dict[str, Any]:
    """Return key → value; white space and `null` are an empty configuration. Raises ValueError. The control node looks closer."""
    try:
        content = json.loads(text) if text.strip(" \t\r\n") else {}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict | None):
        raise ValueError("it is not an object")
    return content or {}


def _read_mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None
