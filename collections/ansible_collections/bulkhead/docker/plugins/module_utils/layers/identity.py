# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of a container's task, seen from inside its user namespace. /proc has the IDs of the host (man 7 user_namespaces). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host.process_status import map_to_inside

_KINDS = ("real", "effective", "saved", "file system")


@dataclass
class ProcessIdentity:
    """The IDs inside. uids, gids: by kind (`real UID`, …, `supplementary group 5`). unknown: why some could not be read or mapped; empty if all are."""

    uids: dict[str, int] = field(default_factory=dict)
    gids: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @property
    def root_uids(self) -> list[str]:
        return [kind for kind, number in self.uids.items() if number == 0]

    @property
    def root_gids(self) -> list[str]:
        return [kind for kind, number in self.gids.items() if number == 0]


def get_map(kernel: Mapping[str, Any], name: str) -> list[list[int]] | None:
    """Return a map of a state, `uid_map` or `gid_map`; None if it was not read, is empty, or has rows that are not three numbers."""
    rows = kernel.get(name)
    if not isinstance(rows, list) or not rows:
        return None
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != 3 or not all(isinstance(n, int) and n >= 0 for n in row) or row[2] < 1:
            return None
    return rows


def is_nested(container: Mapping[str, Any], kernel: Mapping[str, Any], host: str | None) -> bool:
    """Return whether a task is in a user namespace that its container's program made: neither the container's own nor the host's.

    What it may do there, such as with all capabilities, reaches nothing outside (man 7 user_namespaces). host: the host's user namespace.
    """
    own, first = ((state.get("namespaces") or {}).get("user") for state in (kernel, container["kernel"]))
    return bool(own and first and host) and own not in (first, host)


def find_host_namespace(evidence: Mapping[str, Any]) -> str | None:
    """Return the host's user namespace, as /proc/1/ns/user shows it; None if it was not read."""
    found = evidence.get("observed", {}).get("layers", {}).get("userns", {}).get("host_namespace")
    return str(found) if found else None


def read_identity(kernel: Mapping[str, Any], mapped: Mapping[str, Any]) -> ProcessIdentity:
    """Return the IDs of a task inside its container. mapped: the state of the container's first process, whose maps count for all.

    A program in a namespace of its own may be root there, which gives it no other user's files. The host's ID 0 is root wherever it is:
    without a mapping it still owns the host's files.
    """
    found = ProcessIdentity()
    for key, name, into in (("uid", "uid_map", found.uids), ("gid", "gid_map", found.gids)):
        label, rows = key.upper(), get_map(mapped, name)
        ids = kernel.get(key)
        if not isinstance(ids, list) or len(ids) != len(_KINDS) or not all(isinstance(n, int) for n in ids):
            found.unknown.append(f"its {label}s were not read")
            continue
        listed = {f"{kind} {label}": number for kind, number in zip(_KINDS, ids, strict=True)}
        if key == "gid":
            groups = kernel.get("groups")
            if isinstance(groups, list) and all(isinstance(n, int) for n in groups):
                listed |= {f"supplementary group {number}": number for number in groups}
            else:
                found.unknown.append("its supplementary groups were not read")
        for kind, number in listed.items():
            inside = map_to_inside(number, rows) if rows else None
            if inside is not None or number == 0:
                into[kind] = inside or 0
            else:
                found.unknown.append(
                    f"its {kind} is {number} on the host, "
                    + (f"which the {name} does not contain" if rows else f"and the {name} is not known")
                )
    return found
