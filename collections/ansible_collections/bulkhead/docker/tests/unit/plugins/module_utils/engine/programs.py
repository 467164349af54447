# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand in for dockerd."""

from __future__ import annotations

from pathlib import Path


def write_dockerd(folder: Path, script: str) -> str:
    """Write a dockerd that every user can run, and return its path. Its file contains the name of one key."""
    program = folder / "dockerd"
    program.write_text(f"#!/bin/sh\n# default-address-pools\n{script}\n")
    program.chmod(0o755)
    for parent in (folder, *folder.parents[:-2]):
        parent.chmod(0o755)
    return str(program)
