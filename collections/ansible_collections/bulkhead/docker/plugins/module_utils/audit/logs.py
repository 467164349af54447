# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages in auditd's log and its rotated files. While auditd runs, the kernel gives them to it and no longer logs them itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..host.root import Host
from .gaps import BEGINS, CUT, UNREADABLE, gap
from .messages import of_file
from .reading import Reading

SOURCE = "auditd"
CONFIG = "/etc/audit/auditd.conf"
_LOG_FILE = re.compile(r"^\s*log_file\s*=\s*(\S+)", re.MULTILINE)


def read(host: Host, since: float, limit: int) -> Reading:
    """Since then, oldest file first, at most `limit` lines. A host without auditd's log has nothing here, and lacks nothing."""
    reading = Reading(SOURCE)
    try:
        match = _LOG_FILE.search(host.read(CONFIG) or "")
        path = match[1] if match else "/var/log/audit/audit.log"
        for number, line in enumerate(_lines(host, path, since)):
            if number >= limit:
                text = f"auditd's log has more than {limit} lines to look through; what came later was not read (max_entries)"
                reading.gaps.append(gap(CUT, SOURCE, text, reading.messages[-1].time if reading.messages else None))
                break
            message = of_file(line)
            if message is None:
                continue
            if reading.begins is None:
                reading.begins = message.time
            if message.time >= since:
                reading.messages.append(message)
    except OSError as error:
        reading.gaps.append(gap(UNREADABLE, SOURCE, f"auditd's log can't be read: {error}", since))
    if reading.begins is not None and reading.begins > since:
        text = "auditd's log begins later than what was asked for: older files were rotated away (num_logs), or it ran from then on"
        reading.gaps.append(gap(BEGINS, SOURCE, text, since, reading.begins))
    reading.unlimited = bool(reading.messages)
    return reading


def _lines(host: Host, path: str, since: float) -> Iterator[str]:
    """audit.log.N is older than audit.log.N-1 (man 8 auditd). One that ends before `since` is passed over, but for the newest of these."""
    folder, name = os.path.split(path)
    number = re.compile(re.escape(name) + r"(?:\.(\d+))?")
    try:
        found = sorted(((int(m[1] or 0), m[0]) for entry in os.listdir(host.path(folder)) if (m := number.fullmatch(entry))), reverse=True)
    except FileNotFoundError:
        return
    files = [host.path(f"{folder}/{entry}") for unused, entry in found]
    late = [file for file in files if file.stat().st_mtime >= since]
    for file in files[max(0, len(files) - len(late) - 1) :]:
        with open(file, encoding="utf-8", errors="replace") as handle:
            yield from handle
