# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning and judging both derive from an observation of the egress rules. Pure; control node only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ...host.egress_probe import HOST_ENDS, OUTSIDE, PORT, USER
from ..rootless.plan import find_desired_user
from .rules import Inputs, find_denial
from .settings import LOG, SWITCH, VARIABLES, EgressSettings, read_egress_settings

LISTS_OF_ROOTLESS = (
    "the networks of a rootless engine share one process, so that no rule can apply to one of them; write the destinations in"
    " container_egress_allow"
)


# Addresses of the ranges of presets that no network has: near the ends of link-local addresses, of RFC 6598, of AWS's metadata services and of RFC 4193.
PROBED = ("169.254.255.253", "100.127.255.253", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:fffd", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffd")


def build_question(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of module observe_egress."""
    disabled = desired[SWITCH] == "disabled"
    names = [] if disabled else read_egress_settings(desired).list_names()
    user = find_desired_user(desired)
    socket = "" if user else str(desired.get("docker_engine_socket") or "")
    return {"names": names, **({"socket": socket} if socket else {}), **({"user": user} if user else {})}


def build_probe(settings: EgressSettings) -> dict[str, list[str]]:
    """Return the arguments of module observe_egress for its probe: what any network may not reach, and what is outside. Empty if nothing is denied."""
    if settings.stage == LOG:
        return {}
    inputs = Inputs(bridges={entry.label: [entry.label] for entry in settings.entries})
    sources = [USER, *inputs.bridges]
    denied = [
        address
        for address in (*PROBED, *HOST_ENDS, *OUTSIDE)
        if any(find_probe_denial(settings, inputs, address, source) for source in sources)
    ]
    if not denied:
        return {}
    names = {kind: [entry.name for entry in settings.entries if entry.kind == kind] for kind in ("network", "project")}
    return {"probe": list(dict.fromkeys([*denied, *OUTSIDE])), "listed_networks": names["network"], "listed_projects": names["project"]}


def find_probe_denial(settings: EgressSettings, inputs: Inputs, address: str, source: str) -> str:
    """Return the preset that denies an address to the probe; empty if it is allowed. source: a bridge, or USER."""
    connection = {"asked": address, "destination": address, "protocol": "tcp", "port": PORT}
    return find_denial(settings, inputs, connection, source, address in HOST_ENDS, False)


def pick_variables(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the role."""
    return {name: desired[name] for name in VARIABLES}


def list_differences(expected: list[Any], table: list[Any]) -> tuple[list[str], list[str]]:
    """Return the objects that the kernel's table misses, and those that it has besides, as short texts.

    The order of rules counts: of equal objects in another order, the first one is named.
    """
    expected_texts, present = [[json.dumps(item, sort_keys=True) for item in each] for each in (expected, table)]
    missing = _count_equal(_describe(item) for item, text in zip(expected, expected_texts, strict=True) if text not in present)
    extra = _count_equal(_describe(item) for item, text in zip(table, present, strict=True) if text not in expected_texts)
    if not missing and not extra and expected_texts != present:
        position = next(
            (n for n, (a, b) in enumerate(zip(expected_texts, present, strict=False)) if a != b), min(len(expected_texts), len(present)) - 1
        )
        extra = [f"{_describe(table[position])} in another order, or more than once"]
    return missing, extra


def _count_equal(texts: Iterable[str]) -> list[str]:
    return [text if number == 1 else f"{text} ({number} times)" for text, number in Counter(texts).items()]


def _describe(item: Mapping[str, Any]) -> str:
    ((kind, content),) = item.items()
    if kind == "rule":
        return f"a rule of chain {content.get('chain')}"
    if kind == "table":
        return "the table's flags" if "flags" in content else "the table"
    if kind == "chain" and "hook" in content:
        return (
            f"chain {content.get('name')} at hook {content['hook']} with priority {content.get('prio')} and policy {content.get('policy')}"
        )
    return f"{kind} {content.get('name')}"


def is_dormant(table: list[Any]) -> bool:
    """Return whether the kernel keeps the table without using it (man 8 nft: flags dormant)."""
    return any("flags" in item["table"] for item in table if "table" in item)
