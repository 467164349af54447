# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the recorder counted."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..host.cgroup import CGROUPFS
from . import bpf, layout
from .pins import open_map, without_preemption

_KEY = struct.Struct("=QII")  # cgroup; call; argument or errno
_TASK = struct.Struct("=IIQ")  # entered, unused, cgroup


@dataclass(frozen=True)
class Call:
    """A system call that a cgroup made.

    number: -1 for numbers that no kernel has. argument: of socket (family), clone (namespace flags) and personality; None for another
    call, and for a value that no profile names.
    """

    cgroup: int
    abi: str
    number: int
    argument: int | None
    count: int


@dataclass(frozen=True)
class DeniedCall:
    """A system call that seccomp denied with an error number."""

    cgroup: int
    abi: str
    number: int
    errno: int
    count: int


@dataclass
class CallCounts:
    """What was counted since arming.

    cgroups: ID -> path below the cgroup root, of the last 4,096 that were made since arming, removed ones included.
    lost: what the kernel could not count, by map; `missed`: how many calls had an exit with a positive result, but no entry (part of those
    that no program saw). Empty if nothing was lost.
    """

    calls: list[Call]
    denied: list[DeniedCall]
    cgroups: dict[int, str]
    lost: dict[str, int]


def read_counts() -> CallCounts:
    """Return all counts; they stay in the kernel. Raises RecorderError if the recorder is not armed, OSError if a map cannot be read."""
    lost = {name: struct.unpack("=Q", value)[0] for name, value in zip(layout.LOST, _read_lost(), strict=True)}
    return CallCounts(
        calls=[decode_call(key, value) for key, value in _read_map("calls")],
        denied=[decode_denied(key, value) for key, value in _read_map("denied")],
        cgroups={struct.unpack("=Q", key)[0]: decode_name(value) for key, value in _read_map("names")},
        lost={name: count for name, count in lost.items() if count},
    )


def forget_cgroups(cgroups: Collection[int]) -> None:
    """Remove the counts of cgroups that do not exist any more, so that others have room; save them before. Raises RecorderError or OSError."""
    for name in ("calls", "denied"):
        _delete_keys(name, [key for key, _value in _read_map(name) if _KEY.unpack(key)[0] in cgroups])
    _delete_keys("names", (struct.pack("=Q", identifier) for identifier in cgroups))


def forget_numbers(numbers: Collection[int]) -> None:
    """Remove the counts of calls with these numbers. Raises RecorderError or OSError."""
    for name in ("calls", "denied"):
        _delete_keys(name, [key for key, _value in _read_map(name) if _decode_number(_KEY.unpack(key)[1])[1] in numbers])


def find_cgroup_of(pid: int) -> int | None:
    """Return the cgroup ID of a process of a container by its PID, also after its end; None if unknown. Raises RecorderError.

    A process without a seccomp filter is only known until its end.
    """
    descriptor = open_map("tasks")
    try:
        with without_preemption():
            value = bpf.look_up(descriptor, struct.pack("=I", pid), _TASK.size)
    finally:
        os.close(descriptor)
    if value is not None:
        return int(_TASK.unpack(value)[2])
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            path = next(line.rstrip("\n")[3:] for line in file if line.startswith("0::"))
        return os.stat(f"{CGROUPFS}{path}").st_ino  # the ID of a cgroup is its inode number (kernfs_node.id)
    except (OSError, StopIteration):
        return None


def decode_call(key: bytes, value: bytes) -> Call:
    """Return an entry of map `calls`."""
    cgroup, call, argument = _KEY.unpack(key)
    abi, number = _decode_number(call)
    return Call(cgroup, abi, number, argument if call & layout.HAS_ARGUMENT else None, struct.unpack("=Q", value)[0])


def decode_denied(key: bytes, value: bytes) -> DeniedCall:
    """Return an entry of map `denied`."""
    cgroup, call, error = _KEY.unpack(key)
    return DeniedCall(cgroup, *_decode_number(call), error, struct.unpack("=Q", value)[0])


def decode_name(value: bytes) -> str:
    """Return the path in a value of map `names`."""
    return value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _decode_number(call: int) -> tuple[str, int]:
    number = call & layout.UNKNOWN_NUMBER
    return layout.ABIS[call >> 24 & 0x7F], -1 if number == layout.UNKNOWN_NUMBER else number


def _read_map(name: str) -> list[tuple[bytes, bytes]]:
    descriptor, data = open_map(name), layout.list_maps()[name]
    try:
        with without_preemption():
            return list(bpf.read_entries(descriptor, data.key_size, data.value_size))
    finally:
        os.close(descriptor)


def _read_lost() -> list[bytes]:
    descriptor = open_map("lost")
    try:
        with without_preemption():
            return [bpf.look_up(descriptor, struct.pack("=I", index), 8) or bytes(8) for index in range(len(layout.LOST))]
    finally:
        os.close(descriptor)


def _delete_keys(name: str, keys: Iterable[bytes]) -> None:
    descriptor = open_map(name)
    try:
        with without_preemption():
            for key in keys:
                bpf.delete(descriptor, key)
    finally:
        os.close(descriptor)
