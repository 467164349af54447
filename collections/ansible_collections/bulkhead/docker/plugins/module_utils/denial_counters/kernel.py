# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads and unloads the programs that count denials. They stay in the kernel under pins, without a process of their own."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..host.cgroup import find_container_group
from ..host.root import Host
from ..recorder import bpf
from ..recorder import layout as recorder_layout
from ..recorder.attribution import list_groups
from ..recorder.btf import VMLINUX, Btf, BtfError
from ..recorder.obstacles import find_obstacle
from . import layout, programs, selftest
from .pins import PINS, CountersError, is_complete

_NO_TRAMPOLINE = 524  # ENOTSUPP: this kernel cannot attach programs to the return of functions (arm64 before Linux 6.4)


def find_counting_obstacle(host: Host) -> str:
    """Return why this host cannot count denials, and what to do; empty if it can. Nothing is changed."""
    obstacle = find_obstacle(host)
    return obstacle and f"denials cannot be counted: {obstacle}"


def name_folder() -> str:
    """Return the folder of this version's pins."""
    return f"{PINS}/{layout.VERSION}-{programs.find_version(os.uname().machine)}"


def is_counting() -> bool:
    """Return whether the programs of this version are attached."""
    return is_complete(name_folder())


def load_counters() -> None:
    """Load, attach, pin and test the programs; those of the same version stay as they are, others are removed. Raises CountersError."""
    if obstacle := find_counting_obstacle(Host()):
        raise CountersError(obstacle)
    if is_counting():
        return
    unload_counters()
    release = os.uname().release
    try:
        btf = Btf(Path(VMLINUX).read_bytes())
        offsets = layout.find_offsets(btf, os.uname().machine)
        at_function = recorder_layout.find_functions(btf).get("sys_exit", "")
    except (OSError, BtfError) as error:
        raise CountersError(f"{VMLINUX}: {error}; denials cannot be counted with kernel {release}") from error
    try:
        _load(offsets, at_function)
        fault = selftest.find_fault()
    except OSError as error:
        _remove_pins()
        raise CountersError(_explain(error)) from error
    if fault:
        _remove_pins()
        raise CountersError(f"the counters were loaded, but their test failed: {fault}; report this with the kernel's release {release}")


def unload_counters() -> None:
    """Remove every pin; without them the kernel detaches the programs and frees the maps. Raises CountersError."""
    try:
        _remove_pins()
    except OSError as error:
        raise CountersError(f"{PINS}: {error.strerror}; remove this folder as root") from error


def _remove_pins() -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(PINS)
    with suppress(OSError):  # does not exist, or has other pins
        os.rmdir(os.path.dirname(PINS))


def _load(offsets: layout.DenialOffsets, at_function: str) -> None:
    """Create, load, attach and pin everything. Raises OSError.

    sys_exit is the last: before it, no denial is counted without its cause. at_function: the function to which its program is attached
    instead of the tracepoint.
    """
    folder = name_folder()
    os.makedirs(folder, mode=0o700)
    opened: list[int] = []

    def keep(descriptor: int, name: str) -> int:
        opened.append(descriptor)
        bpf.pin(descriptor, f"{folder}/{name}")
        return descriptor

    def load(name: str, identifier: int, *kind: int) -> int:
        code = programs.build_counter(name, offsets, os.uname().machine).assemble(maps)
        program = bpf.load_program(code, name.strip("_"), identifier, *kind)
        return keep(program, f"program_{name}")

    try:
        maps = {}
        for name, data in layout.list_maps().items():
            maps[name] = keep(bpf.create_map(data.kind, data.key_size, data.value_size, data.entries, f"denials_{name}"), name)
        tracepoints = dict(offsets.tracepoints)
        for name in ("cgroup_mkdir", "cgroup_rmdir"):
            keep(bpf.attach_program(load(name, tracepoints[name])), f"link_{name}")
        _add_containers(maps)
        for name, identifier in offsets.functions:
            keep(bpf.attach_program(load(name, identifier, bpf.AT_RETURN)), f"link_{name}")
        if at_function:
            program = load("sys_exit", 0)
            empty = bpf.load_program(programs.build_empty().assemble({}), "exit_switch", tracepoints["sys_exit"])
            opened.append(empty)
            keep(bpf.attach_program(empty), "switch_sys_exit")
            keep(bpf.attach_to_function(program, at_function), "link_sys_exit")
        else:
            keep(bpf.attach_program(load("sys_exit", tracepoints["sys_exit"])), "link_sys_exit")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _add_containers(maps: dict[str, int], list_all: Callable[[Host], dict[int, str]] = list_groups) -> None:
    """Add the control groups of the containers that run already. Raises OSError."""
    host = Host()
    roots: dict[str, int] = {}
    for identifier, path in sorted(list_all(host).items(), key=lambda item: item[1].count("/")):
        if not find_container_group(f"0::{path}"):
            continue
        above = next((roots[root] for root in roots if path.startswith(f"{root}/")), None)
        if above is None:
            roots[path] = above = identifier
            bpf.update(
                maps["names"],
                struct.pack("=Q", identifier),
                path.encode("utf-8", "surrogateescape")[: layout.NAME_SIZE - 1],
                layout.NAME_SIZE,
            )
        bpf.update(maps["containers"], struct.pack("=Q", identifier), struct.pack("=Q", above), 8)


def _explain(error: OSError) -> str:
    release = os.uname().release
    if error.errno in (errno.EPERM, errno.ENOSYS):
        return (
            f"the kernel does not let this process load BPF programs ({error.strerror}); run as root on the host itself, not in a container"
        )
    if error.errno == _NO_TRAMPOLINE:
        return f"kernel {release} cannot attach programs to the return of its functions; use Linux 6.4 or later on {os.uname().machine}"
    reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"kernel {release} does not accept the programs that count denials: {reason}; report this with the kernel's release"
