# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and paths of a rootless engine that observation, planning, judging and setup share, and the state of its files.

The docker client's context is one of them (docker/cli: cli/context/store).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import Any

from ..engine.instance import Instance
from ..host.root import Host

# Subjects of the remembered state (host/state.py).
SUBJECT = "rootless"
RANGES = "rootless_ranges"
# Units of the rootful engine.
ROOTFUL_UNITS = ("docker.service", "docker.socket")
UNIT = "/etc/systemd/user/docker.service"
ENABLED = "/etc/systemd/user/default.target.wants/docker.service"
WRAPPER = "/usr/local/libexec/bulkhead/rootless/runc"
RUNTIME = "bulkhead"
CONTEXT = "rootless"
MODULES = "/etc/modules-load.d/bulkhead-rootless.conf"
LOGIN = "/etc/profile.d/bulkhead-rootless.sh"
PORTS = "/etc/sysctl.d/60-bulkhead-rootless.conf"
FIRST_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
ROOTLESSKIT = "/etc/apparmor.d/bulkhead-rootlesskit"
PROFILE = "bulkhead-rootlesskit"
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
SCRIPTS = (
    "/usr/bin/dockerd-rootless.sh",  # docker-ce-rootless-extras
    "/usr/local/bin/dockerd-rootless.sh",
    "/usr/share/docker.io/contrib/dockerd-rootless.sh",  # Debian's and Ubuntu's docker.io
)


def build_delegation_path(uid: int | str | None) -> str:
    """Return the path of the drop-in that delegates control group controllers to a user's manager."""
    return f"/etc/systemd/system/user@{'UID' if uid is None else uid}.service.d/10-bulkhead-delegate.conf"


def build_linger_path(user: str) -> str:
    """Return the file that exists while logind keeps a user's manager running (systemd src/login/logind-dbus.c: it doubles backslashes)."""
    return "/var/lib/systemd/linger/" + user.replace("\\", "\\\\")


def list_managed_paths(uid: int | str | None) -> list[str]:
    """Return every path outside the user's home that Bulkhead may manage for a rootless engine."""
    return [UNIT, ENABLED, build_delegation_path(uid), WRAPPER, MODULES, LOGIN, PORTS, ROOTLESSKIT]


def read_file_state(host: Host, path: str) -> dict[str, Any]:
    """Return text, mode and uid of a file, or link and uid of a symbolic link; empty where there is none."""
    try:
        status = os.lstat(host.path(path))
        if stat.S_ISLNK(status.st_mode):
            return {"link": os.readlink(host.path(path)), "uid": status.st_uid}
        return {"text": host.read(path), "mode": status.st_mode & 0o7777, "uid": status.st_uid}
    except OSError:
        return {}


def read_first_port(host: Host) -> str:
    """Return the kernel's value; empty without one."""
    return (host.read(FIRST_PORT) or "").strip()


def list_context_paths(instance: Instance) -> tuple[str, str]:
    """Return the path of the context's file, and of the client's configuration that names the current context."""
    folder = hashlib.sha256(CONTEXT.encode()).hexdigest()
    return f"{instance.home}/.docker/contexts/meta/{folder}/meta.json", f"{instance.home}/.docker/config.json"


def read_context(host: Host, instance: Instance) -> dict[str, Any]:
    """Return the state of the context. host: from `Instance.scope_host`.

    meta: whether a context of that name has the engine's address. elsewhere: the other address of a context of that name. current: the
    context in use. error: why that is not known.
    """
    own, config = list_context_paths(instance)
    try:
        content = json.loads(host.read(own) or "null")
        address = _find_address(content)
        is_engine = address == f"unix://{instance.socket}"
        return {
            "meta": is_engine,
            "elsewhere": None if is_engine or content is None else str(address),
            "current": read_client_config(host, config).get("currentContext"),
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


def read_client_config(host: Host, path: str) -> dict[str, Any]:
    """Return the client's configuration; empty without a file. Raises OSError, ValueError."""
    content = json.loads(host.read(path) or "{}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is not a JSON object, and the docker client cannot read it either; correct or remove it")
    return content
