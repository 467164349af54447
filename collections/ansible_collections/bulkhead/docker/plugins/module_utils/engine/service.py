# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service under systemd: its state, starting and restarting it, and what it said when it failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from .binary import complaint

SERVICE = "docker.service"
SOCKET_UNIT = "docker.socket"


class ServiceError(Exception):
    """systemctl refused, or did not come back in time."""


@dataclass(frozen=True)
class State:
    """active: `active`, `inactive`, `failed`, `activating`, … (systemctl(1)); pid: main process, 0 without one."""

    active: str
    pid: int
    loaded: bool

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")


def systemctl(*arguments: str, timeout: float = 120) -> str:
    """Run systemctl and return what it printed. Raises ServiceError with its words."""
    try:
        run = subprocess.run(
            ["systemctl", "--no-ask-password", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise ServiceError(
            "there is no systemctl on this host, and Bulkhead changes the engine's configuration only under systemd"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"systemctl {' '.join(arguments)} did not end within {timeout:.0f} s") from error
    if run.returncode != 0:
        raise ServiceError(
            f"systemctl {' '.join(arguments)}: {run.stderr.strip() or run.stdout.strip() or f'exit status {run.returncode}'}"
        )
    return run.stdout


def state() -> State:
    """How docker.service is now."""
    shown = dict(
        line.split("=", 1) for line in systemctl("show", SERVICE, "-p", "ActiveState,MainPID,LoadState").splitlines() if "=" in line
    )
    return State(shown.get("ActiveState", "unknown"), int(shown.get("MainPID") or 0), shown.get("LoadState") == "loaded")


def reload_units(timeout: float) -> None:
    """Let systemd read its unit files again; drop-ins for scopes then apply to running containers at once."""
    systemctl("daemon-reload", timeout=timeout)


def restart(timeout: float) -> None:
    """Restart the engine; back when it says that it is ready (Type=notify) or has failed."""
    systemctl("restart", SERVICE, timeout=timeout)


def stop(timeout: float) -> None:
    """Stop the engine, and its socket first, as a connection to that would start it again. Without live-restore it stops its containers,
    and does not take that for somebody's wish (`unless-stopped`)."""
    for unit in (SOCKET_UNIT, SERVICE):
        with suppress(ServiceError) if unit == SOCKET_UNIT else nullcontext():  # not loaded: no socket unit here
            systemctl("stop", unit, timeout=timeout)


def start_anew(timeout: float) -> None:
    """Start the engine whatever state its failures left it in.

    After some failed starts systemd refuses further ones for service and socket alike (StartLimitBurst), until it is told to forget them.
    """
    for unit in (SERVICE, SOCKET_UNIT):
        with suppress(ServiceError):  # not loaded (no socket unit here), or nothing to reset
            systemctl("reset-failed", unit, timeout=timeout)
    systemctl("restart", SERVICE, timeout=timeout)


def reload_engine(pid: int) -> None:
    """Ask the engine to read daemon.json again; only some of its keys are taken over (`keys.RELOADABLE`).

    An engine that has died meanwhile has no PID, and 0 would be our own process group (man 2 kill).
    """
    if pid <= 1:
        raise ServiceError("docker.service has no process that could read its configuration again: it has ended by itself")
    os.kill(pid, signal.SIGHUP)


def journal_since(moment: float, timeout: float = 30) -> str:
    """What docker.service has logged since `moment` (seconds since the epoch); empty when the journal can't be read."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--unit={SERVICE}", f"--since=@{int(moment)}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def failure_since(moment: float) -> str:
    """The engine's own reason for a failure since `moment`, in one line; empty when it left none."""
    lines = [line for line in journal_since(moment).splitlines() if _dockerds(line)]
    for mark in ("unable to configure the Docker daemon", "failed to start daemon", "failed to load listeners", "level=fatal"):
        found = [line for line in lines if mark in line]
        if found:
            return complaint(found[-1])
    errors = [line for line in lines if "level=error" in line]
    return complaint(errors[-1]) if errors else ""


def reload_error(moment: float) -> str | None:
    """What the engine logged against its configuration since `moment`; None when it has nothing against it."""
    errors = [
        line for line in journal_since(moment).splitlines() if re.search(r"level=(error|fatal) .*(configur|reload|directive|plugin)", line)
    ]
    return complaint(errors[-1]) if errors else None


def _dockerds(line: str) -> bool:
    """systemd's own lines about the unit are in the same journal."""
    return not line.startswith(
        ("docker.service:", "Starting docker", "Started docker", "Stopping docker", "Stopped docker", "Failed to start docker")
    )
