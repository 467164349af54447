# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the command line turns into a sentence and exit status 1."""

from __future__ import annotations


class LabError(Exception):
    """Something that the person at the keyboard can act on; never a bug of ours."""
