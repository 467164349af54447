# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the kernel lets a control group do with devices: the list of cgroup v1, or the eBPF programs of cgroup v2."""

from __future__ import annotations

import base64
import ctypes
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..host.cgroup import CGROUPFS
from ..host.root import Host
from ..recorder.bpf import call_bpf

# devices.list as text, or the effective programs; without a program everything is allowed.
Policy = Union[str, tuple[bytes, ...]]  # noqa: UP007 (evaluated at run time)

_GET_FD_BY_ID, _GET_INFO, _QUERY, _CGROUP_DEVICE, _EFFECTIVE = 13, 15, 16, 6, 1  # include/uapi/linux/bpf.h
_MAX_PROGRAMS, _MAX_BYTES = 1024, 1 << 16


@dataclass(frozen=True)
class DeviceRules:
    """What a control group may do with devices.

    source: a command or file with which a reader can repeat it. error: why it is not known.
    """

    source: str
    policy: Policy | None = None
    error: str = ""


def encode_rules(rules: DeviceRules) -> dict[str, Any]:
    """Return rules as JSON data: programs in base64."""
    policy = [base64.b64encode(program).decode() for program in rules.policy] if isinstance(rules.policy, tuple) else rules.policy
    return {"source": rules.source, "policy": policy, "error": rules.error}


def decode_rules(data: Mapping[str, Any]) -> DeviceRules:
    """Return the rules of such data. Raises ValueError."""
    policy = data["policy"]
    programs = tuple(base64.b64decode(program, validate=True) for program in policy) if isinstance(policy, list) else policy
    return DeviceRules(data["source"], programs, data["error"])


def find_devices_folder(cgroup_file: str) -> str | None:
    """Return the folder for `read_device_rules`, from the text of /proc/PID/cgroup (man 7 cgroups): v2 `0::/x`, v1 `5:devices:/x`."""
    paths = {controllers: path for _id, controllers, path in (line.split(":", 2) for line in cgroup_file.splitlines())}
    if "devices" in paths:
        return f"{CGROUPFS}/devices{paths['devices']}"
    return CGROUPFS + paths[""] if "" in paths else None


def read_device_rules(host: Host, cgroup_folder: str) -> DeviceRules:
    """Return what the kernel lets a control group (v2, or v1's of `devices`) do with devices. Programs need root; `error` has the reason."""
    source = f"{cgroup_folder}/devices.list"
    try:
        text = host.read(source)
        if text is not None:
            return DeviceRules(source, text)
        source = f"bpftool cgroup show {cgroup_folder} effective"
        programs = _read_programs(host, cgroup_folder)
        return DeviceRules(source, programs)
    except OSError as error:
        return DeviceRules(source, error=f"{source}: {error}")


def _read_programs(host: Host, folder: str) -> tuple[bytes, ...]:
    """Return the effective device programs of a control group. Raises OSError."""
    descriptor = os.open(host.path(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for again in (True, True, False):
            found = (ctypes.c_uint32 * _MAX_PROGRAMS)()
            answer = call_bpf(_QUERY, "IIIIQI", descriptor, _CGROUP_DEVICE, _EFFECTIVE, 0, ctypes.addressof(found), len(found))[1]
            try:
                return tuple(_read_program(identifier) for identifier in found[: struct.unpack_from("I", answer, 24)[0]])
            except FileNotFoundError:
                if not again:  # systemd and runtimes replace programs
                    raise
    finally:
        os.close(descriptor)
    raise AssertionError


def _read_program(identifier: int) -> bytes:
    """Return the instructions of a program as the verifier left them. Raises OSError."""
    descriptor = call_bpf(_GET_FD_BY_ID, "I", identifier)[0]
    try:
        code = ctypes.create_string_buffer(_MAX_BYTES)
        # struct bpf_prog_info: lengths and addresses of the code for the CPU and of the instructions
        info = ctypes.create_string_buffer(struct.pack("16xIIQQ", 0, _MAX_BYTES, 0, ctypes.addressof(code)), 40)
        call_bpf(_GET_INFO, "IIQ", descriptor, len(info), ctypes.addressof(info))
    finally:
        os.close(descriptor)
    size, address = struct.unpack_from("=I8xQ", info, 20)
    if not size or not address or size > _MAX_BYTES:  # kernel/bpf/syscall.c, bpf_prog_get_info_by_fd
        raise OSError(
            1, "the kernel does not show the program (its length, capabilities, or kernel.kptr_restrict with net.core.bpf_jit_harden)"
        )
    return bytes(memoryview(code)[:size])
