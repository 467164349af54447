# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes values as YAML on one line, for files with a comment per line. Pure."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 1 << 20


def format_value(value: Any) -> str:
    """Return a value as YAML on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=_WIDTH, allow_unicode=True, sort_keys=False)
        .removesuffix("\n...\n")
        .rstrip("\n")
    )


def format_comment(text: str) -> str:
    """Return a comment to follow a value; empty without text. Characters that cannot be printed would end the comment."""
    return "  # " + "".join(sign if sign.isprintable() else "?" for sign in text) if text else ""
