# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads how a number was written in a file of the inventory: YAML 1.1 reads 33:33 as 2013 and 010 as 8, and keeps only the number."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

_SCALAR = re.compile(r"[-+.0-9][^\s,\[\]{}]*")


def read_written_number(value: Any) -> str:
    """Return the characters with which a number was written; empty if that is unknown, as for results of templates and encrypted files."""
    origin = find_origin(value)
    if origin is None or not (origin.path and origin.line_num and origin.col_num):
        return ""
    lines = _read_lines(str(origin.path))
    if origin.line_num > len(lines):
        return ""
    match = _SCALAR.match(lines[origin.line_num - 1], origin.col_num - 1)
    if not match:
        return ""
    try:
        same = yaml.safe_load(match[0]) == value
    except (ValueError, yaml.YAMLError):
        return ""
    return match[0] if same else ""


def find_origin(value: Any) -> Any:
    """Return where ansible-core (2.19) found a value: `path`, `line_num`, `col_num`; None if unknown. It has no public API for this."""
    try:
        from ansible._internal._datatag._tags import Origin
    except ImportError:
        return None
    return Origin.get_tag(value)


@functools.lru_cache(maxsize=32)
def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return []
