# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's audit messages of AppArmor and seccomp, wherever they were found: one form, whoever wrote them down. Pure.

Forms: the kernel's log `audit: type=1400 audit(1764000000.123:77): apparmor="DENIED" …` (kernel/audit.c: kauditd_printk_skb), the journal's audit
transport (systemd journald-audit.c: type, serial and time are fields of their own), and auditd's file `type=AVC msg=audit(…): …` (man 5 auditd.conf).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

APPARMOR, SECCOMP = 1400, 1326  # AUDIT_AVC, which AppArmor uses too, and AUDIT_SECCOMP (linux/audit.h)
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_STAMP = re.compile(r"audit\((\d+)\.(\d+):(\d+)\): ?")
_KERNEL = re.compile(r"audit: type=(\d+) (audit\(.*)", re.DOTALL)
# auditd's names of types; any other one's number does not matter here.
_NAMES = {"AVC": APPARMOR, "APPARMOR_DENIED": APPARMOR, "APPARMOR_ALLOWED": APPARMOR, "APPARMOR": APPARMOR, "SECCOMP": SECCOMP}
_FILE = re.compile(r"(?:node=\S+ )?type=(\S+) msg=(audit\(.*)", re.DOTALL)
# What a process chose itself is written in hex without quotes where it has odd characters (kernel/audit.c: audit_log_n_untrustedstring).
_UNTRUSTED = ("comm", "exe", "name", "profile", "srcname", "peer", "info", "target")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")


@dataclass(frozen=True)
class Message:
    """kind: the record's type; 0 for one that is neither AppArmor's nor seccomp's. time: seconds since the epoch. serial: of the event, counted from each
    boot on. boot: ID of that boot where the source tells it, otherwise empty.
    """

    kind: int
    time: float
    serial: int
    text: str
    boot: str = ""
    fields: dict[str, str] = field(default_factory=dict, compare=False, hash=False)

    @property
    def key(self) -> tuple[int, int, int, str]:
        """The same for the same record out of different sources."""
        return (round(self.time * 1000), self.serial, self.kind, self.text)


def fields_of(text: str) -> dict[str, str]:
    """The fields of a message: `apparmor="DENIED" operation="open" comm="x" …`."""
    found = {}
    for key, value in _FIELD.findall(text):
        if key in _UNTRUSTED and _HEX.fullmatch(value):
            found[key] = bytes.fromhex(value).decode("utf-8", "replace").rstrip("\0")
        else:
            found[key] = value.strip('"')
    return found


def of_kernel_log(line: str, boot: str = "") -> Message | None:
    """A line of the kernel's log; None for one that is no audit record."""
    match = _KERNEL.match(line)
    return _stamped(int(match[1]), match[2], boot) if match else None


def of_file(line: str) -> Message | None:
    """A line of auditd's log; what it appends in plain words (log_format ENRICHED) is cut off."""
    match = _FILE.match(line.partition("\x1d")[0])
    if not match:
        return None
    return _stamped(
        _NAMES.get(match[1]) or int(re.sub(r"UNKNOWN\[(\d+)\]", r"\1", match[1]) if match[1].startswith("UNKNOWN") else 0), match[2]
    )


def of_journal(kind: int, serial: int, microseconds: int, text: str, boot: str) -> Message:
    """An entry of the journal's audit transport, whose text begins with the name of the type."""
    return _made(kind, microseconds / 1e6, serial, text.partition(" ")[2], boot)


def _stamped(kind: int, text: str, boot: str = "") -> Message | None:
    match = _STAMP.match(text)
    if not match:
        return None
    return _made(kind, int(match[1]) + int(match[2]) / 1000, int(match[3]), text[match.end() :], boot)


def _made(kind: int, time: float, serial: int, text: str, boot: str) -> Message:
    if kind not in (APPARMOR, SECCOMP):
        return Message(0, time, serial, "", boot)
    text = text.strip()
    return Message(kind, time, serial, text, boot, fields_of(text))
