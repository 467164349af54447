# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the recorder's maps, programs and links are pinned."""

from __future__ import annotations

import os

from . import bpf, programs

PINS = "/sys/fs/bpf/bulkhead/recorder"


class RecorderError(Exception):
    """Calls cannot be recorded; the message is one sentence for the user with the cause and what to do."""


def find_folder() -> str:
    """Return the folder of this version's pins. A later version with other maps does not read them."""
    return f"{PINS}/{programs.find_version(os.uname().machine)}"


def open_map(name: str) -> int:
    """Return a descriptor of a pinned map. Raises RecorderError."""
    return _open(name)


def read_missed() -> int:
    """Return how many runs of the programs the kernel left out. Raises RecorderError."""
    missed = 0
    for name in programs.TRACEPOINTS:
        descriptor = _open(f"program_{name}")
        try:
            missed += bpf.read_statistics(descriptor)[2]
        finally:
            os.close(descriptor)
    return missed


def _open(name: str) -> int:
    path = f"{find_folder()}/{name}"
    try:
        return bpf.open_pinned(path)
    except OSError as error:
        raise RecorderError(f"{path}: {error.strerror}; arm the recorder again") from error
