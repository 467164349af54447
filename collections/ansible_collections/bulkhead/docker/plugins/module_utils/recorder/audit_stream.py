# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the kernel's audit messages without waiting, counts those that are missing, and reduces equal ones.

Unlike audit/listener.py, which keeps all messages of a short time, this reader runs for months with a fixed amount of memory.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..audit.messages import APPARMOR, Message, parse_fields
from ..audit.netlink import NETLINK_AUDIT, READLOG, parse_datagram
from .paths import generalise_variables
from .store import encode_access

BUFFER = 8 << 20
MAX_DATAGRAM = 1 << 16
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; exceeds net.core.rmem_max, needs CAP_NET_ADMIN
_HEAD = re.compile(r"audit\(\d+\.\d+:(\d+)\): ?")
_PID = re.compile(r" pid=(\d+)")
_MAX_CACHE = 50_000
# Seconds: messages of several processors are slightly out of order.
_PATIENCE = 10.0
# A hole that is larger is counted at once, so that the numbers in it need not be remembered.
_MAX_HOLE = 5_000

# Message -> (access, whether it was denied, PID); None for a message that is not of a container's profile (access.parse_access).
Parser = Callable[[Message], "tuple[dict[str, Any], bool, int] | None"]


class AuditStream:
    """The open netlink socket. overruns: how often the kernel dropped messages because they were not read in time. Raises OSError."""

    def __init__(self) -> None:
        self.overruns = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_AUDIT)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
            self._socket.bind((0, READLOG))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, limit: int) -> list[tuple[int, str]]:
        """Return type and text of at most `limit` messages that have arrived; the kernel keeps the others."""
        found: list[tuple[int, str]] = []
        for _message in range(limit):
            try:
                found += parse_datagram(self._socket.recv(MAX_DATAGRAM))
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: some were lost; reading goes on (man 7 netlink)
                self.overruns += 1
        return found

    def close(self) -> None:
        self._socket.close()


@dataclass
class SerialCounter:
    """Counts serial numbers that do not arrive. The kernel numbers all messages (kernel/audit.c: audit_serial)."""

    highest: int = 0
    missing: dict[int, float] = field(default_factory=dict)
    lost: int = 0

    def add(self, serial: int, now: float) -> None:
        """Note a number. Several messages can have the same one."""
        if serial > self.highest:
            hole = serial - self.highest - 1
            if self.highest and hole:
                if hole + len(self.missing) > _MAX_HOLE:
                    self.lost += hole
                else:
                    self.missing.update(dict.fromkeys(range(self.highest + 1, serial), now))
            self.highest = serial
        elif self.missing:
            self.missing.pop(serial, None)

    def take_lost(self, now: float) -> int:
        """Return how many numbers are known to be missing since the last time."""
        late = [serial for serial, since in self.missing.items() if now - since > _PATIENCE]
        for serial in late:
            del self.missing[serial]
        lost, self.lost = self.lost + len(late), 0
        return lost


@dataclass(frozen=True)
class Parsed:
    """An access as sorted JSON, whether it was denied, and by which process. pid: 0 if only the profile is known."""

    text: str
    denied: bool
    pid: int
    profile: str


class MessageParser:
    """Parses messages, each text once: messages differ mostly in their number and PID. The memory of texts is limited."""

    def __init__(self, parse: Parser) -> None:
        self.serials = SerialCounter()
        self._parse = parse
        self._known: dict[str, Parsed | None] = {}

    def parse(self, message: tuple[int, str], now: float) -> Parsed | None:
        """Return what a message says of a container; None for others."""
        kind, text = message
        head = _HEAD.match(text)
        if head is None:
            return None
        serial = int(head[1])
        self.serials.add(serial, now)
        pid = _PID.search(text, head.end())
        if kind != APPARMOR or pid is None:
            return None
        key = text[head.end() : pid.start()] + text[pid.end() :]
        if key not in self._known:
            if len(self._known) >= _MAX_CACHE:
                self._known.clear()
            self._known[key] = self._parse_new(text[head.end() :], serial, now)
        known = self._known[key]
        return replace(known, pid=int(pid[1])) if known and known.pid else known

    def _parse_new(self, text: str, serial: int, now: float) -> Parsed | None:
        fields = parse_fields(text)
        parsed = self._parse(Message(APPARMOR, now, serial, text, fields=fields))
        if parsed is None:
            return None
        access, denied, pid = parsed
        return Parsed(encode_access(generalise_access(access)), denied, pid, fields.get("profile", "").partition("//")[0])


def generalise_access(access: dict[str, Any]) -> dict[str, Any]:
    """Return an access with paths as patterns, without what differs from run to run."""
    names = {"file": ("path", "target"), "mount": ("path", "source")}.get(access["class"], ())
    return access | {name: generalise_variables(access[name]) for name in names if str(access.get(name, "")).startswith("/")}
