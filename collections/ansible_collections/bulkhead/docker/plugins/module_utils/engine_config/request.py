# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of an engine's configuration, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.instance import ROOTFUL, Instance
from .data_root import DataMigration

NEEDED, ALWAYS, NEVER = "needed", "always", "never"


@dataclass(frozen=True)
class ConfigRequest:
    """What the engine's configuration is to be. The fields are the options of the module daemon_config, described there."""

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
    move: DataMigration | None = None
    recover: bool = False
    revert: bool = False

    @property
    def file(self) -> str:
        """The daemon.json that is meant."""
        return self.path or self.instance.config


@dataclass
class ConfigOutcome:
    """What was done. `diff`: path → (before, after)."""

    changed: bool = False
    started: bool = False
    restarted: bool = False
    reloaded: bool = False
    downtime: float = 0.0
    transaction: str | None = None
    recovered: list[str] = field(default_factory=list)
    containers_restarted: list[str] = field(default_factory=list)
    keys_changed: list[str] = field(default_factory=list)
    keys_needing_restart: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    engine_message: str | None = None
    rolled_back: bool = False
    diff: dict[str, tuple[str, str]] = field(default_factory=dict)


class ConfigFailed(Exception):
    """Refused, or tried and undone. `outcome` says how far it went."""

    def __init__(self, message: str, outcome: ConfigOutcome) -> None:
        super().__init__(message)
        self.outcome = outcome
