# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the command line turns into a message and exit status 1."""

from __future__ import annotations


class LabError(Exception):
    """A problem that the user of the lab can act on; never a bug of the lab."""
