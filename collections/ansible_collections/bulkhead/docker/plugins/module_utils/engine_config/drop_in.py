# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the systemd drop-in with the default PIDs limit of containers; drop_in_text.py has its text."""

from __future__ import annotations

import re

from ..engine.instance import ROOTFUL, SCOPE_DROP_IN

FOLDER, NAME = SCOPE_DROP_IN.split("/")
PATH = ROOTFUL.drop_in
# A key of daemon.json that tutorials name for this limit, and that no release of moby has.
PIDS_KEY = "default-pids-limit"


def parse_tasks_max(text: str) -> str | None:
    """Return the last TasksMax= of a drop-in (`100`, `15%`, `infinity`); None without one, empty for a reset."""
    found = re.findall(r"^[ \t]*TasksMax[ \t]*=[ \t]*(\S*)[ \t]*$", text, re.MULTILINE)
    return found[-1] if found else None
