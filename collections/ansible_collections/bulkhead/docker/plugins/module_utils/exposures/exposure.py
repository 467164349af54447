# SPDX-License-Identifier: GPL-3.0-or-later
"""One exposure: something granted to a container beyond the engine's defaults. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .kinds import KINDS


@dataclass(frozen=True)
class Exposure:
    """One object of one kind.

    object: what was granted; with the kind it identifies the exposure. text: the object for readers, with where and how.
    source: a path or command that a reader can repeat. value: what it contained.
    holder: the process that has it; empty for the whole container.
    """

    kind: str
    object: str
    text: str
    source: str
    value: Any
    holder: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.object}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "object": self.object,
            "severity": KINDS[self.kind].severity,
            "text": f"{self.text}, {self.holder}" if self.holder else self.text,
            "source": self.source,
            "value": self.value,
        }
