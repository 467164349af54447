# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages, as they look in each place where they are found."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.audit.messages import Message, parse_kernel_line

T = 1764000000.0
BOOT = "b" * 32
AVC = (
    'apparmor="DENIED" operation="open" class="file" profile="{profile}" name="/proc/sysrq-trigger" pid={pid} comm="sh" '
    'requested_mask="w" denied_mask="w" fsuid=0 ouid=0'
)
FILTERED = (
    'auid=4294967295 uid=0 gid=0 ses=4294967295 subj=docker-default pid={pid} comm="mkdir" exe="/bin/mkdir" sig=31 arch=c000003e syscall=83 '
    "compat=0 ip=0x7f code=0x80000000"
)


def kernel(text: str, serial: int, at: float = T, kind: int = 1400) -> str:
    return f"audit: type={kind} audit({at:.3f}:{serial}): {text}"


def denied(serial: int, at: float = T, pid: int = 4711, profile: str = "docker-default") -> Message:
    message = parse_kernel_line(kernel(AVC.format(pid=pid, profile=profile), serial, at), BOOT)
    assert message
    return message


def filtered(serial: int, at: float = T, pid: int = 4712) -> Message:
    message = parse_kernel_line(kernel(FILTERED.format(pid=pid), serial, at, 1326), BOOT)
    assert message
    return message


def entry(at: float = T, **fields: Any) -> str:
    """A line of journalctl --output=json."""
    return json.dumps({"__REALTIME_TIMESTAMP": str(int(at * 1e6)), "_BOOT_ID": BOOT, **fields})
