# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters as text for JSON: zlib, then base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence


def encode_filters(filters: Sequence[bytes]) -> list[str]:
    """Return filters as text for JSON: zlib, then base64."""
    return [base64.b64encode(zlib.compress(raw, 9)).decode() for raw in filters]


def decode_filters(texts: Sequence[str]) -> list[bytes]:
    """Return the filters of such texts. Raises ValueError."""
    try:
        return [zlib.decompress(base64.b64decode(text, validate=True)) for text in texts]
    except zlib.error as error:
        raise ValueError(f"not a compressed filter: {error}") from error
