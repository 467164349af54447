# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service under systemd: its state, start, restart, and error messages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from ..host.root import Host
from .binary import extract_error
from .instance import ROOTFUL, Instance
from .processes import SERVICE, list_dockerds
from .systemctl import ServiceError, systemctl

SOCKET_UNIT = "docker.socket"


@dataclass(frozen=True)
class ServiceState:
    """active: `active`, `inactive`, `failed`, `activating`, … (systemctl(1)); pid: main process, 0 without one."""

    active: str
    pid: int
    loaded: bool

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")


@dataclass(frozen=True)
class EngineService:
    """docker.service of one engine. All methods raise ServiceError."""

    instance: Instance = ROOTFUL

    def _systemctl(self, *arguments: str, timeout: float = 120) -> str:
        return systemctl(*arguments, timeout=timeout, instance=self.instance)

    def read_state(self) -> ServiceState:
        """Return the present state of the service."""
        shown = dict(
            line.split("=", 1)
            for line in self._systemctl("show", SERVICE, "-p", "ActiveState,MainPID,LoadState").splitlines()
            if "=" in line
        )
        return ServiceState(shown.get("ActiveState", "unknown"), int(shown.get("MainPID") or 0), shown.get("LoadState") == "loaded")

    def reload_units(self, timeout: float) -> None:
        """Make systemd reload its unit files; drop-ins of scopes then apply to running containers at once."""
        self._systemctl("daemon-reload", timeout=timeout)

    def set_property(self, unit: str, assignment: str, timeout: float) -> None:
        """Set a property of a running unit until it ends, such as `MemorySwapMax=0` (man 5 systemd.resource-control)."""
        self._systemctl("set-property", "--runtime", unit, assignment, timeout=timeout)

    def restart(self, timeout: float) -> None:
        """Start or restart the engine, and return when it is ready (Type=notify) or has failed.

        systemd rejects a fourth start within a minute (StartLimitBurst), of service and socket alike, so the count of earlier ones is reset.
        """
        for unit in (SERVICE, SOCKET_UNIT):
            with suppress(ServiceError):  # not loaded (no socket unit here), or nothing to reset
                self._systemctl("reset-failed", unit, timeout=timeout)
        self._systemctl("restart", SERVICE, timeout=timeout)

    def stop(self, timeout: float) -> None:
        """Stop the engine; a connection to its socket starts it again."""
        self._systemctl("stop", SERVICE, timeout=timeout)

    def stop_with_socket(self, timeout: float) -> None:
        """Stop socket and engine, so that no connection starts it again. Without live-restore the engine stops its containers, and restart
        policies (`unless-stopped`) still apply to them."""
        with suppress(ServiceError):  # not loaded: no socket unit here
            self._systemctl("stop", SOCKET_UNIT, timeout=timeout)
        self.stop(timeout)

    def reload_engine(self) -> None:
        """Make the engine reload daemon.json; it applies only some keys (`keys.RELOADABLE`)."""
        pid = self.read_state().pid
        if self.instance.rootless:  # the service's main process is rootlesskit
            pid = next((d["pid"] for d in list_dockerds(Host()) if d["rootless"] and d["uid"] == self.instance.uid), 0)
        if not pid:
            raise ServiceError(f"{self.instance.unit} has no process to reload its configuration; start it first")
        os.kill(pid, signal.SIGHUP)

    def read_journal(self, moment: float, timeout: float = 30) -> str:
        """Return what docker.service has logged since `moment` (seconds since the epoch); empty when the journal cannot be read."""
        # journald keeps the messages of system users in the system journal, of other users in their own (journald.conf(5)).
        unit = [f"_SYSTEMD_USER_UNIT={SERVICE}", f"_UID={self.instance.uid}"] if self.instance.rootless else [f"--unit={SERVICE}"]
        command = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--since=@{int(moment)}", *unit]
        try:
            return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            return ""

    def find_failure(self, moment: float) -> str:
        """Return the engine's message about a failure since `moment`, one line; empty when it logged none."""
        lines = [line for line in self.read_journal(moment).splitlines() if _is_engine_line(line)]
        for mark in ("unable to configure the Docker daemon", "failed to start daemon", "failed to load listeners", "level=fatal"):
            found = [line for line in lines if mark in line]
            if found:
                return extract_error(found[-1])
        errors = [line for line in lines if "level=error" in line]
        return extract_error(errors[-1]) if errors else ""

    def find_reload_error(self, moment: float) -> str | None:
        """Return what the engine has logged since `moment` against its configuration; None when nothing."""
        pattern = re.compile(r"level=(error|fatal) .*(configur|reload|directive|plugin)")
        errors = [line for line in self.read_journal(moment).splitlines() if pattern.search(line)]
        return extract_error(errors[-1]) if errors else None


def _is_engine_line(line: str) -> bool:
    """Return whether a line is the engine's: systemd's own lines about the unit are in the same journal."""
    return not line.startswith(
        ("docker.service:", "Starting docker", "Started docker", "Stopping docker", "Stopped docker", "Failed to start docker")
    )
