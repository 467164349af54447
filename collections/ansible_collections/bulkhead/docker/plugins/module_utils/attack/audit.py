# SPDX-License-Identifier: GPL-3.0-or-later
"""Which attack caused which of the kernel's audit messages, and why some cause none. Pure."""

from __future__ import annotations

from ..audit.messages import APPARMOR, SECCOMP, fields_of
from ..layers.registry import BY_NAME

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
    return "" if heard else "; ".join(BY_NAME[layer].silent for layer in layers if layer in BY_NAME)
