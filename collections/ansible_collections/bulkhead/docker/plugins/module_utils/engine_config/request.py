# SPDX-License-Identifier: GPL-3.0-or-later
"""The requested configuration of the engine, and what a run changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.flags import find_dockerd_arguments
from ..engine.instance import ROOTFUL, Instance
from ..engine.processes import find_process, list_dockerds
from ..host.root import Host
from . import comparison
from .data_root import DataMigration

NEEDED, ALWAYS, NEVER = "needed", "always", "never"


@dataclass(frozen=True)
class ConfigRequest:
    """The options of module daemon_config, described there. migration: what copies the engine's data when userns-remap is switched on."""

    options: Mapping[str, Any]
    instance: Instance = ROOTFUL
    keep: frozenset[str] = frozenset()
    pids_limit: int | None = None
    path: str = ""
    restart: str = NEEDED
    start: bool = False
    stop_containers: bool = False
    own_checks: bool = True
    timeout: float = 120
    check: bool = False
    migration: DataMigration | None = None
    recover: bool = False
    revert: bool = False
    containers_worse: str = comparison.REPORT
    containers_wait: float = 90
    command: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The path of daemon.json."""
        return self.path or self.instance.config

    def find_command(self, host: Host) -> list[str]:
        """Return dockerd's path, which may be empty, and its arguments: as planned, otherwise those of the running process."""
        if self.command:
            return list(self.command)
        process = find_process(list_dockerds(host), self.instance)
        return [process["exe"], *find_dockerd_arguments(process["argv"])] if process else [""]


@dataclass
class ConfigOutcome:
    """What was done, as module daemon_config returns it. diff: path → (before, after)."""

    changed: bool = False
    started: bool = False
    restarted: bool = False
    reloaded: bool = False
    downtime: float = 0.0
    transaction: str | None = None
    recovered: list[str] = field(default_factory=list)
    containers_restarted: list[str] = field(default_factory=list)
    containers_worse: list[dict[str, str]] = field(default_factory=list)
    keys_changed: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    engine_message: str | None = None
    rolled_back: bool = False
    diff: dict[str, tuple[str, str]] = field(default_factory=dict)


class ConfigFailed(Exception):
    """The change was not started, or was undone. outcome: what was done."""

    def __init__(self, message: str, outcome: ConfigOutcome) -> None:
        super().__init__(message)
        self.outcome = outcome
