# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the devices of a host from /sys/dev and /dev."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from ..host.root import Host

MEMORY = {(1, 1): "mem", (1, 2): "kmem", (1, 4): "port"}


class HostDevice(NamedTuple):
    """A device of the host, and its node below /dev. kind: `b` or `c`."""

    kind: str
    major: int
    minor: int
    name: str
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


def list_host_devices(host: Host) -> tuple[HostDevice, ...]:
    """Return the devices that the kernel has (/sys/dev), and the memory devices."""
    found = {("c", *number): HostDevice("c", *number, name) for number, name in MEMORY.items()}
    for kind, folder in (("b", "/sys/dev/block"), ("c", "/sys/dev/char")):
        with contextlib.suppress(OSError):
            for entry in os.listdir(host.join(folder)):
                with contextlib.suppress(OSError):  # a device may be removed meanwhile
                    device = _read_device(host, kind, f"{folder}/{entry}")
                    found.setdefault(device[:3], device)
    return tuple(sorted(found.values()))


def _read_device(host: Host, kind: str, link: str) -> HostDevice:
    major, minor = map(int, os.path.basename(link).split(":"))
    name = os.path.basename(os.readlink(host.join(link)))
    for _attempt in range(2):
        with contextlib.suppress(OSError):
            node = os.stat(host.join(f"/dev/{name}"))
            if node.st_rdev == os.makedev(major, minor):
                return HostDevice(kind, major, minor, name, node.st_mode & 0o777, node.st_uid, node.st_gid)
        lines = (host.read(f"{link}/uevent") or "").splitlines()
        name = next((line[8:] for line in lines if line.startswith("DEVNAME=")), name)
    return HostDevice(kind, major, minor, name)
