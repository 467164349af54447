# SPDX-License-Identifier: GPL-3.0-or-later
"""Arms and disarms the recorder of calls: eBPF programs that stay in the kernel under pins, without a process of their own."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..host.root import Host
from . import bpf, layout, programs, selftest
from .btf import VMLINUX, Btf, BtfError
from .obstacles import find_obstacle
from .pins import PINS, RecorderError, find_folder, list_pins


def is_armed() -> bool:
    """Return whether every program of this version is attached and every map is pinned."""
    folder = find_folder()
    functions = layout.FUNCTIONS if any(os.path.exists(f"{folder}/second_{name}") for name in layout.FUNCTIONS) else ()
    return all(os.path.exists(f"{folder}/{name}") for name in list_pins(functions))


def arm(calls: int = layout.CALL_ENTRIES) -> None:
    """Load, attach, pin and test the recorder; pins of the same version stay as they are, others are removed. Raises RecorderError.

    calls: number of different calls of all containers that fit into the kernel's map.
    """
    obstacle = find_obstacle(Host())
    if obstacle:
        raise RecorderError(obstacle)
    if is_armed():
        return
    disarm()
    try:
        btf = Btf(Path(VMLINUX).read_bytes())
        offsets, functions = layout.find_offsets(btf, os.uname().machine), layout.find_functions(btf)
    except (OSError, BtfError) as error:
        raise RecorderError(f"{VMLINUX}: {error}; calls cannot be recorded with kernel {os.uname().release}") from error
    try:
        _load(offsets, functions, calls)
        fault = selftest.find_fault()
    except OSError as error:
        _remove_pins()
        raise RecorderError(_explain(error)) from error
    except RecorderError:
        _remove_pins()
        raise
    if fault:
        _remove_pins()
        raise RecorderError(
            f"the recorder was loaded, but its test failed: {fault}; report this with the kernel's release {os.uname().release}"
        )


def disarm() -> None:
    """Remove every pin; without them the kernel detaches the programs and frees the maps. Raises RecorderError."""
    try:
        _remove_pins()
    except OSError as error:
        raise RecorderError(f"{PINS}: {error.strerror}; remove this folder as root") from error


def _remove_pins() -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(PINS)
    with suppress(OSError):  # does not exist, or has other pins
        os.rmdir(os.path.dirname(PINS))


def _load(offsets: layout.CallOffsets, functions: Mapping[str, str], calls: int) -> None:
    """Create, load, attach and pin everything. Raises OSError.

    sys_enter is attached before sys_exit: an exit whose entry was not seen is taken for a denied call.
    """
    folder, machine = find_folder(), os.uname().machine
    os.makedirs(folder, mode=0o700)
    opened: list[int] = []

    def keep(descriptor: int, name: str) -> int:
        opened.append(descriptor)
        bpf.pin(descriptor, f"{folder}/{name}")
        return descriptor

    try:
        maps = {}
        for name, data in layout.list_maps(calls).items():
            maps[name] = keep(bpf.create_map(data.kind, data.key_size, data.value_size, data.entries, f"bulkhead_{name}"), name)
        for name, tracepoint in offsets.tracepoints:
            code = programs.build_program(name, offsets, machine).assemble(maps)
            program = keep(bpf.load_program(code, name, 0 if name in functions else tracepoint), f"program_{name}")
            if name in functions:
                code = programs.build_program(name, offsets, machine, second=True).assemble(maps)
                second = bpf.load_program(code, f"{name}_2", tracepoint)
                opened.append(second)
                keep(bpf.attach_to_function(program, functions[name]), f"link_{name}")
                keep(bpf.attach_program(second), f"second_{name}")
            else:
                keep(bpf.attach_program(program), f"link_{name}")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _explain(error: OSError) -> str:
    reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if error.errno in (errno.EPERM, errno.ENOSYS):
        return f"the kernel does not let this process load BPF programs ({reason}); run as root on the host itself, not in a container"
    return f"kernel {os.uname().release} does not accept the recorder's programs: {reason}; report this with the kernel's release"
