# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges from which services of the host assign IDs to accounts, by their configuration. Pure; runs on the control node.

Sources: man 5 sssd-ldap (ldap_idmap_range_min and _max), man 5 smb.conf (idmap config), man 5 nslcd.conf (nss_uid_offset), man 5 login.defs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...subid.decide import SubidDecision, UserRequest
from ..verdict import LayerPlan

_LAST = 0xFFFFFFFF
_SSSD = (200000, 2000200000)  # defaults of ldap_idmap_range_min and ldap_idmap_range_max
Known = tuple[tuple[int, int, str], ...]


def list_known_ranges(here: Mapping[str, Any]) -> Known:
    """Return first and last ID and the message that names file and setting. here: what layer userns observed."""
    files: Mapping[str, list[str]] = here.get("id_files") or {}
    found = _read_sssd({path: lines for path, lines in files.items() if is_of_sssd(path)})
    for path, lines in files.items():
        if not is_of_sssd(path):
            read = {"/etc/nslcd.conf": _read_nslcd, "/etc/login.defs": _read_login_defs}.get(path, _read_samba)
            found += [(first, last, f"{path} ({text})") for first, last, text in read(lines)]
    return tuple((first, last, f"{text} assigns the IDs {first} to {last} to accounts") for first, last, text in found if first <= last)


def is_of_sssd(path: str) -> bool:
    return path.startswith("/etc/sssd/")


def list_unread(here: Mapping[str, Any]) -> list[str]:
    """Return what Samba reads besides the files that were read, one message per line: names with variables, and the registry."""
    files: Mapping[str, list[str]] = here.get("id_files") or {}
    found = []
    for path, lines in files.items():
        for line in [] if is_of_sssd(path) else lines:
            match = re.fullmatch(r"\s*(include|config backend)\s*=\s*(.*?)\s*", line, re.IGNORECASE)
            if match and (match[2] not in (*files, "file") or "%" in match[2]):
                found.append(f"{path}: {match[1]} = {match[2]} is not followed, and it may have ranges of IDs (idmap config)")
    return found


def find_known(known: Known, start: int, count: int) -> list[str]:
    """Return the messages of the ranges that share an ID with this one."""
    return [text for first, last, text in known if start <= last and first < start + count]


def choose_avoided(here: Mapping[str, Any], start: int, default: int, exact: bool) -> Known:
    """Return the ranges that a new one avoids: all of them for the default start, none for a start that the operator wrote."""
    return list_known_ranges(here) if start == default and not exact else ()


def settle_start(result: LayerPlan, here: Mapping[str, Any], request: UserRequest, decision: SubidDecision) -> UserRequest:
    """Return the request with the start that was chosen, so that the host takes the same. Warns of known ranges that it is in."""
    own = decision.subuid.lines_of(request.user, None)
    if not own:
        return request
    new = own[-1]
    for text in find_known(list_known_ranges(here), new.start, new.count):
        result.warnings.append(
            f"{text}, and the new range {new.start}:{new.count} of {request.user} is among them; write another {request.range.start_name}"
            " that is outside, or another range there"
        )
    if request.range.avoid and not request.range.exact:
        return replace(request, range=replace(request.range, start=new.start, avoid=()))
    return request


def _read_samba(lines: list[str]) -> list[tuple[int, int, str]]:
    found = []
    for line in lines:
        match = re.fullmatch(r"\s*(idmap\s+config\s+.*:\s*range)\s*=\s*(\d+)\s*-\s*(\d+)\s*", line, re.IGNORECASE)
        if match:
            found.append((int(match[2]), int(match[3]), " ".join(line.split())))
    return found


def _read_sssd(files: Mapping[str, list[str]]) -> list[tuple[int, int, str]]:
    """Return domains with ID mapping: those of Active Directory by default, others by ldap_id_mapping. A later file overrides settings (man 5 sssd.conf)."""
    domains: dict[str, dict[str, str]] = {}
    places: dict[str, str] = {}
    for path, lines in files.items():
        section = ""
        for line in map(str.strip, lines):
            if line.startswith("["):
                section = line
            elif "=" in line and section:
                name, unused, value = line.partition("=")
                domains.setdefault(section, {})[name.strip().lower()] = value.strip()
                places[section] = path
    found = []
    for section, values in domains.items():
        mapped = values.get("ldap_id_mapping", "true" if values.get("id_provider") == "ad" else "false").lower() == "true"
        bounds = [values.get(f"ldap_idmap_range_{end}", "") for end in ("min", "max")]
        if mapped or any(bounds):
            first, last = (int(text) if text.isdecimal() else default for text, default in zip(bounds, _SSSD, strict=True))
            found.append((first, last, f"{places[section]} ({section} ldap_idmap_range_min, ldap_idmap_range_max)"))
    return found


def _read_nslcd(lines: list[str]) -> list[tuple[int, int, str]]:
    found = []
    for line in lines:
        name, unused, value = line.strip().partition(" ")
        if name in ("nss_uid_offset", "nss_gid_offset") and value.strip().isdecimal():
            found.append((int(value), _LAST, f"{name} {value.strip()}"))
    return found


def _read_login_defs(lines: list[str]) -> list[tuple[int, int, str]]:
    values = {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2}
    return [(values.get(f"{kind}_MIN", 1000), values[f"{kind}_MAX"], f"{kind}_MAX {values[f'{kind}_MAX']}") for kind in ("UID", "GID")
            if values.get(f"{kind}_MAX", 0) > 65535]  # fmt: skip
