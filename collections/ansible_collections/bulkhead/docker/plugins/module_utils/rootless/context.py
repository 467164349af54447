# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker client's context for a user's rootless engine, as the client itself writes it (docker/cli: cli/context/store)."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ..engine.instance import Instance
from ..host.files import write_atomically
from ..host.root import Host

NAME = "rootless"


def paths(instance: Instance) -> tuple[str, str]:
    """The context's own file, and the client's configuration that says which context is the current one."""
    folder = hashlib.sha256(NAME.encode()).hexdigest()
    return f"{instance.home}/.docker/contexts/meta/{folder}/meta.json", f"{instance.home}/.docker/config.json"


def meta(instance: Instance) -> dict[str, Any]:
    return {
        "Name": NAME,
        "Metadata": {"Description": "the engine of this user"},
        "Endpoints": {"docker": {"Host": f"unix://{instance.socket}", "SkipTLSVerify": False}},
    }


def look(host: Host, instance: Instance) -> dict[str, Any]:
    """host: `Instance.on`. meta: whether the context is there as it should be; current: the context in use; error: why that is not known."""
    own, config = paths(instance)
    try:
        return {
            "meta": json.loads(host.read(own) or "null") == meta(instance),
            "current": _config(host, config).get("currentContext"),
            "error": None,
        }
    except (OSError, ValueError) as error:
        return {"meta": False, "current": None, "error": str(error)}


def put(host: Host, instance: Instance) -> None:
    """Make the context, and the current one unless the user has chosen another. Raises OSError, ValueError."""
    own, config = paths(instance)
    _write(host, own, meta(instance))
    content = _config(host, config)
    if content.get("currentContext") in (None, "", "default"):
        _write(host, config, {**content, "currentContext": NAME})


def drop(host: Host, instance: Instance) -> None:
    """Take the context away, and its being the current one. Raises OSError, ValueError."""
    own, config = paths(instance)
    with host.as_owner(own):
        host.path(own).unlink(missing_ok=True)
        if host.path(own).parent.is_dir():
            host.path(own).parent.rmdir()
    content = _config(host, config)
    if content.get("currentContext") == NAME:
        del content["currentContext"]
        _write(host, config, content)


def _config(host: Host, path: str) -> dict[str, Any]:
    content = json.loads(host.read(path) or "{}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no JSON object, so that the docker client can't read it either; mend or remove it")
    return content


def _write(host: Host, path: str, content: dict[str, Any]) -> None:
    """The client's file may hold passwords for registries: nobody else reads it."""
    with host.as_owner(path):
        host.path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(host.path(path), json.dumps(content, indent="\t") + "\n", 0o600, (os.geteuid(), os.getegid()))
