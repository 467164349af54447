# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the denials that the kernel counted."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..host.cgroup import CGROUPFS, find_container_group
from ..recorder import bpf
from ..recorder.layout import ABIS, UNKNOWN_NUMBER
from . import layout
from .pins import PINS, find_counter_pins

_KEY, _VALUE = struct.Struct("=QII"), struct.Struct("=QQQ")
_ERRNO, _IN_NAMESPACE, _IS_ROOT, _IGNORED_SHIFT = 0xFFF, 1 << 12, 1 << 13, 14


@dataclass(frozen=True)
class CountedDenial:
    """Equal denied calls of a container, or equal programs whose rights the kernel ignored.

    container: its ID; empty if the kernel does not remember the name of its control group. number: -1 for numbers that no kernel has.
    cause: one of layout.CAUSES. capability: number of the missing one, or None. is_root: whether the task was user 0 of its user namespace.
    in_namespace: whether that is another one than the host's. first, last: seconds since the epoch.
    comm: name of a process whose last denial this is; empty if none is known. The process may have chosen it.
    ignored: one of layout.IGNORED; the call itself was not denied then, and errno is 0.
    """

    cgroup: int
    container: str
    path: str
    abi: str
    number: int
    errno: int
    cause: str
    capability: int | None
    is_root: bool
    in_namespace: bool
    count: int
    first: float
    last: float
    comm: str = ""
    ignored: str = ""


@dataclass
class DenialCounts:
    """lost: what the kernel could not count, by map. missed: runs of a program that did not happen, by its name. Both empty if nothing is missing."""

    denials: list[CountedDenial]
    lost: dict[str, int]
    missed: dict[str, int]


def read_counts() -> DenialCounts:
    """Return the counts since the programs were loaded; they stay in the kernel. Raises OSError, also if none is loaded."""
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    with _open("names") as names, _open("denials") as denials, _open("lost") as lost:
        paths = _read_paths(names)
        recent = {key: comm for comm, key in _read_recent()}
        found = [
            decode_denial(key, value, paths, offset, recent.get(key, ""))
            for key, value in bpf.read_entries(denials, _KEY.size, _VALUE.size)
        ]
        losses = [bpf.look_up(lost, struct.pack("=I", index), 8) or bytes(8) for index in range(len(layout.LOST))]
    counted = {name: int(struct.unpack("=Q", value)[0]) for name, value in zip(layout.LOST, losses, strict=True)}
    missed = {name: misses for name, (_nanoseconds, _runs, misses) in read_statistics().items() if misses}
    return DenialCounts(found, {name: count for name, count in counted.items() if count}, missed)


def read_statistics() -> dict[str, tuple[int, int, int]]:
    """Return nanoseconds, runs and missed runs by program. Raises OSError."""
    found = {}
    for name in sorted(os.listdir(_find_folder())):
        if name.startswith("program_"):
            with _open(name) as descriptor:
                found[name.removeprefix("program_")] = bpf.read_program_statistics(descriptor)
    return found


def _read_recent() -> list[tuple[str, bytes]]:
    """Return name of the process and key of map `denials` for the last denial of each container and name of a process. Raises OSError."""
    with _open("recent") as descriptor:
        entries = list(bpf.read_entries(descriptor, 8 + layout.COMM_SIZE, 8))
    return [(key[8:].split(b"\0", 1)[0].decode("utf-8", "surrogateescape"), key[:8] + value) for key, value in entries]


def read_last_denials() -> dict[tuple[str, str], CountedDenial]:
    """Return the last denial by container and name of the process; the kernel has 4,096 of them. Raises OSError."""
    with _open("names") as names, _open("denials") as denials:
        paths = _read_paths(names)
        values = dict(bpf.read_entries(denials, _KEY.size, _VALUE.size))
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = [decode_denial(key, values[key], paths, offset, comm) for comm, key in _read_recent() if key in values]
    return {(denial.container, denial.comm): denial for denial in found if denial.container}


def _read_paths(names: int) -> dict[int, str]:
    return {
        struct.unpack("=Q", key)[0]: value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        for key, value in bpf.read_entries(names, 8, layout.NAME_SIZE)
    }


def decode_denial(key: bytes, value: bytes, paths: dict[int, str], offset: float, comm: str = "") -> CountedDenial:
    """Return an entry of map `denials`. paths: of control groups. offset: the time of the boot, in seconds since the epoch."""
    cgroup, call, reason = _KEY.unpack(key)
    count, first, last = _VALUE.unpack(value)
    path, number, capability = paths.get(cgroup, ""), call & UNKNOWN_NUMBER, reason >> 24 & layout.NO_CAPABILITY
    group = find_container_group(f"0::{path}")
    return CountedDenial(
        cgroup=cgroup,
        container=group[0] if group else "",
        path=path,
        abi=ABIS[call >> 24],
        number=-1 if number == UNKNOWN_NUMBER else number,
        errno=reason & _ERRNO,
        cause=layout.CAUSES[reason >> 16 & 0xFF],
        capability=None if capability == layout.NO_CAPABILITY else capability,
        is_root=bool(reason & _IS_ROOT),
        in_namespace=bool(reason & _IN_NAMESPACE),
        count=count,
        first=offset + first / 1e9,
        last=offset + last / 1e9,
        comm=comm,
        ignored=layout.IGNORED[reason >> _IGNORED_SHIFT & 3],
    )


def forget_group(folder: str) -> None:
    """Remove the counts of a control group. Raises OSError."""
    identifier = os.stat(f"{CGROUPFS}{folder}").st_ino
    with _open("denials") as descriptor, _open("names") as names:
        for key in [key for key, _value in bpf.read_entries(descriptor, _KEY.size, _VALUE.size) if _KEY.unpack(key)[0] == identifier]:
            bpf.delete(descriptor, key)
        bpf.delete(names, struct.pack("=Q", identifier))


def _find_folder() -> str:
    folder = find_counter_pins()
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "nothing that this version can read is loaded", PINS)
    return folder


@contextmanager
def _open(name: str) -> Iterator[int]:
    descriptor = bpf.open_pinned(f"{_find_folder()}/{name}")
    try:
        yield descriptor
    finally:
        os.close(descriptor)
