# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the engine's configuration: daemon.json and the flags of docker.service. It runs no command."""

from __future__ import annotations

import errno
import json
import os
from typing import Any, NoReturn

from ..engine import unit
from ..engine.flags import parse_command_line
from ..engine.instance import ROOTFUL, Instance
from ..host.root import Host


def observe_config(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    """Return the configuration of one engine.

    daemon_json: path, exists, text (None without a file), error (why it cannot be used), damaged (whether the text is why), mtime,
                 referenced {key: {path, mtime}}: the files that it names
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
    found: dict[str, Any] = {"path": path, "exists": False, "text": None, "error": None, "damaged": False, "mtime": None, "referenced": {}}
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
        content = read_content(found["text"])
    except OSError as error:
        reason = "it is a symbolic link, and links in a user's home are not followed" if error.errno == errno.ELOOP else error.strerror
        found["error"] = f"{path}: can't be read ({reason}); replace it by a readable file, or remove it"
        return found
    except ValueError as error:
        found.update(error=f"{path}: is not valid ({error})", damaged=True)
        return found
    profile = content.get("seccomp-profile")
    if isinstance(profile, str) and profile.startswith("/"):
        found["referenced"]["seccomp-profile"] = {"path": profile, "mtime": _read_mtime(host, profile)}
    return found


def read_content(text: str | None) -> dict[str, Any]:
    """Return key → value of a daemon.json; None and white space are an empty configuration.

    Raises ValueError for all that `daemon_json.parse_daemon_json` rejects, which explains it.
    """
    if text is None or not text.strip(" \t\r\n"):
        return {}
    try:
        content = json.loads(text, object_pairs_hook=_build_object, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is not an object")
    return content


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is in one object twice")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _read_mtime(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None
