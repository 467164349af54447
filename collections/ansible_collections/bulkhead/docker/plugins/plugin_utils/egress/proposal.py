# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of role container_egress with what they miss: those of all hosts merged, as a file for the inventory. Pure.

What preset `metadata` denies is not proposed. Operators who need it write it by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ...module_utils.formatting import format_names
from ...module_utils.layers.egress.rules import is_metadata
from ...module_utils.layers.egress.settings import ALLOW, LIST, PRESETS
from ..terminal import Line
from .destinations import ALL, Destination

_HEAD = """\
# Written by playbooks/propose_destinations.yml. These variables allow what containers used in the stage `log`, besides what they allowed before.
# Remove what no service needs, write the reasons, and copy the rest to the inventory. Names are better than addresses that change.
"""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_NOTE = " (link-local, or a metadata service: not proposed)"


def build_proposal(hosts: Mapping[str, Mapping[str, Any]], missing: Mapping[str, Iterable[Destination]]) -> dict[str, Any]:
    """Return the variables that allow what is missing too; empty if nothing is. hosts: host -> its variables. missing: host -> destinations."""
    users: dict[tuple[str, str, str], dict[str, Any]] = {}
    for host, destinations in missing.items():
        for each in destinations:
            if is_metadata(each.address):
                continue
            found = users.setdefault((each.label, each.address, each.protocol), {"ports": set(), "hosts": set(), "first": each.first})
            found["ports"].add(each.port)
            found["hosts"].add(host)
            found["first"] = min(found["first"], each.first)
    new: dict[str, list[dict[str, Any]]] = {}
    for (label, address, protocol), found in sorted(users.items()):
        new.setdefault(label, []).append(
            {
                "to": address,
                "ports": [str(port) for port in sorted(found["ports"])],
                "protocol": protocol,
                "reason": f"used on {format_names(sorted(found['hosts']))}, first seen {found['first'][:10]}",
            }
        )
    if not new:
        return {}
    proposal: dict[str, Any] = {}
    if ALL in new:
        proposal[ALLOW] = [*_merge(drop_nulls(each[ALLOW]) for each in hosts.values()), *new[ALL]]
    entries = _merge_entries(hosts.values())
    for label in sorted(set(new) - {ALL}):
        kind, _space, name = label.partition(" ")
        presets = next((list(variables[PRESETS]) for host, variables in hosts.items() if missing.get(host)), [])
        entry = entries.setdefault(label, {kind: name, "presets": presets, "allow": []})
        entry["allow"] = [*entry["allow"], *new[label]]
    if set(new) - {ALL}:
        proposal[LIST] = list(entries.values())
    return proposal


def _merge_entries(hosts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return label -> the entry of all hosts; if their presets differ, those of the first host."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (drop_nulls(each) for variables in hosts for each in variables[LIST]):
        kind = "network" if "network" in entry else "project"
        known = found.setdefault(f"{kind} {entry[kind]}", {**entry, "allow": []})
        known["allow"] = _merge((known["allow"], entry.get("allow", ())))
    return found


def drop_nulls(value: Any) -> Any:
    """Return what was written: Ansible adds the other options of a spec as null."""
    if isinstance(value, Mapping):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    return [drop_nulls(item) for item in value] if isinstance(value, list) else value


def _merge(lists: Iterable[Iterable[Any]]) -> list[Any]:
    merged: list[Any] = []
    for each in lists:
        merged += [item for item in each if item not in merged]
    return merged


def render_proposal(proposal: Mapping[str, Any]) -> str:
    """Return the file for the inventory."""
    return _HEAD + yaml.dump(dict(proposal), Dumper=_Dumper, sort_keys=False, width=160, allow_unicode=True)


def render_missing(missing: Mapping[str, Iterable[Destination]]) -> list[Line]:
    """Return a line per destination that the variables do not allow."""
    lines: list[Line] = []
    for host, destinations in missing.items():
        lines += [
            (f"{host}: {each.label}: {each.address} {each.protocol}/{each.port}{_NOTE if is_metadata(each.address) else ''}", None)
            for each in destinations
        ]
    return lines
