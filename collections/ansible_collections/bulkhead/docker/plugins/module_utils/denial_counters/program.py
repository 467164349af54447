# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of bulkhead-denials.service. It ends as soon as the kernel counts; nothing of it stays in memory.

counters.pyz arm      load the programs that count denials, unless they are loaded
counters.pyz disarm   unload them
"""

from __future__ import annotations

import sys

from .kernel import load_counters, unload_counters
from .pins import CountersError


def main() -> int:
    """Run one command and return the exit status."""
    command = " ".join(sys.argv[1:])
    if command not in ("arm", "disarm"):
        sys.stderr.write(f"{command!r} is not a command of the counters; write arm or disarm\n")
        return 2
    try:
        load_counters() if command == "arm" else unload_counters()
    except CountersError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
