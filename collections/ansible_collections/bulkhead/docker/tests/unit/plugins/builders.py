# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds what many unit tests need: hosts with files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host


def write_files(root: Host | Path, files: Mapping[str, str | bytes]) -> Host:
    """Write these files below the root, with the folders above them, and return the host that has them. files: path -> content."""
    host = root if isinstance(root, Host) else Host(root)
    for path, content in files.items():
        file = host.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return host
