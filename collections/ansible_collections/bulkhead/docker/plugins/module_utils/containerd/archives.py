# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the archives of layers, and checks them against the digests that images name."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .blobs import GZIP, ZSTD, detect_compression, explain_remedy
from .images import ImageLayer
from .store import Store
from .tar_split import DamagedLayer, Readable, split_layer


def describe_archive(store: Store, layer: ImageLayer, source: Path, path: Path) -> int:
    """Write the description of a layer's archive, and return the size of its files. Raises OSError, ValueError."""
    blob = store.find_blob(layer.blob)
    if blob is None:
        raise ValueError(f"the archive {layer.blob[:19]} of a layer was removed meanwhile; run again")
    try:
        with open(path, "xb") as file, gzip.GzipFile("", "wb", 6, file, 0) as out, _open_archive(blob) as archive:
            facts = split_layer(archive, source, out)
    except (DamagedLayer, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"layer {layer.blob[:19]}: {error}; {explain_remedy(store, layer.blob)}") from error
    if facts.diff_id != layer.diff_id:
        raise ValueError(
            f"layer {layer.blob[:19]}: its archive has the digest {facts.diff_id} instead of {layer.diff_id}; {explain_remedy(store, layer.blob)}"
        )
    return facts.size


@contextmanager
def _open_archive(blob: Path) -> Iterator[Readable]:
    """Yield the uncompressed archive."""
    compression = detect_compression(blob)
    if compression == GZIP:
        with gzip.open(blob) as file:
            yield file
    elif compression == ZSTD:
        with subprocess.Popen(
            ["zstd", "--decompress", "--stdout", "--quiet", "--", str(blob)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            yield process.stdout  # type: ignore[misc]  # a pipe, never None
        if process.returncode:
            raise DamagedLayer(f"zstd fails with status {process.returncode}")
    else:
        with open(blob, "rb") as file:
            yield file
