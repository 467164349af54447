# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of its audit: who takes the messages, how many it lost, and what it would not log at all."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

from ..host.root import Host
from .gaps import LOST, SILENT, gap
from .listener import NETLINK_AUDIT

_GET = 1000  # AUDIT_GET
_REQUEST = 1  # NLM_F_REQUEST
_HEADER = struct.Struct("=IHHII")
# struct audit_status begins with these (linux/audit.h); later kernels append to it.
_STATUS = struct.Struct("=8I")
_NAMES = ("mask", "enabled", "failure", "auditd_pid", "rate_limit", "backlog_limit", "lost", "backlog")
APPARMOR_AUDIT = "/sys/module/apparmor/parameters/audit"
ACTIONS_LOGGED = "/proc/sys/kernel/seccomp/actions_logged"


def ask() -> dict[str, int]:
    """The kernel's audit_status. Raises OSError: without CAP_AUDIT_CONTROL, or where the kernel was started with audit=0."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT) as link:
        link.settimeout(5)
        link.send(_HEADER.pack(_HEADER.size, _GET, _REQUEST, 1, 0))
        return parse(link.recv(1 << 13))


def parse(raw: bytes) -> dict[str, int]:
    """The answer to AUDIT_GET. Raises OSError where it is an error, or something else."""
    if len(raw) >= _HEADER.size + 4 and _HEADER.unpack_from(raw)[1] == 2:  # NLMSG_ERROR
        number = -struct.unpack_from("=i", raw, _HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    if len(raw) < _HEADER.size + _STATUS.size or _HEADER.unpack_from(raw)[1] != _GET:
        raise OSError(22, "an answer that is no audit status")
    return dict(zip(_NAMES, _STATUS.unpack_from(raw, _HEADER.size), strict=True))


def look(host: Host) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """`enabled`, `auditd_pid` (0: nobody), `lost` (since boot), `boot` (when it was), and what this means for what can be read."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[str, Any] = {"enabled": None, "auditd_pid": None, "lost": None, "boot": boot}
    gaps = []
    try:
        status = ask()
        found.update({key: status[key] for key in ("enabled", "auditd_pid", "lost")})
        if status["lost"]:
            text = f"the kernel has lost {status['lost']} audit messages since it booted, and does not say when; `auditctl --reset-lost` starts anew"
            gaps.append(gap(LOST, "audit status", text, boot, None, status["lost"]))
    except OSError as error:
        text = f"the kernel's audit can't be asked ({error.strerror or error}); started with audit=0, it logs no denial at all"
        gaps.append(gap(SILENT, "audit status", text))
    return found, gaps + silent(host.read(APPARMOR_AUDIT), host.read(ACTIONS_LOGGED))


def silent(apparmor: str | None, actions: str | None) -> list[dict[str, Any]]:
    """What the kernel is told not to log. apparmor, actions: the texts of APPARMOR_AUDIT and ACTIONS_LOGGED, None where there are none."""
    gaps = []
    if apparmor is not None and apparmor.strip() in ("quiet", "quiet_denied"):
        text = f"AppArmor does not log its denials: {APPARMOR_AUDIT} is {apparmor.strip()}; write normal there"
        gaps.append(gap(SILENT, APPARMOR_AUDIT, text))
    wanting = [name for name in ("kill_process", "kill_thread", "errno", "log") if actions is not None and name not in actions.split()]
    if wanting:
        text = f"seccomp does not log {', '.join(wanting)}: add the words to {ACTIONS_LOGGED}"
        gaps.append(gap(SILENT, ACTIONS_LOGGED, text))
    return gaps
