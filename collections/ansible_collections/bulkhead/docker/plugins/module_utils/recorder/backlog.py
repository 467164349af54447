# SPDX-License-Identifier: GPL-3.0-or-later
"""Raises the kernel's limit of queued audit messages while the recorder runs, and restores it.

AppArmor drops a message when the queue is full (security/lsm_audit.c: GFP_ATOMIC; kernel/audit.c: audit_log_start), and 64 is the default.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

from ..audit.status import HEADER, REQUEST, request_status, send_request
from ..host.files import write_atomically
from ..host.root import Host
from .folders import BACKLOG

LIMIT = 8_192
IMMUTABLE = 2  # audit_status.enabled: nothing can be set until the next boot (man 8 auditctl, -e)
_SET = 1001  # AUDIT_SET
_ACKNOWLEDGE = 4  # NLM_F_ACK
_MASK_BACKLOG_LIMIT = 0x10
_STATUS = struct.Struct("=10I")  # struct audit_status (linux/audit.h) up to backlog_wait_time


def set_backlog_limit(limit: int) -> None:
    """Set the kernel's limit. Raises OSError: EPERM in immutable mode."""
    payload = _STATUS.pack(_MASK_BACKLOG_LIMIT, 0, 0, 0, 0, limit, 0, 0, 0, 0)
    answer = send_request(_SET, REQUEST | _ACKNOWLEDGE, payload)
    number = -struct.unpack_from("=i", answer, HEADER.size)[0]  # struct nlmsgerr: 0 acknowledges
    if number:
        raise OSError(number, os.strerror(number))


def raise_backlog_limit(host: Host, boot: str) -> str:
    """Raise the limit if it is lower, and remember the former one. Returns why it was not raised; empty if it is high enough. Raises OSError."""
    status = request_status()
    if status["backlog_limit"] >= LIMIT:
        return ""
    if status["enabled"] == IMMUTABLE:
        return f"audit is in immutable mode, so its backlog limit stays {status['backlog_limit']}, and a burst of accesses can be lost"
    write_atomically(host.path(BACKLOG), json.dumps({"boot": boot, "former": status["backlog_limit"]}) + "\n", 0o600)
    set_backlog_limit(LIMIT)
    return ""


def restore_backlog_limit(host: Host, boot: str) -> str:
    """Set the former limit if the present one is the recorder's. Returns what was done; empty if there was nothing to do. Raises OSError."""
    saved = read_saved(host)
    if saved.get("boot") != boot or request_status()["backlog_limit"] != LIMIT:
        return ""
    set_backlog_limit(int(saved["former"]))
    return f"audit backlog limit {LIMIT}, {saved['former']} again"


def read_saved(host: Host) -> dict[str, Any]:
    """Return the remembered `boot` and `former` limit; empty without one."""
    try:
        saved = json.loads(host.read(BACKLOG) or "{}")
    except ValueError:
        return {}
    return saved if isinstance(saved, dict) and isinstance(saved.get("former"), int) else {}
