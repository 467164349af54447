# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of what the layers depend on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any

_OTHERS = ("Engine", "containerd", "docker-init")
_RUNTIMES = ("runc", "crun")


def read_versions(components: Mapping[str, Any]) -> dict[str, str]:
    """Return engine, containerd, runc or crun, libseccomp, apparmor, kernel and systemd -> version, without those that cannot be read.

    components: the engine's answer to `/version`. It runs the default runtime for its version, also behind the wrapper of rootless engines.
    """
    by_name = {str(one.get("Name")): str(one.get("Version") or "") for one in components.get("Components") or ()}
    found = {"engine": str(components.get("Version") or ""), "containerd": by_name.get("containerd", ""), "kernel": os.uname().release}
    for name, version in by_name.items():
        if name not in _OTHERS:
            found[next((runtime for runtime in _RUNTIMES if name.endswith(runtime)), "runc")] = version
    found["libseccomp"] = read_libseccomp_version()
    found["apparmor"] = read_parser_version()
    found["systemd"] = read_program_version(["systemctl", "--version"], "systemd ")
    return {name: version for name, version in found.items() if version}


def read_libseccomp_version() -> str:
    """Return the version with which runc was built or runs; empty if it cannot be read."""
    return read_program_version(["runc", "--version"], "libseccomp:")


def read_parser_version() -> str:
    """Return the version of AppArmor's parser; empty if it cannot be read."""
    return read_program_version(["apparmor_parser", "--version"], "AppArmor parser version")


def read_program_version(command: list[str], label: str) -> str:
    """Return what follows `label` in the output of a program; empty if it is not installed or prints no such line."""
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.partition(label)[2].strip() for line in output.splitlines() if label in line), "")
