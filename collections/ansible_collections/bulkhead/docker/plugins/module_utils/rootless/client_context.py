# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the docker client's context for a user's rootless engine, as the client does (docker/cli: cli/context/store)."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from ..engine.instance import Instance
from ..host.files import write_atomically
from ..host.root import Host
from .names import CONTEXT, list_context_paths, read_client_config, read_context


def build_metadata(instance: Instance) -> dict[str, Any]:
    """Return the content of the context's file."""
    return {
        "Name": CONTEXT,
        "Metadata": {"Description": "the engine of this user"},
        "Endpoints": {"docker": {"Host": f"unix://{instance.socket}", "SkipTLSVerify": False}},
    }


def is_incomplete(context: Mapping[str, Any]) -> bool:
    """Return whether `create_context` would change anything. context: from `read_context`. A context with another address is left alone."""
    return not context.get("elsewhere") and (not context.get("meta") or context.get("current") in (None, "", "default"))


def create_context(host: Host, instance: Instance) -> list[str]:
    """Create the context, and make it the current one unless the user chose another. Raises OSError, ValueError.

    Returns what was created, for `remove_context`: `meta`, `current`, and `config` if the client had no configuration.
    """
    own, config = list_context_paths(instance)
    context, created = read_context(host, instance), list[str]()
    if context["elsewhere"]:
        return created
    if not context["meta"]:
        _write(host, own, build_metadata(instance))
        created.append("meta")
    content = read_client_config(host, config)
    if content.get("currentContext") in (None, "", "default"):
        created += ["current"] if host.read(config) is not None else ["current", "config"]
        _write(host, config, {**content, "currentContext": CONTEXT})
    return created


def remove_context(host: Host, instance: Instance, created: Collection[str]) -> None:
    """Remove what `create_context` created. Raises OSError, ValueError."""
    own, config = list_context_paths(instance)
    if "meta" in created:
        with host.as_owner(own):
            host.path(own).unlink(missing_ok=True)
            if host.path(own).parent.is_dir():
                host.path(own).parent.rmdir()
    content = read_client_config(host, config)
    if "current" in created and content.get("currentContext") == CONTEXT:
        del content["currentContext"]
        if content or "config" not in created:
            _write(host, config, content)
        else:
            with host.as_owner(config):
                host.path(config).unlink()


def _write(host: Host, path: str, content: dict[str, Any]) -> None:
    """Write a file of the user that only the user can read: the client's file may contain passwords for registries."""
    with host.as_owner(path):
        host.path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(host.path(path), json.dumps(content, indent="\t"), 0o600, (os.geteuid(), os.getegid()))
