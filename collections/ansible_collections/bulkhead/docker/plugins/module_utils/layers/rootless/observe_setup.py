# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes what only planning of a rootless engine needs: installed tools, kernel switches, and the user's own files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...engine.instance import Instance, find_instance
from ...engine.program import contains_text
from ...host.root import Host
from ...rootless import names, observed_context

_TOOLS = ("newuidmap", "newgidmap", "rootlesskit", "slirp4netns", "pasta", "fuse-overlayfs", "runc", "useradd")
_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin")


def observe_setup(host: Host, instance: Instance, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is added to the state of the layer for planning. layer: from `observe`.

    tools: name -> path. script: path of dockerd-rootless.sh. user_bus, restrict_userns, unprivileged_userns: whether the host has them. Of the
    engine's user: manager (whether it runs), context (observed_context.py), data (whether it exists), takes_pasta (whether rootlesskit does).
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
            context=observed_context.read_context(selected.scope_host(host), selected) if exists else {},
            data=exists and host.path(f"{selected.home}/.local/share/docker").exists(),
            # A network driver since rootlesskit 2.0. A Go program contains the names of its drivers literally.
            takes_pasta=bool(kit and found["tools"]["pasta"] and contains_text(str(host.path(kit)), "pasta")),
        )
    return found
