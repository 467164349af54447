# SPDX-License-Identifier: GPL-3.0-or-later
"""Waivers: findings that the inventory accepts until a date (`bulkhead_waivers`). Checks the variable, and compares waivers with findings. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Any

from ...module_utils.exposures.kinds import KINDS, get_finding_id
from ...module_utils.layers.registry import BY_NAME
from ...module_utils.layers.verdict import UNKNOWN
from ..suggestion import find_similar, suggest
from .controls import load_controls

VARIABLE = "bulkhead_waivers"
_REQUIRED, _PATTERNS = ("finding", "reason", "until"), ("host", "container")
_KEYS = ("finding", "host", "container", "reason", "until")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FINDING = re.compile(r"[a-z_]+\.[a-z0-9_]+")
# First parts of the IDs of findings that are not about one layer: of containers, of settings of hardened_container_list, and of the engine.
_OWNERS = ("container", "demand", "engine")
# Findings about containers that are not kinds of exposure (layers/verification.py).
_OF_CONTAINERS = ("not_running", "no_evidence", "exposures_unknown")


def get_today(now: float | None = None) -> date:
    """Return the date with which `until` is compared: that of the control node. now: seconds since the epoch; None: the present time."""
    return date.today() if now is None else date.fromtimestamp(now)


@dataclass(frozen=True)
class Waiver:
    """One accepted finding. finding: its ID, or the number of a control. host, container: patterns; empty for all. until: the last day, YYYY-MM-DD."""

    finding: str
    reason: str
    until: str
    host: str = ""
    container: str = ""

    @property
    def scope(self) -> str:
        """The finding and the patterns, for messages."""
        texts = [f"{key} {getattr(self, key)}" for key in _PATTERNS if getattr(self, key)]
        return f"{self.finding} ({', '.join(texts)})" if texts else self.finding

    @property
    def end(self) -> float:
        """The end of its last day in UTC, in seconds since the epoch."""
        return datetime.fromisoformat(self.until).replace(tzinfo=UTC).timestamp() + 86400

    def describe(self) -> str:
        """Return date and reason, as reports show them next to the finding."""
        return f"waived until {self.until}: {self.reason}"

    def is_expired(self, today: date) -> bool:
        """Return whether the last day is over."""
        return today > date.fromisoformat(self.until)

    def is_for_host(self, host: str) -> bool:
        """Return whether findings of the host can match."""
        return fnmatchcase(host, self.host or "*")

    def is_match(self, identifier: str, controls: Collection[str], container: str, status: str | None) -> bool:
        """Return whether it accepts a finding of a host that it covers. container: its name; empty for a finding of the host.

        A number of a control never matches a finding with the status `unknown`: missing evidence is accepted only by its own ID.
        """
        if self.container and not (container and fnmatchcase(container, self.container)):
            return False
        return identifier == self.finding or (self.finding in controls and status != UNKNOWN)

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def parse_waivers(value: Any) -> tuple[list[Waiver], list[str]]:
    """Return the waivers of the variable, and one message per entry that is wrong."""
    if not isinstance(value, list | tuple):
        return [], [f"{VARIABLE}: {value!r} is not a list; write a list of waivers, each with {', '.join(_REQUIRED)}"]
    found: list[Waiver] = []
    problems = []
    for position, entry in enumerate(value):
        problem = _find_problem(f"{VARIABLE}[{position}]", entry)
        if problem:
            problems.append(problem)
            continue
        waiver = Waiver(**{str(key): str(entry[key]).strip() for key in _KEYS if entry.get(key) is not None})
        if waiver in found:
            problems.append(f"{VARIABLE}[{position}]: {waiver.scope} is the same as {VARIABLE}[{found.index(waiver)}]; remove one of them")
        found.append(waiver)
    return found, problems


def load_waivers(entries: Any) -> list[Waiver]:
    """Return the waivers that a report contains. Raises ValueError."""
    if not isinstance(entries, list):
        raise ValueError("the waivers of the policy are not a list")
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != set(_KEYS) or not all(isinstance(text, str) for text in entry.values()):
            raise ValueError(f"a waiver of the policy is not a mapping of texts with {', '.join(_KEYS)}")
        if _check_date("until", entry["until"]):
            raise ValueError("a waiver of the policy has no date")
    return [Waiver(**{str(key): str(text) for key, text in entry.items()}) for entry in entries]


def _find_problem(place: str, entry: Any) -> str:
    """Return what is wrong with one entry, one message; empty if nothing is."""
    if not isinstance(entry, Mapping):
        return f"{place}: {entry!r} is not a mapping; write {', '.join(_REQUIRED)}, and host or container where needed"
    for key in entry:
        if key not in _KEYS:
            return f"{place}.{key}: is not a key of a waiver; {suggest(key, _KEYS)}"
    for key in _REQUIRED:
        if entry.get(key) is None:
            return f"{place}.{key}: is missing; write {_ADVICE[key]}"
    for key in ("finding", "reason", *_PATTERNS):
        text = entry.get(key)
        if key in _PATTERNS and text is None:
            continue
        if not isinstance(text, str):
            return f"{place}.{key}: {text!r} is not a text; write {_ADVICE[key]}"
        if not text.strip():
            return f"{place}.{key}: {text!r} is empty; write {_ADVICE[key]}"
    return _check_date(f"{place}.until", entry["until"]) or _check_finding(f"{place}.finding", entry["finding"].strip())


_ADVICE = {
    "finding": "the ID of a finding, such as container.host_network, or the number of a control, such as CIS-5.10",
    "reason": "why the finding is accepted",
    "until": "the last day as YYYY-MM-DD, such as 2027-03-31",
    "host": "a pattern of host names, such as 'web*', or leave it out for all hosts",
    "container": "a pattern of container names, such as 'traefik*', or leave it out",
}


def _check_date(place: str, value: Any) -> str:
    """Return what is wrong with a date; YAML gives one without quotes as `datetime.date`."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return ""
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            date.fromisoformat(value.strip())
            return ""
        except ValueError:
            pass
    shown = value.isoformat(" ") if isinstance(value, datetime) else value
    return f"{place}: {shown!r} is not a date; write {_ADVICE['until']}"


def _check_finding(place: str, finding: str) -> str:
    """Return what is wrong with the ID of a finding or the number of a control. The second part of a layer's ID is not checked."""
    known = load_controls()["controls"]
    if finding in known:
        return ""
    owner, unused, name = finding.partition(".")
    if not _FINDING.fullmatch(finding):
        catalogs = load_controls()["catalogs"]
        number = next((number for catalog in catalogs if (number := f"{catalog}-{finding}") in known), "")
        advice = f"write {number}" if number else suggest(finding, known, f"write {_ADVICE['finding']}", 0.8)
        return f"{place}: {finding!r} is not the ID of a finding or the number of a control; {advice}"
    if owner == "container":
        if name in KINDS or name in _OF_CONTAINERS:
            return ""
        return f"{place}: {finding!r} is not a finding of containers; {suggest_kind(name, get_finding_id)}"
    if owner in BY_NAME or owner in _OWNERS:
        return ""
    owners = [*BY_NAME, *_OWNERS]
    similar = find_similar(owner, owners)
    advice = f"write {similar}.{name}" if similar else f"its first part is one of {', '.join(owners)}"
    return f"{place}: {finding!r} is not the ID of a finding; {advice}"


def suggest_kind(name: str, render: Callable[[str], str] = str) -> str:
    """Return the end of a message: the kind of exposure that is closest to `name`, or all kinds if none is close."""
    similar = find_similar(name, KINDS)
    return f"write {render(similar)}" if similar else f"kinds of exposure are {', '.join(KINDS)}"
