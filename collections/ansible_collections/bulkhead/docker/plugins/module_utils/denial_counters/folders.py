# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the denial counters on a host."""

from __future__ import annotations

from ..host.root import STATE_DIR

FOLDER = f"{STATE_DIR}/denials"
PROGRAM = f"{FOLDER}/counters.pyz"
VERSION = f"{FOLDER}/version"
UNIT_NAME = "bulkhead-denials.service"
UNIT = f"/etc/systemd/system/{UNIT_NAME}"
