# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's audit messages while the attacks run, and which attack caused which. Reading is I/O, parsing is pure."""

from __future__ import annotations

import re
import socket
import struct
import threading

NETLINK_AUDIT = 9
READLOG = 1  # AUDIT_NLGRP_READLOG, as a bit (linux/audit.h): what auditd gets, for readers beside it
APPARMOR, SECCOMP = 1400, 1326
_FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
_APPARMOR_FIELDS: tuple[str, ...] = (
    "apparmor",
    "operation",
    "profile",
    "name",
    "capname",
    "requested_mask",
    "denied_mask",
    "family",
    "peer",
)
_SECCOMP_FIELDS: tuple[str, ...] = ("syscall", "code")
_HEADER = struct.Struct("=IHHII")


class Listener:
    """Listens from construction until `stop`. `error` says why nothing can be heard; the kernel's log is rate-limited, this is not."""

    def __init__(self) -> None:
        self.error = ""
        self._messages: list[tuple[int, str]] = []
        self._stop = threading.Event()
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.settimeout(0.2)
            self._socket.bind((0, READLOG))
        except OSError as error:
            self.error = f"the kernel's audit messages can't be read: {error.strerror}"
            return
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> list[tuple[int, str]]:
        """What was heard: type and text of each message."""
        if not self.error:
            self._stop.set()
            self._thread.join()
            self._socket.close()
        return self._messages

    def _listen(self) -> None:
        while True:
            try:
                self._messages += messages(self._socket.recv(1 << 16))
            except TimeoutError:
                if self._stop.is_set():
                    return
            except OSError as error:  # ENOBUFS: some were lost
                self.error = f"some of the kernel's audit messages were lost: {error.strerror}"


def messages(raw: bytes) -> list[tuple[int, str]]:
    """Type and text of the message in a datagram: one each, after a struct nlmsghdr (kernel/audit.c: kauditd_send_multicast_skb)."""
    if len(raw) <= _HEADER.size:
        return []
    return [(_HEADER.unpack_from(raw)[1], raw[_HEADER.size :].decode("utf-8", "replace").strip("\0\n "))]


def parse(text: str) -> dict[str, str]:
    """The fields of a message: `apparmor="DENIED" operation="open" comm="x" …`."""
    return {key: value.strip('"') for key, value in _FIELD.findall(text)}


def denials(heard: list[tuple[int, str]]) -> dict[str, list[str]]:
    """Name of a process (`comm`) → what the kernel said of it, shortened, each once: AppArmor's refusals and seccomp's records."""
    found: dict[str, list[str]] = {}
    for kind, text in heard:
        fields = parse(text)
        if kind == APPARMOR and fields.get("apparmor") in ("DENIED", "AUDIT"):
            told = _APPARMOR_FIELDS
        elif kind == SECCOMP:
            told = _SECCOMP_FIELDS
        else:
            continue
        line = f"type={kind} " + " ".join(f"{key}={fields[key]}" for key in told if key in fields)
        lines = found.setdefault(fields.get("comm", ""), [])
        if line not in lines:
            lines.append(line)
    return found


def silent(layers: list[str], heard: bool) -> str:
    """Why a refusal of these layers left no message, in words; empty where none is known."""
    reasons = {
        "seccomp": "seccomp: an errno without the filter flag LOG is not logged (man 2 seccomp)",
        "apparmor": "AppArmor: a plain `deny` rule is silent (man 5 apparmor.d: audit deny)",
        "capabilities": "the kernel logs no missing capability (only AppArmor does, where it refuses one)",
        "userns": "the kernel logs no refusal for want of rights over the host",
        "no_new_privileges": "the kernel ignores a setuid bit without a word",
        "pids_limit": "the PIDs controller counts (pids.events), and the kernel logs the first time only",
        "read_only_root": "a read-only mount refuses without a word",
        "masked_paths": "a read-only or masked path refuses without a word",
        "devices": "the device controller refuses without a word",
        "non_root_user": "file permissions refuse without a word",
    }
    return "" if heard else "; ".join(reasons[layer] for layer in layers if layer in reasons)
