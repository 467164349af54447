# SPDX-License-Identifier: GPL-3.0-or-later
"""Which controls an inventory requires (`bulkhead_controls_required`), and which failing ones its waivers accept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .catalog import PREFIX, load_controls, load_sections
from .verdict import FAIL, UNKNOWN, WAIVED

VARIABLE = "bulkhead_controls_required"
_LEVELS = {"level1": 1, "level2": 2}
# Required controls with these statuses fail. What a person has to judge does not.
FAILING = (FAIL, UNKNOWN)


def resolve_required(value: Any) -> tuple[list[str], list[str]]:
    """Return the IDs of the required controls in the order of their numbers, and one message per wrong entry."""
    if not isinstance(value, list | tuple):
        return [], [f"{VARIABLE}: {value!r} is not a list; write a list of numbers, sections or levels, such as [level1, '5', CIS-2.8]"]
    selected: set[str] = set()
    problems = []
    for position, entry in enumerate(value):
        found = _select(entry)
        selected.update(found)
        if not found:
            problems.append(f"{VARIABLE}[{position}]: {_explain(entry)}")
    return [identifier for identifier in load_controls() if identifier in selected], problems


def _select(entry: Any) -> list[str]:
    """Return the IDs of the controls that an entry names; none if it is wrong."""
    name = str(entry).strip()
    controls = load_controls().values()
    if isinstance(entry, float | bool):  # YAML reads 2.10 without quotes as 2.1
        return []
    if name in _LEVELS:
        return [control.id for control in controls if control.level <= _LEVELS[name]]
    number = name.removeprefix(PREFIX)
    return [control.id for control in controls if number in (control.number, control.section)]


def _explain(entry: Any) -> str:
    if isinstance(entry, float):
        return f"{entry!r} is a number, and YAML reads 2.10 as 2.1; put it in quotes: '{entry}', or write {PREFIX}{entry}"
    sections = ", ".join(section.number for section in load_sections())
    return f"{entry!r} is not a control; write a number such as {PREFIX}2.8, a section ({sections}), or one of {', '.join(_LEVELS)}"


def apply_waivers(controls: Iterable[Mapping[str, Any]], find_waiver: Callable[[str, str, str], str]) -> list[dict[str, Any]]:
    """Return the controls, with status `waived` and the reason where everything that fails is accepted.

    find_waiver: (control, container, finding) -> why it is accepted; empty if it is not.
    """
    found = []
    for control in controls:
        accepted = [find_waiver(control["control"], part["container"], part["finding"]) for part in control["findings"]]
        waived = control["status"] == FAIL and accepted and all(accepted)
        found.append({**control, "status": WAIVED, "accepted": "; ".join(dict.fromkeys(accepted))} if waived else dict(control))
    return found


def list_unmet(controls: Iterable[Mapping[str, Any]], required: Iterable[str]) -> list[str]:
    """Return the required controls that fail or are unknown, each as `CIS-2.2 (fail)`."""
    names = set(required)
    return [f"{each['control']} ({each['status']})" for each in controls if each["control"] in names and each["status"] in FAILING]
