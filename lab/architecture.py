# SPDX-License-Identifier: GPL-3.0-or-later
"""The architectures of machines: what differs between them in packages, kernel arguments and qemu's options."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from lab.errors import LabError


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    name: as Debian names it. machine: as `uname -m` names it. emulated_cpu: qemu's model without KVM; empty for qemu's default.
    emulation_arguments: of the kernel, besides those of every architecture.
    """

    name: str
    machine: str
    program: str
    kernel_package: str
    console: str
    machine_options: tuple[str, ...] = ()
    emulated_cpu: str = ""
    devices: tuple[str, ...] = ()
    emulation_arguments: tuple[str, ...] = ()


AMD64 = Architecture(
    name="amd64",
    machine="x86_64",
    program="qemu-system-x86_64",
    kernel_package="linux-image-cloud-amd64",
    console="ttyS0",
    # Tells the guest's kernel after loadvm that its random numbers are no longer its own.
    devices=("-device", "vmgenid,guid=auto"),
)
ARM64 = Architecture(
    name="arm64",
    machine="aarch64",
    program="qemu-system-aarch64",
    kernel_package="linux-image-cloud-arm64",
    console="ttyAMA0",
    machine_options=("-M", "virt,gic-version=max"),
    # A server's processor without pointer authentication and SVE, whose emulation costs time. It runs 32-bit programs as well.
    emulated_cpu="neoverse-n1",
    # With KASLR the kernel keeps its page tables apart from those of programs, also with mitigations=off
    # (arch/arm64/kernel/cpufeature.c, unmap_kernel_at_el0).
    emulation_arguments=("nokaslr",),
)
ALL = {architecture.name: architecture for architecture in (AMD64, ARM64)}


def find_by_machine(machine: str) -> Architecture:
    """Return the architecture that `uname -m` names."""
    for architecture in ALL.values():
        if architecture.machine == machine:
            return architecture
    raise LabError(f"no machines for {machine!r}: the lab runs on {', '.join(known.machine for known in ALL.values())}")


def detect_host() -> Architecture:
    """Return the architecture of this control node."""
    return find_by_machine(platform.machine())
