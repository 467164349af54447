# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages as the kernel sends them: parsed, shortened, and sorted by the process that caused them."""

from __future__ import annotations

import struct

from ansible_collections.bulkhead.docker.plugins.module_utils.attack import audit
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.run import parse_log

DENIED = (
    'audit(1764000000.123:77): apparmor="DENIED" operation="open" class="file" profile="docker-default" name="/proc/sysrq-trigger" '
    'pid=4711 comm="bulk04x05" requested_mask="w" denied_mask="w" fsuid=0 ouid=0'
)
ALLOWED = 'audit(1764000000.124:78): apparmor="STATUS" operation="profile_replace" name="docker-default" pid=1 comm="apparmor_parser"'
FILTERED = (
    "audit(1764000000.125:79): auid=4294967295 uid=0 gid=0 ses=4294967295 subj=unconfined pid=4712 "
    'comm="bulk03x25" exe="/usr/bin/python3.13" sig=0 arch=c000003e syscall=250 compat=0 ip=0x7f code=0x50001'
)


def test_denials_per_process() -> None:
    found = audit.group_denials([(1400, DENIED), (1400, DENIED), (1400, ALLOWED), (1326, FILTERED), (1300, "audit(1:1): syscall=1")])
    assert found == {
        "bulk04x05": [
            "type=1400 apparmor=DENIED operation=open profile=docker-default name=/proc/sysrq-trigger requested_mask=w denied_mask=w"
        ],
        "bulk03x25": ["type=1326 syscall=250 code=0x50001"],
    }


def test_records_are_read_from_log_frames() -> None:
    def frame(stream: int, text: bytes) -> bytes:
        return struct.pack(">BxxxI", stream, len(text)) + text

    log = frame(1, b'{"confinement": {}}\n{"att') + frame(1, b'ack": "bpf"}\n') + frame(2, b"Traceback\n")
    assert parse_log(log) == [{"confinement": {}}, {"attack": "bpf"}, {"stray": "Traceback"}]
    assert parse_log(b"") == []
