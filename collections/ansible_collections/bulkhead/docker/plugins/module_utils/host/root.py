# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that an observation reads: its file system, seen from a root that tests can move."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATE_DIR = "/var/lib/bulkhead"


@dataclass
class Host:
    """Read access to one host.

    root: where its file system begins; "/" on a real host, a folder of fixtures in tests.
    """

    root: Path = Path("/")

    def path(self, absolute: str) -> Path:
        """`/etc/subuid` as it is on this host."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str, limit: int = 4 << 20) -> str | None:
        """The text of a file (at most `limit` bytes, UTF-8 with odd bytes kept as surrogates); None when there is no such file.

        Raises OSError for everything else that keeps it from being read (a directory, no permission).
        """
        try:
            with self.path(absolute).open("rb", buffering=0) as handle:
                # In small steps: for /proc/sys the kernel allocates as much as is asked for, and has ENOMEM for 4 MiB (fs/proc/proc_sysctl.c).
                chunks = []
                while limit > 0 and (chunk := handle.read(min(limit, 1 << 16))):
                    chunks.append(chunk)
                    limit -= len(chunk)
                return b"".join(chunks).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
