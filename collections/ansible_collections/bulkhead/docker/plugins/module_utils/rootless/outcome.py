# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of setting up or removing a rootless engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..engine.instance import ROOTFUL, Instance


class SetupFailed(Exception):
    """The setup cannot be completed. The error has one message."""


@dataclass
class SetupOutcome:
    """What was changed: one text per step, and one message per warning."""

    changed: bool = False
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    instance: Instance = ROOTFUL

    def add_step(self, step: str) -> None:
        self.steps.append(step)
        self.changed = True
