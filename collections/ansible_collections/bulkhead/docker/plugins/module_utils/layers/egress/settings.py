# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of role container_egress, checked and in the form that the rules are made of. Pure; control node only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..registry import SWITCHES

LAYER = __package__.rpartition(".")[2]
SWITCH = SWITCHES[LAYER]
STAGE = "container_egress_stage"
PRESETS = "container_egress_presets"
ALLOW = "container_egress_allow"
LIST = "container_egress_list"
DNS = "container_egress_dns"
VARIABLES = (STAGE, PRESETS, ALLOW, LIST, DNS)
ENFORCE, LOG = "enforce", "log"
METADATA, HOST, PRIVATE, LISTED = "metadata", "host", "private", "listed"
KNOWN = (METADATA, HOST, PRIVATE, LISTED)
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_MAX_PORT = 65535


@dataclass(frozen=True)
class Allowed:
    """A destination. to: a name, an address or a range. protocol: empty for all. ports: ranges, empty for all. reason: why it is allowed."""

    to: str
    protocol: str
    ports: tuple[tuple[int, int], ...]
    reason: str

    @property
    def is_name(self) -> bool:
        return not is_address(self.to)


@dataclass(frozen=True)
class Entry:
    """What applies to one network or all networks of a compose project. kind: `network` or `project`."""

    kind: str
    name: str
    presets: tuple[str, ...]
    allow: tuple[Allowed, ...]

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class EgressSettings:
    """presets, allow: for all networks without an entry; `allow` also for those with one."""

    stage: str
    dns: bool
    presets: tuple[str, ...]
    allow: tuple[Allowed, ...]
    entries: tuple[Entry, ...]

    def list_names(self) -> list[str]:
        """Return the names that have to be resolved."""
        listed = [*self.allow, *(allowed for entry in self.entries for allowed in entry.allow)]
        return sorted({allowed.to for allowed in listed if allowed.is_name})


def is_address(text: str) -> bool:
    """Return whether the text is an address or a range."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def find_egress_problems(desired: Mapping[str, Any]) -> list[str]:
    """Return one message per value that cannot be used. Values of a wrong type are reported by the spec of the role."""
    if desired.get(SWITCH) not in ("required", "optional") or not all(_is_list(desired.get(name)) for name in (PRESETS, ALLOW, LIST)):
        return []
    found = _check_presets(PRESETS, desired[PRESETS])
    for number, allowed in enumerate(desired[ALLOW]):
        found += _check_allowed(f"{ALLOW}[{number}]", allowed)
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(desired[LIST]):
        place = f"{LIST}[{number}]"
        given = [(kind, str(entry[kind])) for kind in ("network", "project") if entry.get(kind)]
        if len(given) != 1:
            found.append(f"{place}: names {'both network and project' if given else 'neither network nor project'}; write one of them")
            continue
        if given[0] in seen:
            found.append(f"{place}: {given[0][0]} {given[0][1]!r} has two entries; write one with all destinations")
        seen.add(given[0])
        if entry.get("presets") is not None:
            found += _check_presets(f"{place}.presets", entry["presets"])
        for index, allowed in enumerate(entry.get("allow") or ()):
            found += _check_allowed(f"{place}.allow[{index}]", allowed)
    return found


def _is_list(value: Any) -> bool:
    """Return whether the value is a list whose mappings have lists where the spec asks for them."""
    if not isinstance(value, list):
        return False
    return all(_is_list(each.get(key) or []) for each in value if isinstance(each, Mapping) for key in ("presets", "allow", "ports"))


def read_egress_settings(desired: Mapping[str, Any]) -> EgressSettings:
    """Return the settings. The variables have no problems."""
    presets = tuple(desired[PRESETS])
    entries = tuple(
        Entry(
            "network" if entry.get("network") else "project",
            str(entry.get("network") or entry.get("project")),
            presets if entry.get("presets") is None else tuple(entry["presets"]),
            _read_allow(entry.get("allow") or ()),
        )
        for entry in desired[LIST]
    )
    return EgressSettings(desired[STAGE], bool(desired[DNS]), presets, _read_allow(desired[ALLOW]), entries)


def _read_allow(given: Iterable[Mapping[str, Any]]) -> tuple[Allowed, ...]:
    return tuple(
        Allowed(
            str(each["to"]).strip(),
            str(each.get("protocol") or ("tcp" if each.get("ports") else "")),
            tuple(sorted(_read_ports(str(port)) for port in each.get("ports") or ())),
            " ".join(str(each["reason"]).split()),
        )
        for each in given
    )


def _read_ports(text: str) -> tuple[int, int]:
    first, _dash, last = text.partition("-")
    return int(first), int(last or first)


def _check_presets(place: str, given: Iterable[Any]) -> list[str]:
    return [f"{place}: {preset!r} is not a preset; write {', '.join(KNOWN[:-1])} or {KNOWN[-1]}" for preset in given if preset not in KNOWN]


def _check_allowed(place: str, allowed: Mapping[str, Any]) -> list[str]:
    found = []
    to = str(allowed.get("to") or "").strip()
    if not is_address(to) and (not _NAME.fullmatch(to) or re.fullmatch(r"[\d.]+(/\d+)?", to)):
        found.append(f"{place}.to: {to!r} is not a name, an address or a range; write such as api.example.com, 192.0.2.7 or 2001:db8::/32")
    if not str(allowed.get("reason") or "").strip():
        found.append(f"{place}.reason: is empty; write why containers need {to or 'it'}")
    for port in allowed.get("ports") or ():
        match = _PORTS.fullmatch(str(port))
        first, last = _read_ports(str(port)) if match else (0, 0)
        if not 1 <= first <= last <= _MAX_PORT:
            found.append(f"{place}.ports: {port!r} is not a port; write a number from 1 to {_MAX_PORT}, or a range such as 8000-8010")
    return found
