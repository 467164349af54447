# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses what AppArmor allowed or denied from audit messages, in one form for all kinds of access. Pure.

Not reported: hard links. For a rule with the permission `l`, the kernel tests the other permissions last and reports only those (file.c,
profile_path_link, seen on 6.1, 6.12 and 7.2). New ways to mount (man 2 move_mount) are reported as moves without source and type.

Sources: Linux security/apparmor/{audit,file,capability,net,ipc,task,mount,af_unix}.c, versions 6.1 to 7.2. Before 6.4 the messages have no `class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..audit.messages import APPARMOR, DENIED_VERDICTS, Message, is_about_target

_VERDICTS = {"AUDIT": False, "ALLOWED": False, **dict.fromkeys(DENIED_VERDICTS, True)}
# Append, create and delete are parts of `w` (man 5 apparmor.d, File Rules).
_LETTERS = {"a": "w", "c": "w", "d": "w", **{letter: letter for letter in "rwmklx"}}
_MOUNTS = ("mount", "umount", "pivotroot")
_ADDRESSES = ("addr", "peer_addr", "peer")
_MAX_LENGTH = 200


def parse_access(message: Message) -> tuple[dict[str, Any], bool, int] | None:
    """Return the access, whether it was denied, and the PID of the process that the profile confines; None for another message.

    The PID is 0 if the message does not contain it: for a signal or a trace by a process of another profile. Then only the profile is known.
    """
    fields = message.fields
    verdict = fields.get("apparmor", "")
    if message.kind != APPARMOR or verdict not in _VERDICTS or fields.get("profile", "unconfined") == "unconfined":
        return None
    pid = fields.get("pid", "")
    if not pid.isdigit():
        return None
    denied = _VERDICTS[verdict]
    requested = fields.get("denied_mask" if denied and "denied_mask" in fields else "requested_mask", "")
    is_others = is_about_target(fields) and fields.get("peer") != fields["profile"]
    return _build_access(fields, requested), denied, 0 if is_others else int(pid)


def _build_access(fields: Mapping[str, str], requested: str) -> dict[str, Any]:
    operation = fields.get("operation", "unknown")
    if "capname" in fields:
        return {"class": "capability", "name": fields["capname"]}
    if operation == "signal":
        return {"class": "signal", "direction": requested, "signal": fields.get("signal", "unknown"), "peer": _read_label(fields, "peer")}
    if operation == "ptrace":
        return {"class": "ptrace", "mask": requested, "peer": _read_label(fields, "peer")}
    if operation == "userns_create":
        return {"class": "userns"}
    if operation in _MOUNTS:
        return _build_mount(fields, operation)
    if "family" in fields:
        return _build_socket(fields, requested)
    if fields.get("name", "").startswith("/") and requested and set(requested) <= set(_LETTERS):
        return _build_file(fields, operation, requested)
    known = {
        key: fields[key]
        for key in ("class", "name", "target", "rlimit", "value", "requested", "requested_mask", "peer", "info")
        if key in fields
    }
    return {"class": "other", "operation": operation, "detail": " ".join(f"{key}={value}" for key, value in known.items())[:_MAX_LENGTH]}


def _build_file(fields: Mapping[str, str], operation: str, requested: str) -> dict[str, Any]:
    owner = "fsuid" in fields and fields["fsuid"] == fields.get("ouid")
    mask = "".join(sorted({_LETTERS[letter] for letter in requested}))
    found = {"class": "file", "path": fields["name"], "mask": mask, "owner": owner}
    return {**found, "target": fields["target"]} if operation == "link" and "target" in fields else found


def _build_socket(fields: Mapping[str, str], requested: str) -> dict[str, Any]:
    family, kind = fields["family"], fields.get("sock_type", "unknown")
    if family != "unix" or not any(key in fields for key in _ADDRESSES):
        return {"class": "network", "family": family, "type": kind}
    found = {"class": "unix", "type": kind, "mask": " ".join(sorted(requested.split()))}
    if "peer" in fields:
        found["peer"] = _read_label(fields, "peer")
    address = next((fields[key] for key in ("peer_addr", "addr") if fields.get(key, "none") != "none"), "")
    return {**found, "address": address} if address else found


def _build_mount(fields: Mapping[str, str], operation: str) -> dict[str, Any]:
    flags = fields.get("flags", "")
    found = {"class": "mount", "operation": "remount" if "remount" in flags.split(", ") else operation}
    named = {"path": "name", "fstype": "fstype", "flags": "flags", "source": "srcname"}
    return found | {key: fields[name] for key, name in named.items() if fields.get(name)}


def _read_label(fields: Mapping[str, str], key: str) -> str:
    """Return a label; that of a process in complain mode names the program that it executed (`//null-…`), which is left out."""
    return fields.get(key, "").partition("//null-")[0]
