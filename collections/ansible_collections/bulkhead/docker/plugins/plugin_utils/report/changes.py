# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different from the report before this one. The state that the next report compares with is `fleet.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...module_utils.layers.verdict import ABSENT, DEGRADED, ENFORCED, NOT_APPLICABLE, UNKNOWN
from .fleet import VERIFIED, Fleet

_BETTER = {ABSENT: 0, UNKNOWN: 1, DEGRADED: 2, NOT_APPLICABLE: 3, ENFORCED: 4}


@dataclass(frozen=True)
class Change:
    """better: None where a change is neither good nor bad."""

    host: str
    what: str
    before: str
    after: str
    better: bool | None = None


def snapshot(fleet: Fleet) -> dict[str, Any]:
    """What the next report has to know of this one: host → condition, when it was verified, statuses, who opted out of what."""
    return {
        host.name: {
            "condition": host.condition,
            "written": host.written,
            "layers": {name: layer["status"] for name, layer in host.layers.items()},
            "opted_out": {c["name"]: c["opted_out"] for c in host.containers if c["opted_out"]},
        }
        for host in fleet.hosts
    }


def baseline(state: Mapping[str, Any], run: str, hosts: Mapping[str, Any]) -> dict[str, Any]:
    """The report to compare with, as `{"written": …, "hosts": …}`: that of an earlier run, also when this run writes one after each batch, or when
    `make report` is repeated and nothing was verified in between.

    state: what fleet.json holds, `{}` when there is none. run: names this run. hosts: the snapshot of now.
    """
    last = state.get("hosts", {})
    if not last:
        return {}
    fresh = any(seen["written"] != last.get(name, {}).get("written") for name, seen in hosts.items())
    if state.get("run") == run or (not fresh and set(last) == set(hosts)):
        return dict(state.get("since", {}))
    return {"written": state.get("written", ""), "hosts": last}


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What changed between two snapshots, what got worse first."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(Change(name, "host", "", "new"))
        elif name not in after:
            found.append(Change(name, "host", before[name]["condition"], "no report, and not in the inventory"))
        else:
            found += _host(name, before[name], after[name])
    return sorted(found, key=lambda change: (change.better is not False, change.better is None, change.host))


def _host(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    if before["condition"] != after["condition"]:
        better = True if after["condition"] == VERIFIED else False if before["condition"] == VERIFIED else None
        yield Change(name, "host", before["condition"], after["condition"], better)
    # A host of which nothing was verified, before or now, is one change and not one a layer.
    both = before["layers"] and after["layers"]
    # On a host that turned rootless what the rootful engine alone could have is not lost: the user's namespace took its place.
    replaced = after["layers"].get("rootless") == ENFORCED != before["layers"].get("rootless")
    for layer in [*before["layers"], *(new for new in after["layers"] if new not in before["layers"])]:
        was, now = before["layers"].get(layer, UNKNOWN), after["layers"].get(layer, UNKNOWN)
        if both and was != now:
            yield Change(name, layer, was, now, None if replaced and now == NOT_APPLICABLE else _BETTER.get(now, 0) > _BETTER.get(was, 0))
    for container in sorted(before["opted_out"].keys() | after["opted_out"].keys()):
        was, now = before["opted_out"].get(container, []), after["opted_out"].get(container, [])
        if was != now:
            more, less = set(now) - set(was), set(was) - set(now)
            better = None if more and less else not more
            yield Change(name, f"container {container} opted out of", ", ".join(was) or "nothing", ", ".join(now) or "nothing", better)
