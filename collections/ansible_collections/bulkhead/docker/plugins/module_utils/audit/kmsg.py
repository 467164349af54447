# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit messages in the kernel's own log buffer, for hosts whose journal does not have them (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator

from .gaps import BEGINS, MISSED, RATE_LIMITED, UNREADABLE, gap, suppressed
from .messages import of_kernel_log
from .reading import Reading

SOURCE = "/dev/kmsg"


def read(since: float, path: str = SOURCE) -> Reading:
    try:
        # Monotonic time of a record is the scheduler's clock, which runs with CLOCK_MONOTONIC but for some milliseconds.
        return parse(records(path), since, time.time() - time.monotonic())
    except OSError as error:
        return Reading(SOURCE, gaps=[gap(UNREADABLE, SOURCE, f"{SOURCE} can't be read: {error.strerror}", since)])


def records(path: str) -> Iterator[str]:
    """All that the buffer holds now. EPIPE: it was overwritten while it was read, and reading goes on with what is left. Raises OSError."""
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


def parse(found: Iterable[str], since: float, epoch: float) -> Reading:
    """Records `priority,number,microseconds,flags;text`. epoch: of the monotonic clock, seconds since the epoch."""
    reading = Reading(SOURCE, kernel=True)
    last: int | None = None
    for record in found:
        head, unused, text = record.partition(";")
        fields = head.split(",")
        number, moment = int(fields[1]), epoch + int(fields[2]) / 1e6
        text = text.partition("\n")[0]
        if last is None:
            reading.begins = moment
            if moment > since:
                why = "it has been overwritten up to here" if number else "it begins with the boot"
                reading.gaps.append(
                    gap(BEGINS, SOURCE, f"the kernel's log buffer begins later than what was asked for: {why}", since, moment)
                )
        elif number != last + 1 and moment >= since:
            reading.gaps.append(
                gap(MISSED, SOURCE, "the kernel's log buffer was overwritten while it was read", None, moment, number - last - 1)
            )
        last = number
        message = of_kernel_log(text)
        if message:
            reading.messages.append(message)
        elif moment >= since and (lost := suppressed(text)):
            reading.gaps.append(gap(RATE_LIMITED, SOURCE, f"the kernel's log left out {lost} audit messages", None, moment, lost))
    return reading
