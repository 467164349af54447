# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads audit messages from auditd's log and its rotated files. While auditd runs, it receives them and the kernel's log does not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..host.root import Host
from .gaps import BEGINS, CUT, UNREADABLE, build_gap
from .messages import parse_auditd_line
from .reading import Reading

SOURCE = "auditd"
CONFIG = "/etc/audit/auditd.conf"
_LOG_FILE = re.compile(r"^\s*log_file\s*=\s*(\S+)", re.MULTILINE)


def read_auditd_log(host: Host, since: float, limit: int) -> Reading:
    """Return the reading from `since` on, oldest file first, of at most `limit` lines. Without auditd's log, it is empty and has no gap."""
    reading = Reading(SOURCE)
    try:
        match = _LOG_FILE.search(host.read(CONFIG) or "")
        path = match[1] if match else "/var/log/audit/audit.log"
        for number, line in enumerate(_list_lines(host, path, since)):
            if number >= limit:
                text = f"auditd's log has more than {limit} lines; later ones were not read (max_entries)"
                reading.gaps.append(build_gap(CUT, SOURCE, text, reading.messages[-1].time if reading.messages else None))
                break
            message = parse_auditd_line(line)
            if message is None:
                continue
            if reading.begins is None:
                reading.begins = message.time
            if message.time >= since:
                reading.messages.append(message)
    except OSError as error:
        reading.gaps.append(build_gap(UNREADABLE, SOURCE, f"auditd's log cannot be read: {error}", since))
    if reading.begins is not None and reading.begins > since:
        text = "auditd's log begins later than requested: older files were rotated away (num_logs), or auditd was started then"
        reading.gaps.append(build_gap(BEGINS, SOURCE, text, since, reading.begins))
    reading.unlimited = bool(reading.messages)
    return reading


def _list_lines(host: Host, path: str, since: float) -> Iterator[str]:
    """Yield the lines. audit.log.N is older than audit.log.N-1 (man 8 auditd). Of the files that end before `since`, only the newest is read."""
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
