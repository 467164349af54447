# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs systemctl. The units of a rootless engine are under its user's manager, which is called with that user's rights."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from .instance import ROOTFUL, Instance


class ServiceError(Exception):
    """systemctl failed or did not end in time."""


def systemctl(*arguments: str, timeout: float = 120, instance: Instance = ROOTFUL) -> str:
    """Run systemctl and return its output. Raises ServiceError with its message."""
    command = ["systemctl", "--no-ask-password", *(["--user"] if instance.rootless else []), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **_build_process_options(instance))
    except FileNotFoundError as error:
        raise ServiceError(
            "systemctl is not installed on this host; Bulkhead changes the engine's configuration only under systemd"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"systemctl {' '.join(arguments)} did not end within {timeout:.0f} s") from error
    if run.returncode != 0:
        raise ServiceError(
            f"systemctl {' '.join(command[2:])}: {run.stderr.strip() or run.stdout.strip() or f'exit status {run.returncode}'}"
        )
    return run.stdout


def _build_process_options(instance: Instance) -> dict[str, Any]:
    """Return the IDs and environment with which a manager is called (pam_systemd(8), sd_bus_default_user(3))."""
    if not instance.rootless:
        return {"env": {**os.environ, "LC_ALL": "C"}}
    if instance.uid is None:
        raise ServiceError(f"user {instance.user} does not exist on this host")
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "HOME": instance.home,
        "XDG_RUNTIME_DIR": instance.runtime_dir,
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={instance.runtime_dir}/bus",
    }
    return {"env": environment, "user": instance.uid, "group": instance.gid, "extra_groups": [], "cwd": "/"}
