# SPDX-License-Identifier: GPL-3.0-or-later
"""Which attack caused which of the kernel's audit messages, and why some cause none. Pure."""

from __future__ import annotations

from ..audit.messages import APPARMOR, SECCOMP, fields_of

_APPARMOR_FIELDS: tuple[str, ...] = (
    "apparmor",
    "operation",
    "profile",
    "name",
    "capname",
    "requested_mask",
    "denied_mask",
    "family",
    "peer",
)
_SECCOMP_FIELDS: tuple[str, ...] = ("syscall", "code")


def denials(heard: list[tuple[int, str]]) -> dict[str, list[str]]:
    """Name of a process (`comm`) → what the kernel said of it, shortened, each once: AppArmor's blockers and seccomp's records."""
    found: dict[str, list[str]] = {}
    for kind, text in heard:
        fields = fields_of(text)
        if kind == APPARMOR and fields.get("apparmor") in ("DENIED", "AUDIT"):
            told = _APPARMOR_FIELDS
        elif kind == SECCOMP:
            told = _SECCOMP_FIELDS
        else:
            continue
        line = f"type={kind} " + " ".join(f"{key}={fields[key]}" for key in told if key in fields)
        lines = found.setdefault(fields.get("comm", ""), [])
        if line not in lines:
            lines.append(line)
    return found


def silent(layers: list[str], heard: bool) -> str:
    """Why a refusal of these layers left no message, in words; empty where none is known."""
    reasons = {
        "seccomp": "seccomp: an errno without the filter flag LOG is not logged (man 2 seccomp)",
        "apparmor": "AppArmor: a plain `deny` rule is silent (man 5 apparmor.d: audit deny)",
        "capabilities": "the kernel logs no missing capability (only AppArmor does, where it refuses one)",
        "userns": "the kernel logs no refusal for want of rights over the host",
        "no_new_privileges": "the kernel ignores a setuid bit without a word",
        "pids_limit": "the PIDs controller counts (pids.events), and the kernel logs the first time only",
        "read_only_root": "a read-only mount refuses without a word",
        "masked_paths": "a read-only or masked path refuses without a word",
        "devices": "the device controller refuses without a word",
        "non_root_user": "file permissions refuse without a word",
    }
    return "" if heard else "; ".join(reasons[layer] for layer in layers if layer in reasons)
