# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what changed since the previous report, from the state in `fleet.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...module_utils.layers.verdict import ABSENT, DEGRADED, ENFORCED, NOT_APPLICABLE, UNKNOWN
from .fleet import VERIFIED, Fleet, HostState

_RANK = {ABSENT: 0, UNKNOWN: 1, DEGRADED: 2, NOT_APPLICABLE: 3, ENFORCED: 4}


@dataclass(frozen=True)
class HostChange:
    """One difference of a host between two reports. better: None if it is neither better nor worse."""

    host: str
    what: str
    before: str
    after: str
    better: bool | None = None


def take_fleet_snapshot(fleet: Fleet) -> dict[str, Any]:
    """Return what the next report compares with: host -> condition, time, statuses, and the opted-out layers and exposures of containers."""
    return {
        host.name: {
            "condition": host.condition,
            "written": host.written,
            "layers": {name: layer["status"] for name, layer in host.layers.items()},
            "opted_out": {c["name"]: c["opted_out"] for c in host.containers if c["opted_out"]},
            "exposed": _list_exposed(host),
        }
        for host in fleet.hosts
    }


def select_baseline(state: Mapping[str, Any], run: str, hosts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report to compare with, `{"written": …, "hosts": …}`.

    It is of an earlier run, also if this run writes a report per batch, or if `make report` is repeated without a verification in between.

    state: content of fleet.json; `{}` without one. run: ID of this run. hosts: the present snapshot.
    """
    previous = state.get("hosts", {})
    if not previous:
        return {}
    is_new = any(host["written"] != previous.get(name, {}).get("written") for name, host in hosts.items())
    if state.get("run") == run or (not is_new and set(previous) == set(hosts)):
        return dict(state.get("since", {}))
    return {"written": state.get("written", ""), "hosts": previous}


def compare_snapshots(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[HostChange]:
    """Return the changes between two snapshots, those for the worse first."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(HostChange(name, "host", "", "new"))
        elif name not in after:
            found.append(HostChange(name, "host", before[name]["condition"], "no report, and not in the inventory"))
        else:
            found += _compare_host(name, before[name], after[name])
    return sorted(found, key=lambda change: (change.better is not False, change.better is None, change.host))


def _compare_host(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[HostChange]:
    if before["condition"] != after["condition"]:
        better = True if after["condition"] == VERIFIED else False if before["condition"] == VERIFIED else None
        yield HostChange(name, "host", before["condition"], after["condition"], better)
    # A host without a verification, before or now, is one change and not one per layer.
    both = before["layers"] and after["layers"]
    # A host that became rootless has not lost the layers that only a rootful engine can have: the user's namespace replaces them.
    replaced = after["layers"].get("rootless") == ENFORCED != before["layers"].get("rootless")
    for layer in [*before["layers"], *(new for new in after["layers"] if new not in before["layers"])]:
        was, now = before["layers"].get(layer, UNKNOWN), after["layers"].get(layer, UNKNOWN)
        if both and was != now:
            better = None if replaced and now == NOT_APPLICABLE else _RANK.get(now, 0) > _RANK.get(was, 0)
            yield HostChange(name, layer, was, now, better)
    for key, what in (("opted_out", "container {} opted out of"), ("exposed", "container {} is exposed by")):
        # The state of an earlier version has no exposures.
        if key not in before:
            continue
        for container in sorted(before[key].keys() | after[key].keys()):
            was, now = before[key].get(container, []), after[key].get(container, [])
            if was != now:
                more, less = set(now) - set(was), set(was) - set(now)
                better = None if more and less else not more
                yield HostChange(name, what.format(container), ", ".join(was) or "nothing", ", ".join(now) or "nothing", better)


def _list_exposed(host: HostState) -> dict[str, list[str]]:
    """Return container -> its forbidden exposures, by kind."""
    found: dict[str, list[str]] = {}
    for granted in host.judgement.exposed if host.judgement else ():
        found.setdefault(granted.container, []).append(granted.kind)
    return {name: sorted(kinds) for name, kinds in found.items()}
