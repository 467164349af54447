# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters as text for JSON: zlib, then base64. The flags that the kernel shows are in front, in hex, with a colon."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence


def encode_filters(filters: Sequence[bytes], flags: Sequence[int | None] = ()) -> list[str]:
    """Return filters as text for JSON. flags: of each filter, None if the kernel does not show them."""
    texts = [base64.b64encode(zlib.compress(raw, 9)).decode() for raw in filters]
    shown = ["" if number is None else f"{number:x}:" for number in (*flags, *[None] * len(texts))]
    return [flag + text for flag, text in zip(shown, texts, strict=False)]


def decode_filters(texts: Sequence[str]) -> list[bytes]:
    """Return the filters of such texts. Raises ValueError."""
    try:
        return [zlib.decompress(base64.b64decode(text.rpartition(":")[2], validate=True)) for text in texts]
    except zlib.error as error:
        raise ValueError(f"not a compressed filter: {error}") from error


def decode_flags(texts: Sequence[str]) -> list[int | None]:
    """Return the flags of the filters in such texts; None where the kernel did not show them. Raises ValueError."""
    return [int(text.partition(":")[0], 16) if ":" in text else None for text in texts]
