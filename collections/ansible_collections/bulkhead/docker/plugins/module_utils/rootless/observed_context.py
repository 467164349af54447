# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the docker client's context for a user's rootless engine (docker/cli: cli/context/store)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..engine.instance import Instance
from ..host.root import Host

NAME = "rootless"


def list_paths(instance: Instance) -> tuple[str, str]:
    """Return the path of the context's file, and of the client's configuration that names the current context."""
    folder = hashlib.sha256(NAME.encode()).hexdigest()
    return f"{instance.home}/.docker/contexts/meta/{folder}/meta.json", f"{instance.home}/.docker/config.json"


def read_context(host: Host, instance: Instance) -> dict[str, Any]:
    """Return the state of the context. host: from `Instance.scope_host`.

    meta: whether a context of that name has the engine's address. elsewhere: the other address of a context of that name. current: the
    context in use. error: why that is not known.
    """
    own, config = list_paths(instance)
    try:
        content = json.loads(host.read(own) or "null")
        address = _find_address(content)
        is_engine = address == f"unix://{instance.socket}"
        return {
            "meta": is_engine,
            "elsewhere": None if is_engine or content is None else str(address),
            "current": read_config(host, config).get("currentContext"),
            "error": None,
        }
    except (OSError, ValueError, RecursionError) as error:
        return {"meta": False, "elsewhere": None, "current": None, "error": str(error)}


def _find_address(content: Any) -> Any:
    """Return the engine's address in a context's file; None without one."""
    try:
        return content["Endpoints"]["docker"]["Host"]
    except (KeyError, TypeError):
        return None


def read_config(host: Host, path: str) -> dict[str, Any]:
    """Return the client's configuration; empty without a file. Raises OSError, ValueError."""
    content = json.loads(host.read(path) or "{}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is not a JSON object, and the docker client cannot read it either; correct or remove it")
    return content
