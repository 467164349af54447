# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads audit messages from the systemd journal: those of the kernel's log, and of the audit socket if journald reads it.

The socket is not rate-limited. journald's own limit (man 5 journald.conf, RateLimitIntervalSec) applies to services, not to the kernel.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..host.cgroup import parse_container_group
from .egress import parse_connection
from .gaps import BEGINS, CUT, MISSED, RATE_LIMITED, UNREADABLE, build_gap, parse_suppressed
from .messages import parse_journal_entry, parse_kernel_line
from .reading import Reading

SOURCE = "journal"
# systemd's sd-messages.h: a unit was started; it ended; journald missed kernel messages.
_STARTED, _ENDED, _MISSED = "39f53479d3a045ac8e11786248231fbf", "7ad2d189f7e94e70a38c781354912448", "e9bf28e6e834481bb6f48f548ad13606"
_FIELDS = "MESSAGE,MESSAGE_ID,UNIT,_TRANSPORT,_BOOT_ID,_AUDIT_TYPE,_AUDIT_ID,_SOURCE_REALTIME_TIMESTAMP"
_COMMAND = ("journalctl", "--system", "--quiet", "--no-pager", "--output=json", f"--output-fields={_FIELDS}")
_MATCHES = (
    "_TRANSPORT=kernel", "+", "_TRANSPORT=audit", "+", f"MESSAGE_ID={_MISSED}", "+",
    "_PID=1", f"MESSAGE_ID={_STARTED}", f"MESSAGE_ID={_ENDED}",
)  # fmt: skip
_ERROR_BYTES = 2000  # of the messages, for the report
Lines = Callable[[list[str]], Iterator[str]]


def read_journal(since: float, limit: int, lines: Lines | None = None) -> Reading:
    """Return the reading from `since` on, of at most `limit` entries. lines: runs journalctl; tests replace it."""
    lines = lines or run_journalctl
    reading = Reading(SOURCE)
    try:
        first = next(lines([*_COMMAND, "--output-fields=_BOOT_ID"]), None)
        reading.begins = int(json.loads(first)["__REALTIME_TIMESTAMP"]) / 1e6 if first else None
        if first is None:
            reading.gaps.append(build_gap(UNREADABLE, SOURCE, "the journal is empty"))
        elif reading.begins is not None and reading.begins > since:
            text = "the journal begins later than requested: earlier entries were rotated away or never kept"
            reading.gaps.append(build_gap(BEGINS, SOURCE, text, since, reading.begins))
        for number, line in enumerate(lines([*_COMMAND, f"--since=@{int(since)}", *_MATCHES])):
            entry = json.loads(line)
            moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
            if number >= limit:
                text = f"the journal has more than {limit} entries; later ones were not read (max_entries)"
                reading.gaps.append(build_gap(CUT, SOURCE, text, moment))
                break
            if moment >= since:
                _add_entry(reading, entry, moment)
    except (OSError, ValueError, KeyError) as error:
        reading.gaps.append(build_gap(UNREADABLE, SOURCE, f"the journal cannot be read: {error}", since))
        reading.begins = None
    return reading


def run_journalctl(command: list[str]) -> Iterator[str]:
    """Yield the lines of the output. The process ends with the iteration. Raises OSError with the message of journalctl."""
    # A file has room for any number of messages. A full pipe would block the process before the end of its output.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace") as process,
    ):
        try:
            yield from process.stdout or ()
            if process.wait():
                errors.seek(0)
                text = errors.read(_ERROR_BYTES).decode("utf-8", "replace").strip()
                raise OSError(f"journalctl: {text or f'exit code {process.returncode}'}")
        finally:
            process.kill()


def _add_entry(reading: Reading, entry: Mapping[str, Any], moment: float) -> None:
    text, boot = _decode_field(entry.get("MESSAGE")), entry.get("_BOOT_ID", "")
    match entry.get("_TRANSPORT"):
        case "audit":
            kind, serial = int(entry.get("_AUDIT_TYPE", 0)), int(entry.get("_AUDIT_ID", 0))
            reading.messages.append(
                parse_journal_entry(kind, serial, int(entry.get("_SOURCE_REALTIME_TIMESTAMP", moment * 1e6)), text, boot)
            )
            reading.unlimited = True
        case "kernel":
            reading.kernel = True
            message = parse_kernel_line(text, boot)
            if message:
                reading.messages.append(message)
            elif parse_connection(text):
                reading.connections.append((moment, text))
            elif number := parse_suppressed(text):
                reading.gaps.append(
                    build_gap(RATE_LIMITED, SOURCE, f"the kernel's log dropped {number} audit messages", None, moment, number)
                )
        case _ if entry.get("MESSAGE_ID") == _MISSED:
            reading.gaps.append(build_gap(MISSED, SOURCE, f"journald was too slow for the kernel's log: {text}", None, moment))
        case _:
            group = parse_container_group(str(entry.get("UNIT", "")))
            if group and group[1] == "docker":
                reading.scopes.append((group[0], entry.get("MESSAGE_ID") == _STARTED, moment))


def _decode_field(value: Any) -> str:
    """Return the text of a field, which journalctl writes as a list of bytes if it is not plain text (man 1 journalctl, json)."""
    if isinstance(value, list):
        return bytes(part for part in value if isinstance(part, int)).decode("utf-8", "replace")
    return str(value or "")
