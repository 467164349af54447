# SPDX-License-Identifier: GPL-3.0-or-later
"""Assigns the kernel's audit messages to attacks, and explains why some denials leave none. Pure."""

from __future__ import annotations

from ..audit.messages import APPARMOR, DENIED_VERDICTS, SECCOMP, parse_fields
from ..layers.registry import BY_NAME

_APPARMOR_FIELDS = ("apparmor", "operation", "profile", "name", "capname", "requested_mask", "denied_mask", "family", "peer")
_SECCOMP_FIELDS = ("syscall", "code")
_MARKS = tuple(f'apparmor="{verdict}"' for verdict in DENIED_VERDICTS)


def is_denial(kind: int, text: str) -> bool:
    """Return whether a message is a denial by AppArmor or seccomp."""
    return kind == SECCOMP or (kind == APPARMOR and any(mark in text for mark in _MARKS))


def group_denials(messages: list[tuple[int, str]]) -> dict[str, list[str]]:
    """Return the denials by AppArmor and seccomp per process name (`comm`), shortened, each once."""
    found: dict[str, list[str]] = {}
    for kind, text in messages:
        if not is_denial(kind, text):
            continue
        fields = parse_fields(text)
        shown = _SECCOMP_FIELDS if kind == SECCOMP else _APPARMOR_FIELDS
        line = f"type={kind} " + " ".join(f"{key}={fields[key]}" for key in shown if key in fields)
        lines = found.setdefault(fields.get("comm", ""), [])
        if line not in lines:
            lines.append(line)
    return found


def explain_silence(layers: list[str], is_logged: bool) -> str:
    """Return why a denial by these layers left no message; empty if no reason is known."""
    return "" if is_logged else "; ".join(BY_NAME[layer].silent for layer in layers if layer in BY_NAME)
