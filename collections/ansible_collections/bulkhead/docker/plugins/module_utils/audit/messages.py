# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the kernel's audit messages of AppArmor and seccomp from every source into one form. Pure.

Sources: the kernel's log `audit: type=1400 audit(1764000000.123:77): apparmor="DENIED" …` (kernel/audit.c: kauditd_printk_skb), the journal's audit
transport (systemd journald-audit.c: type, serial and time are fields of their own), and auditd's file `type=AVC msg=audit(…): …` (man 5 auditd.conf).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

APPARMOR, SECCOMP = 1400, 1326  # AUDIT_AVC, which AppArmor uses too, and AUDIT_SECCOMP (linux/audit.h)
DENIED_VERDICTS = ("DENIED", "KILLED")  # values of field `apparmor`; AUDIT and ALLOWED were permitted (security/apparmor/audit.c)
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_STAMP = re.compile(r"audit\((\d+)\.(\d+):(\d+)\): ?")
_KERNEL = re.compile(r"audit: type=(\d+) (audit\(.*)", re.DOTALL)
# Names of types in auditd's log; other types are not needed.
_NAMES = {"AVC": APPARMOR, "APPARMOR_DENIED": APPARMOR, "APPARMOR_ALLOWED": APPARMOR, "APPARMOR": APPARMOR, "SECCOMP": SECCOMP}
_FILE = re.compile(r"(?:node=\S+ )?type=(\S+) msg=(audit\(.*)", re.DOTALL)
# Text that a process chose is written in hex, without quotes, if it contains special characters (kernel/audit.c: audit_log_n_untrustedstring).
_UNTRUSTED = ("comm", "exe", "name", "profile", "srcname", "peer", "info", "target", "addr", "peer_addr")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
# Operation -> what is requested of its target.
_OF_TARGET = {"signal": {"receive"}, "ptrace": {"readby", "tracedby"}}


@dataclass(frozen=True)
class Message:
    """One audit message. kind: the record's type; 0 if it is neither of AppArmor nor of seccomp. time: seconds since the epoch.

    serial: number of the event since boot. boot: ID of that boot; empty if the source does not contain it.
    """

    kind: int
    time: float
    serial: int
    text: str
    boot: str = ""
    fields: dict[str, str] = field(default_factory=dict, compare=False, hash=False)

    @property
    def key(self) -> tuple[int, int, int, str]:
        """Return a key that is equal for the same record from different sources."""
        return (round(self.time * 1000), self.serial, self.kind, self.text)


def parse_fields(text: str) -> dict[str, str]:
    """Return the fields of a message such as `apparmor="DENIED" operation="open" comm="x" …`."""
    found = {}
    for key, value in _FIELD.findall(text):
        if key in _UNTRUSTED and _HEX.fullmatch(value):
            found[key] = bytes.fromhex(value).decode("utf-8", "replace").rstrip("\0")
        else:
            found[key] = value.strip('"')
    return found


def is_about_target(fields: Mapping[str, str]) -> bool:
    """Return whether the profile that denied an operation is not that of the process in the message, but of the one that it is aimed at.

    For a signal and a trace, the kernel asks the profiles of both processes. `pid` and `comm` are always those of the one that acts (Linux
    security/apparmor/ipc.c, aa_may_signal; task.c, aa_may_ptrace).
    """
    requested = fields.get("requested_mask", "").split()
    return bool(requested) and set(requested) <= _OF_TARGET.get(fields.get("operation", ""), set())


def parse_kernel_line(line: str, boot: str = "") -> Message | None:
    """Return the message in a line of the kernel's log; None if it is not an audit record."""
    match = _KERNEL.match(line)
    return _parse_stamped(int(match[1]), match[2], boot) if match else None


def parse_auditd_line(line: str) -> Message | None:
    """Return the message in a line of auditd's log, without the translations that auditd appends (log_format ENRICHED).

    auditd numbers its own messages itself, from a random number on, so they are left out.
    """
    match = _FILE.match(line.partition("\x1d")[0])
    if not match or match[1].startswith("DAEMON_"):
        return None
    return _parse_stamped(
        _NAMES.get(match[1]) or int(re.sub(r"UNKNOWN\[(\d+)\]", r"\1", match[1]) if match[1].startswith("UNKNOWN") else 0), match[2]
    )


def parse_journal_entry(kind: int, serial: int, microseconds: int, text: str, boot: str) -> Message:
    """Return the message in an entry of the journal's audit transport, whose text begins with the name of the type."""
    return _build_message(kind, microseconds / 1e6, serial, text.partition(" ")[2], boot)


def _parse_stamped(kind: int, text: str, boot: str = "") -> Message | None:
    match = _STAMP.match(text)
    if not match:
        return None
    return _build_message(kind, int(match[1]) + int(match[2]) / 1000, int(match[3]), text[match.end() :], boot)


def _build_message(kind: int, time: float, serial: int, text: str, boot: str) -> Message:
    if kind not in (APPARMOR, SECCOMP):
        return Message(0, time, serial, "", boot)
    text = text.strip()
    return Message(kind, time, serial, text, boot, parse_fields(text))
