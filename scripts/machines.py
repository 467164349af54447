# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of the lab that a script boots for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def destroy_machine(name: str) -> None:
    """Destroy a machine of this checkout, as far as it exists."""
    if Path(".lab", name).exists():
        subprocess.run([sys.executable, "-m", "lab", "down", name], check=False)


def remove_bytecode_cache(name: str) -> None:
    """Let a machine compile the modules of each run, as other hosts do. Without this, the times of module runs are half as long."""
    command = "rm /usr/lib/python3/dist-packages/bytecode_cache.pth"
    subprocess.run([sys.executable, "-m", "lab", "ssh", name, command], check=True)
