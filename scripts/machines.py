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
