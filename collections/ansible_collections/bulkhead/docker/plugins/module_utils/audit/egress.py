# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses what the egress rules log of denied connections, and attributes each to a container by its address and the time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

LAYER = "egress"
# The prefix of layers/egress/rules.py, and the fields of the kernel (net/netfilter/nf_log_syslog.c).
_LINE = re.compile(r"bulkhead-egress (enforce|log) (\w+): (IN=.*)", re.DOTALL)
_FIELD = re.compile(r"\b([A-Z]+)=(\S*)")
# What verification itself tries (layers/egress/state.py), as the kernel writes it; nothing else has these addresses.
PROBED = frozenset(
    {
        *("169.254.255.253", "100.127.255.253", "192.0.2.253", "192.0.2.254"),
        *("fd00:0ec2:ffff:ffff:ffff:ffff:ffff:fffd", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffd"),
        *("2001:0db8:ffff:ffff:0000:0000:0000:fffd", "2001:0db8:ffff:ffff:0000:0000:0000:fffe"),
    }
)
_SLACK = 2.0  # seconds between the engine's clock and the kernel's log


def parse_connection(line: str) -> dict[str, str] | None:
    """Return the fields of a line of the kernel's log, with `stage` and `preset`; None for any other line."""
    match = _LINE.match(line)
    return {**dict(_FIELD.findall(match[3])), "stage": match[1], "preset": match[2]} if match else None


def list_addresses(containers: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return address -> the containers of the engine's list that have it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in containers:
        container = {
            "id": each["Id"],
            "name": str((each.get("Names") or [each["Id"][:12]])[0]).lstrip("/"),
            "image": each.get("Image"),
        }
        for joined in ((each.get("NetworkSettings") or {}).get("Networks") or {}).values():
            for key in ("IPAddress", "GlobalIPv6Address"):
                if joined.get(key):
                    found.setdefault(_expand(joined[key]), []).append(container)
    return found


def count_connections(
    lines: Iterable[tuple[float, str]], addresses: Mapping[str, list[dict[str, Any]]], began: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    """Return equal connections as one entry each, in the form of the other denials.

    lines: (seconds since the epoch, line). addresses: from list_addresses. began: ID of a running container -> when it started; its address was
    that of another container before.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for moment, line in lines:
        fields = parse_connection(line)
        if fields is None or not fields.get("SRC") or fields.get("DST") in PROBED:
            continue
        owners = [
            each
            for each in addresses.get(_expand(fields["SRC"]), [])
            if (start := began.get(each["id"])) is not None and start - _SLACK <= moment
        ]
        owner = owners[0] if len(owners) == 1 else None
        place = f"in {fields['IN']}" if fields.get("IN") else f"by user {fields.get('UID', 'unknown')}"
        port = f"/{fields['DPT']}" if fields.get("DPT") else ""
        detail = f"{fields.get('DST', '')} {fields.get('PROTO', '').lower()}{port} (from {fields['SRC']} {place})"
        key = (fields["preset"], fields["stage"], detail, (owner or {}).get("id"))
        entry = found.setdefault(
            key,
            {
                "layer": LAYER,
                "denied": fields["stage"] != "log",
                "operation": fields["preset"],
                "detail": detail,
                "profile": None,
                "comm": "unknown",
                "exe": None,
                "scope": "container" if owner else "unknown",
                "container": owner,
                "by": "address" if owner else "",
                "candidates": [],
                "count": 0,
                "first": moment,
                "last": moment,
                "pids": [],
            },
        )
        entry["count"] += 1
        entry["first"], entry["last"] = min(entry["first"], moment), max(entry["last"], moment)
    return list(found.values())


def _expand(address: str) -> str:
    """Return an IPv6 address with all its digits, as the kernel logs it; any other text in lower case."""
    if ":" not in address:
        return address.lower()
    head, gap, tail = address.lower().partition("::")
    before, after = (list(filter(None, part.split(":"))) for part in (head, tail))
    zeros = ["0"] * (8 - len(before) - len(after)) if gap else []
    return ":".join(group.zfill(4) for group in (*before, *zeros, *after))
