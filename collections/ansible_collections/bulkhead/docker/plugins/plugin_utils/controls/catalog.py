# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of controls: one data file per section of the CIS Docker Benchmark (data/section_N.yml). Pure data.

Numbers are those of 1.8.0; `v160` is that of 1.6.0 where it differs. The titles are not quotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

PREFIX = "CIS-"
_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Control:
    """One recommendation.

    read: what the verdict is read from. layers, exposures: the layers and the kinds of exposure that decide it. any_layer: one enforced layer is enough.
    judge: the function in this package that judges the rest; path: its argument. manual: why a person has to judge it; empty otherwise.
    role, variable: what configures it; stays: why no role does.
    """

    number: str
    level: int
    title: str
    read: str
    remedy: str
    v160: str = ""
    layers: tuple[str, ...] = ()
    exposures: tuple[str, ...] = ()
    any_layer: bool = False
    judge: str = ""
    path: str = ""
    manual: str = ""
    role: str = ""
    variable: str = ""
    stays: str = ""

    @property
    def id(self) -> str:
        return PREFIX + self.number

    @property
    def section(self) -> str:
        return self.number.partition(".")[0]

    @property
    def number_160(self) -> str:
        """The number in 1.6.0; empty if that version has no such recommendation."""
        return {"": self.number, "-": ""}.get(self.v160, self.v160)


@dataclass(frozen=True)
class Section:
    """One section. checked_against: the public lists by which its numbers and levels were checked."""

    number: str
    title: str
    checked_against: tuple[str, ...]
    controls: tuple[Control, ...]


@cache
def load_sections() -> tuple[Section, ...]:
    """Return the sections in order."""
    found = []
    for path in sorted(_DATA.glob("section_*.yml")):
        content = yaml_load(path.read_text(encoding="utf-8"))
        controls = tuple(Control(**{key: _freeze(value) for key, value in row.items()}) for row in content["controls"])
        found.append(Section(content["section"], content["title"], tuple(content["checked_against"]), controls))
    return tuple(found)


@cache
def load_controls() -> dict[str, Control]:
    """Return `CIS-2.2` -> its control, in the order of the numbers."""
    return {control.id: control for section in load_sections() for control in section.controls}


def get_section(identifier: str) -> str:
    """Return the section in the ID of a control: `2` of `CIS-2.10`."""
    return identifier.removeprefix(PREFIX).partition(".")[0]


def _freeze(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
