# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that the plan and the judge of this layer share."""

from __future__ import annotations

LAYER = "no_new_privileges"
KEY = "no-new-privileges"
