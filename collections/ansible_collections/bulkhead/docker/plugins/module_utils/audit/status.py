# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the state of the kernel's audit: who receives its messages, how many it lost, and what it does not log."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

from ..host.root import Host
from .gaps import LOST, SILENT, build_gap
from .netlink import NETLINK_AUDIT

_GET = 1000  # AUDIT_GET
REQUEST = 1  # NLM_F_REQUEST
HEADER = struct.Struct("=IHHII")
# struct audit_status begins with these (linux/audit.h); later kernels append to it.
_STATUS = struct.Struct("=8I")
_NAMES = ("mask", "enabled", "failure", "auditd_pid", "rate_limit", "backlog_limit", "lost", "backlog")
APPARMOR_AUDIT = "/sys/module/apparmor/parameters/audit"
ACTIONS_LOGGED = "/proc/sys/kernel/seccomp/actions_logged"


def request_status() -> dict[str, int]:
    """Return the kernel's audit_status. Raises OSError without CAP_AUDIT_CONTROL, and if the kernel was started with audit=0."""
    return parse_audit_status(send_request(_GET, REQUEST))


def send_request(kind: int, flags: int, payload: bytes = b"") -> bytes:
    """Send a message to the kernel's audit and return its answer, both with a struct nlmsghdr. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT) as link:
        link.settimeout(5)
        link.send(HEADER.pack(HEADER.size + len(payload), kind, flags, 1, 0) + payload)
        return link.recv(1 << 13)


def parse_audit_status(raw: bytes) -> dict[str, int]:
    """Return the answer to AUDIT_GET. Raises OSError if it is an error or another message."""
    if len(raw) >= HEADER.size + 4 and HEADER.unpack_from(raw)[1] == 2:  # NLMSG_ERROR
        number = -struct.unpack_from("=i", raw, HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    if len(raw) < HEADER.size + _STATUS.size or HEADER.unpack_from(raw)[1] != _GET:
        raise OSError(22, "the answer is not an audit status")
    return dict(zip(_NAMES, _STATUS.unpack_from(raw, HEADER.size), strict=True))


def read_audit_status(host: Host) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return `enabled`, `auditd_pid` (0: none), `lost` (since boot) and `boot` (its time), and the log gaps that follow from them."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[str, Any] = {"enabled": None, "auditd_pid": None, "lost": None, "boot": boot}
    gaps = []
    try:
        status = request_status()
        found.update({key: status[key] for key in ("enabled", "auditd_pid", "lost")})
        if status["lost"]:
            text = f"the kernel has lost {status['lost']} audit messages since it booted, at unknown times; `auditctl --reset-lost` resets the count"
            gaps.append(build_gap(LOST, "audit status", text, boot, None, status["lost"]))
    except OSError as error:
        text = f"the kernel's audit cannot be queried ({error.strerror or error}); if it was started with audit=0, it logs no denials"
        gaps.append(build_gap(SILENT, "audit status", text))
    return found, gaps + find_disabled_logging(host.read(APPARMOR_AUDIT), host.read(ACTIONS_LOGGED))


def find_disabled_logging(apparmor: str | None, actions: str | None) -> list[dict[str, Any]]:
    """Return a gap for each setting that disables logging. apparmor, actions: texts of APPARMOR_AUDIT and ACTIONS_LOGGED; None without the file."""
    gaps = []
    if apparmor is not None and apparmor.strip() in ("quiet", "quiet_denied"):
        text = f"AppArmor does not log its denials: {APPARMOR_AUDIT} is {apparmor.strip()}; write normal there"
        gaps.append(build_gap(SILENT, APPARMOR_AUDIT, text))
    missing = [name for name in ("kill_process", "kill_thread", "errno", "log") if actions is not None and name not in actions.split()]
    if missing:
        text = f"seccomp does not log {', '.join(missing)}; add them to {ACTIONS_LOGGED}"
        gaps.append(build_gap(SILENT, ACTIONS_LOGGED, text))
    return gaps
