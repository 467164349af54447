# SPDX-License-Identifier: GPL-3.0-or-later
"""Exposures: what was granted to a container that weakens more than one layer. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..layers.verdict import DEGRADED, Finding

# Key of HostConfig -> the namespace that the value `host` shares.
_HOST_NAMESPACES = {"PidMode": "PIDs", "NetworkMode": "network", "IpcMode": "IPC", "UTSMode": "host name"}
_ENGINE_SOCKET = re.compile(r"(?:/var)?/run/(?:docker|containerd/containerd|user/\d+/docker)\.sock")


def find_exposures(container: Mapping[str, Any]) -> list[Finding]:
    """Return a finding for each exposure: privileges, the host's namespaces, the engine's own socket."""
    config, name = container["inspect"]["HostConfig"], container["name"]
    findings = []
    if config.get("Privileged"):
        text = f"container {name} is privileged: seccomp, AppArmor, capabilities and device limits do not apply to it"
        findings.append(Finding("container.privileged", text, DEGRADED, "run it with the capabilities and devices that it needs, by name"))
    for key, namespace in _HOST_NAMESPACES.items():
        if config.get(key) == "host":
            text = f"container {name} shares the host's {namespace} namespace ({key}=host)"
            findings.append(Finding("container.host_namespace", text, DEGRADED))
    for mount in container["inspect"]["Mounts"]:
        if _ENGINE_SOCKET.fullmatch(mount.get("Source") or ""):
            text = f"container {name} has {mount['Source']} mounted at {mount.get('Destination')}: its processes can control the host"
            findings.append(Finding("container.engine_socket", text, DEGRADED, "mount a filtering proxy of the engine's API instead"))
    return findings
