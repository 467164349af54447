# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker client's context for a user's rootless engine, as the client itself writes it (docker/cli: cli/context/store)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
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
    """host: `Instance.on`. meta: whether a context of that name leads to the engine, whoever made it; elsewhere: where one of that name leads
    instead; current: the context in use; error: why that is not known."""
    own, config = paths(instance)
    try:
        there = json.loads(host.read(own) or "null")
        leads_to = _leads_to(there)
        here = leads_to == f"unix://{instance.socket}"
        return {
            "meta": here,
            "elsewhere": None if here or there is None else str(leads_to),
            "current": _config(host, config).get("currentContext"),
            "error": None,
        }
    except (OSError, ValueError, RecursionError) as error:
        return {"meta": False, "elsewhere": None, "current": None, "error": str(error)}


def lacking(seen: Mapping[str, Any]) -> bool:
    """Whether `put` would do anything, by what `look` saw. A context of that name that leads elsewhere is the user's affair."""
    return not seen.get("elsewhere") and (not seen.get("meta") or seen.get("current") in (None, "", "default"))


def put(host: Host, instance: Instance) -> list[str]:
    """Make the context, and the current one unless the user has chosen another. Returns what was made, for `drop`: `meta`, `current`, and `config`
    where the client had no configuration. Raises OSError, ValueError."""
    own, config = paths(instance)
    seen, made = look(host, instance), list[str]()
    if seen["elsewhere"]:
        return made
    if not seen["meta"]:
        _write(host, own, meta(instance))
        made.append("meta")
    content = _config(host, config)
    if content.get("currentContext") in (None, "", "default"):
        made += ["current"] if host.read(config) is not None else ["current", "config"]
        _write(host, config, {**content, "currentContext": NAME})
    return made


def drop(host: Host, instance: Instance, made: Collection[str]) -> None:
    """Take away what `put` has made. Raises OSError, ValueError."""
    own, config = paths(instance)
    if "meta" in made:
        with host.as_owner(own):
            host.path(own).unlink(missing_ok=True)
            if host.path(own).parent.is_dir():
                host.path(own).parent.rmdir()
    content = _config(host, config)
    if "current" in made and content.get("currentContext") == NAME:
        del content["currentContext"]
        if content or "config" not in made:
            _write(host, config, content)
        else:
            with host.as_owner(config):
                host.path(config).unlink()


def _leads_to(content: Any) -> Any:
    """The engine's address in a context's file; None where it has none."""
    try:
        return content["Endpoints"]["docker"]["Host"]
    except (KeyError, TypeError):
        return None


def _config(host: Host, path: str) -> dict[str, Any]:
    content = json.loads(host.read(path) or "{}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds no JSON object, so that the docker client can't read it either; mend or remove it")
    return content


def _write(host: Host, path: str, content: dict[str, Any]) -> None:
    """The client's file may hold passwords for registries: nobody else reads it."""
    with host.as_owner(path):
        host.path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(host.path(path), json.dumps(content, indent="\t"), 0o600, (os.geteuid(), os.getegid()))
