# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes on ranges that are usable and unusual. Pure; for the plan."""

from __future__ import annotations

from .allocate import Allocation, RangeRequest, describe_reservation


def add_notes(result: Allocation, request: RangeRequest, uid: int | None) -> None:
    """Add a note on each unusual property of the ranges that does not prevent their use."""
    rows = {}
    for file in (result.subuid, result.subgid):
        lines = file.lines_of(request.user, uid)
        rows[file.path] = [(line.start, line.count) for line in lines]
        if len(lines) > 1:
            result.notes.append(
                f"{file.path} has {len(lines)} ranges of {request.user}; the engine uses all of them, and {file.locate(lines[0])} has root"
            )
        if {line.owner for line in lines} == {request.user, str(uid)}:
            result.notes.append(
                f"{file.path} has the name {request.user} in some lines and its UID {uid} in others; engines before 28 use only the latter"
            )
        for line in lines:
            user = describe_reservation(line.start, line.count)
            if user:
                result.notes.append(f"{file.locate(line)} is in {user}")
    uid_rows, gid_rows = rows[result.subuid.path], rows[result.subgid.path]
    if uid_rows != gid_rows:
        result.notes.append(
            f"the ranges of {request.user} differ between {result.subuid.path} and {result.subgid.path}; the engine accepts that"
        )
    elif result.kept and uid_rows[0] != (request.start, request.count):
        result.notes.append(f"{request.user} keeps its range {uid_rows[0][0]}:{uid_rows[0][1]}")
