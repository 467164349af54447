# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls bpf(2): creates, reads and pins maps, loads and attaches programs (include/uapi/linux/bpf.h, union bpf_attr)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)
CALL_NUMBERS = {"x86_64": 321, "aarch64": 280}
ANY, IF_NEW = 0, 1  # BPF_ANY, BPF_NOEXIST
HASH, ARRAY, LRU_HASH = 1, 2, 9
_MAP_CREATE, _LOOKUP, _UPDATE, _DELETE, _PROGRAM_LOAD, _PIN, _GET_PINNED = 0, 1, 2, 3, 5, 6, 7
_GET_INFO, _INFO_SIZE = 15, 216
_RAW_TRACEPOINT_OPEN, _LOOKUP_BATCH = 17, 24
_LINK_CREATE, _PERF_EVENT = 28, 41
_KPROBE, _TRACING, _TRACE_RAW_TP = 2, 26, 23  # BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP
AT_RETURN = 25  # BPF_TRACE_FEXIT
_PERF_CLOSE_ON_EXEC = 8
_PERF_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE = "/sys/bus/event_source/devices/kprobe/type"
_BATCH = 4096  # entries
_LOG_SIZE = 1 << 20
_ATTRIBUTES_SIZE = 128


def call_bpf(command: int, layout: str, *values: int) -> tuple[int, bytes]:
    """Call bpf(2). Return its result and what the kernel left of the attributes. Raises OSError."""
    result, error, attributes = _invoke(command, layout, *values)
    if result < 0:
        raise OSError(error, f"bpf(2): {os.strerror(error)}")
    return result, attributes


def _invoke(command: int, layout: str, *values: int) -> tuple[int, int, bytes]:
    """Return result, error number and attributes of bpf(2)."""
    number = CALL_NUMBERS.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) has no known number for {os.uname().machine}")
    # Longer than these attributes: Linux 6.17 also writes query.revision. The rest must be zero.
    buffer = ctypes.create_string_buffer(struct.pack(layout, *values), _ATTRIBUTES_SIZE)
    result = _LIBC.syscall(ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_long(len(buffer)))
    return int(result), ctypes.get_errno(), buffer.raw


def create_map(kind: int, key_size: int, value_size: int, entries: int, name: str) -> int:
    """Create a map, all of its memory included, and return its descriptor. Raises OSError."""
    return call_bpf(_MAP_CREATE, "=IIIIIIIQQ", kind, key_size, value_size, entries, 0, 0, 0, *_encode_name(name))[0]


def load_program(code: bytes, name: str, tracepoint: int, kind: int = _TRACE_RAW_TP) -> int:
    """Load a program and return its descriptor. tracepoint: BTF ID of its `btf_trace_NAME`, 0 for a program at a function. Raises OSError.

    kind: with AT_RETURN, `tracepoint` is the BTF ID of a function, at whose return the program runs.
    The error's message ends with what the kernel's verifier said last.
    """
    instructions, license_text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")

    def load(level: int, size: int, address: int) -> int:
        return call_bpf(
            _PROGRAM_LOAD, "=IIQQIIQIIQQIIIIQIIQII",
            _TRACING if tracepoint else _KPROBE, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(license_text), level, size, address, 0, 0,
            *_encode_name(name), 0, kind if tracepoint else 0, 0, 0, 0, 0, 0, 0, 0, tracepoint,
        )[0]  # fmt: skip

    try:
        return load(0, 0, 0)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES, errno.E2BIG):
            raise
        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return load(1, _LOG_SIZE, ctypes.addressof(log))
        except OSError as again:
            lines = [line for line in log.value.decode("utf-8", "replace").splitlines() if line and not line.startswith("processed ")]
            raise OSError(again.errno, f"{os.strerror(again.errno or 0)}: {'; '.join(lines[-2:]) or 'without a reason'}") from again


def attach_program(program: int) -> int:
    """Attach a program to its tracepoint and return the descriptor of the link. Raises OSError."""
    return call_bpf(_RAW_TRACEPOINT_OPEN, "=QI", 0, program)[0]


def attach_to_function(program: int, function: str) -> int:
    """Attach a program to the start of a function of the kernel and return the descriptor of the link. Raises OSError."""
    with open(_PERF_TYPE, encoding="ascii") as file:
        kind = int(file.read())
    name = ctypes.create_string_buffer(function.encode())
    # struct perf_event_attr, first version with config1 (the name's address); man 2 perf_event_open.
    attributes = ctypes.create_string_buffer(struct.pack("=IIQQQQQIIQQ", kind, 72, 0, 0, 0, 0, 0, 0, 0, ctypes.addressof(name), 0), 72)
    number, nothing = ctypes.c_long(_PERF_OPEN[os.uname().machine]), ctypes.c_long(-1)
    # The event of one processor, as perf requires; the program runs on all of them.
    event = _LIBC.syscall(number, attributes, nothing, ctypes.c_long(0), nothing, ctypes.c_long(_PERF_CLOSE_ON_EXEC))
    if event < 0:
        raise OSError(ctypes.get_errno(), f"perf_event_open(2): {function}: {os.strerror(ctypes.get_errno())}")
    try:
        return call_bpf(_LINK_CREATE, "=IIII", program, event, _PERF_EVENT, 0)[0]
    finally:
        os.close(event)  # the link keeps it


def pin(descriptor: int, path: str) -> None:
    """Make a map, program or link outlive this process, under a path of the BPF file system. Raises OSError."""
    name = ctypes.create_string_buffer(path.encode())
    call_bpf(_PIN, "=QII", ctypes.addressof(name), descriptor, 0)


def open_pinned(path: str) -> int:
    """Return a descriptor of what is pinned under a path. Raises OSError."""
    name = ctypes.create_string_buffer(path.encode())
    return call_bpf(_GET_PINNED, "=QII", ctypes.addressof(name), 0, 0)[0]


def look_up(map_descriptor: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value of a key; None when the map does not contain it. Raises OSError."""
    keys, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value_size)
    try:
        call_bpf(_LOOKUP, "=IIQQQ", map_descriptor, 0, ctypes.addressof(keys), ctypes.addressof(value), 0)
    except FileNotFoundError:
        return None
    return value.raw


def update(map_descriptor: int, key: bytes, value: bytes, value_size: int) -> None:
    """Set the value of a key; zeros are added up to value_size. Raises OSError."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, value_size)
    call_bpf(_UPDATE, "=IIQQQ", map_descriptor, 0, ctypes.addressof(keys), ctypes.addressof(values), ANY)


def delete(map_descriptor: int, key: bytes) -> None:
    """Remove a key from a map; a missing key is not an error. Raises OSError."""
    keys = ctypes.create_string_buffer(key, len(key))
    try:
        call_bpf(_DELETE, "=IIQ", map_descriptor, 0, ctypes.addressof(keys))
    except FileNotFoundError:
        return


def read_program_statistics(descriptor: int) -> tuple[int, int, int]:
    """Return nanoseconds, runs and missed runs of a program (struct bpf_prog_info). The first two count with kernel.bpf_stats_enabled only.

    Raises OSError.
    """
    info = ctypes.create_string_buffer(_INFO_SIZE)
    call_bpf(_GET_INFO, "=IIQ", descriptor, _INFO_SIZE, ctypes.addressof(info))
    nanoseconds, runs, missed = struct.unpack_from("=QQQ", info.raw, 192)
    return nanoseconds, runs, missed


def read_entries(map_descriptor: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of every entry of a hash map; the map is not changed. Raises OSError."""
    keys, values = ctypes.create_string_buffer(key_size * _BATCH), ctypes.create_string_buffer(value_size * _BATCH)
    position, following = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    start, error = 0, 0
    while not error:
        places = (start, *map(ctypes.addressof, (following, keys, values)))
        result, error, answer = _invoke(_LOOKUP_BATCH, "=QQQQIIQQ", *places, _BATCH, map_descriptor, 0, 0)
        error = error if result < 0 else 0
        if error not in (0, errno.ENOENT):  # ENOENT: the last batch, which may contain entries
            raise OSError(error, f"bpf(2): {os.strerror(error)}")
        count = struct.unpack_from("=I", answer, 32)[0]
        found, belonging = keys.raw, values.raw
        for at in range(count):
            yield found[at * key_size : (at + 1) * key_size], belonging[at * value_size : (at + 1) * value_size]
        position.raw = following.raw
        start = ctypes.addressof(position)


def _encode_name(name: str) -> tuple[int, int]:
    """Return the 16 bytes of a name as two integers; the kernel accepts 15 letters, digits, `_` and `.`."""
    first, second = struct.unpack("=QQ", name.encode()[:15].ljust(16, b"\0"))
    return first, second
