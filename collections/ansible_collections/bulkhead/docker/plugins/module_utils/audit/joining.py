# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the denials that the kernel counted with those of the logs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_APPARMOR = "apparmor"
# Operations as AppArmor logs them -> parts of the names of the calls that make them. Those of other operations contain the operation's name.
_CALLS = {
    "create": ("socket",),
    "file_mmap": ("mmap",),
    "getattr": ("stat",),
    "mknod": ("mknod", "open", "creat"),
    "rename_dest": ("rename",),
    "rename_src": ("rename",),
    "truncate": ("truncate", "open", "creat"),
    "signal": ("kill", "signal"),
    "ptrace": ("ptrace", "open", "process_vm", "kcmp", "getfd"),
    "userns_create": ("unshare", "clone"),
    "capable": ("",),
    "remount": ("mount",),
}


def remove_logged(counted: Sequence[Mapping[str, Any]], logged: Iterable[Mapping[str, Any]], since: float) -> list[dict[str, Any]]:
    """Return the counted entries without the denials by AppArmor that a log has, with their path, for the same container and call.

    An entry that began before `since` is left as it is: the log was not read from its beginning.
    """
    found = [dict(entry) for entry in counted]
    for log in logged:
        if log["layer"] != _APPARMOR or not log["denied"] or log["scope"] != "container":
            continue
        left = log["count"]
        parts = _CALLS.get(log["operation"], (log["operation"],))
        for entry in found:
            if (
                entry["layer"] == _APPARMOR
                and entry["container"]["id"] == log["container"]["id"]
                and entry["first"] >= since
                and any(part in entry["operation"] for part in parts)
            ):
                taken = min(left, entry["count"])
                entry["count"] -= taken
                left -= taken
    return [entry for entry in found if entry["count"]]
