# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a daemon.json, read as strictly as `daemon_json` does, which explains what is wrong. Pure; the control node judges by it."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read_content(text: str | None) -> dict[str, Any]:
    """Return key → value of a daemon.json; None, white space and `null` are an empty configuration.

    Raises ValueError for all that `daemon_json.parse_daemon_json` rejects, which explains it.
    """
    if text is None or not text.strip(" \t\r\n"):
        return {}
    try:
        content = json.loads(text, object_pairs_hook=_build_object, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if content is not None and not isinstance(content, dict):
        raise ValueError("it is not an object")
    return content or {}


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is in one object twice")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
