# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads audit messages from the kernel's own log buffer, for hosts whose journal does not contain them (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator

from .egress import parse_connection
from .gaps import BEGINS, MISSED, RATE_LIMITED, UNREADABLE, build_gap, parse_suppressed
from .messages import parse_kernel_line
from .reading import Reading

SOURCE = "/dev/kmsg"


def read_kmsg(since: float, path: str = SOURCE) -> Reading:
    try:
        # The time of a record is that of the scheduler's clock, which differs from CLOCK_MONOTONIC by some milliseconds.
        return parse_records(list_records(path), since, time.time() - time.monotonic())
    except OSError as error:
        return Reading(SOURCE, gaps=[build_gap(UNREADABLE, SOURCE, f"{SOURCE} cannot be read: {error.strerror}", since)])


def list_records(path: str) -> Iterator[str]:
    """Yield all records of the buffer. After EPIPE (it was overwritten meanwhile), reading continues with the oldest record left. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                record = os.read(descriptor, 1 << 14)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    continue
                if error.errno == errno.EAGAIN:
                    return
                raise
            if not record:
                return
            yield record.decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def parse_records(records: Iterable[str], since: float, epoch: float) -> Reading:
    """Return the reading of records `priority,number,microseconds,flags;text`. epoch: zero of the monotonic clock, in seconds since the epoch."""
    reading = Reading(SOURCE, kernel=True)
    last: int | None = None
    for record in records:
        head, unused, text = record.partition(";")
        fields = head.split(",")
        number, moment = int(fields[1]), epoch + int(fields[2]) / 1e6
        text = text.partition("\n")[0]
        if last is None:
            reading.begins = moment
            if moment > since:
                why = "it has been overwritten up to here" if number else "it begins with the boot"
                reading.gaps.append(build_gap(BEGINS, SOURCE, f"the kernel's log buffer begins later than requested: {why}", since, moment))
        elif number != last + 1 and moment >= since:
            reading.gaps.append(
                build_gap(MISSED, SOURCE, "the kernel's log buffer was overwritten while it was read", None, moment, number - last - 1)
            )
        last = number
        message = parse_kernel_line(text)
        if message:
            reading.messages.append(message)
        elif moment >= since and parse_connection(text):
            reading.connections.append((moment, text))
        elif moment >= since and (lost := parse_suppressed(text)):
            reading.gaps.append(build_gap(RATE_LIMITED, SOURCE, f"the kernel's log dropped {lost} audit messages", None, moment, lost))
    return reading
