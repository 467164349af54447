# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit netlink socket: its numbers, and the form of its messages."""

from __future__ import annotations

import struct

NETLINK_AUDIT = 9
READLOG = 1  # AUDIT_NLGRP_READLOG, as a bit (linux/audit.h): what auditd receives, for other readers
_HEADER = struct.Struct("=IHHII")


def parse_datagram(raw: bytes) -> list[tuple[int, str]]:
    """Return type and text of the one message in a datagram, after a struct nlmsghdr (kernel/audit.c: kauditd_send_multicast_skb)."""
    if len(raw) <= _HEADER.size:
        return []
    return [(_HEADER.unpack_from(raw)[1], raw[_HEADER.size :].decode("utf-8", "replace").strip("\0\n "))]
