# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a virtual machine and the qemu command line that gives it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.architecture import AMD64, Architecture, detect_host
from lab.errors import LabError

SNAPSHOT = "ready"


@dataclass(frozen=True)
class Shape:
    """What a snapshot of a running machine depends on, besides its disk.

    processor: a hash of the host's processor (KVM), or the emulated model if it is not qemu's default.
    """

    accelerator: str
    qemu_version: str
    memory_mib: int
    cpus: int
    processor: str = ""
    architecture: Architecture = AMD64

    def key(self) -> str:
        """Return a folder name that differs where a snapshot cannot be loaded."""
        text = f"{self.accelerator}-qemu{self.qemu_version}-{self.memory_mib}m-{self.cpus}c"
        return text + (f"-{self.processor}" if self.processor else "")


def choose_accelerator(
    cpuinfo: str, kvm_usable: bool, override: str | None = None, *, guest: Architecture = AMD64, host: Architecture = AMD64
) -> str:
    """Return ``kvm`` or ``tcg``.

    A nested machine may offer a /dev/kvm that opens and creates a machine, and then fails
    inside the boot loader. So KVM is used on an x86 processor only if it has the flag vmx or svm.
    """
    if override:
        if override not in ("kvm", "tcg"):
            raise LabError(f"BULKHEAD_ACCEL={override!r}: write kvm or tcg, or leave it unset")
        if override == "kvm" and guest != host:
            raise LabError(f"BULKHEAD_ACCEL='kvm': a machine of {guest.name} needs emulation on {host.name}; write tcg, or leave it unset")
        return override
    if guest != host or not kvm_usable:
        return "tcg"
    # An arm64 kernel has /dev/kvm only if it was started in the mode for hypervisors, and lists no flag for it.
    is_reliable = host != AMD64 or re.search(r"^flags\s*:.*\b(?:vmx|svm)\b", cpuinfo, re.MULTILINE)
    return "kvm" if is_reliable else "tcg"


def parse_version(text: str) -> str:
    """Return the version number out of ``qemu-system-… --version``."""
    match = re.search(r"version (\d+(?:\.\d+)+)", text)
    if not match:
        raise LabError(f"qemu's --version says nothing that looks like a version: {text[:100]!r}")
    return match.group(1)


def parse_ssh_port(usernet: str) -> int:
    """Return the host's port out of what qemu's monitor says to ``info usernet``."""
    match = re.search(r"TCP\[HOST_FORWARD\]\s+\S+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+22\b", usernet)
    if not match:
        raise LabError(f"qemu forwards no port to the guest's ssh; its network says:\n{usernet}")
    return int(match.group(1))


def default_cpus(accelerator: str) -> int:
    """Return the number of processors of a machine for which none is given.

    An emulated machine has one: keeping a second one in step costs more than it gains (trixie: processor time of
    a ping 2.1 s instead of 3.5 s, of an engine's restart 7.6 s instead of 12.6 s), and machines run side by side anyway.
    """
    return 2 if accelerator == "kvm" else 1


def detect_shape(memory_mib: int, cpus: int | None, architecture: Architecture | None = None) -> Shape:
    """Return the shape of machines on this control node, by default of its own architecture."""
    host = detect_host()
    guest = architecture or host
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    kvm_usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    accelerator = choose_accelerator(cpuinfo, kvm_usable, os.environ.get("BULKHEAD_ACCEL"), guest=guest, host=host)
    try:
        version = subprocess.run([guest.program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{guest.program} does not run ({error}); `python3 -m lab doctor` says what to install") from error
    processor = guest.emulated_cpu
    if accelerator == "kvm":
        # With -cpu host the snapshot holds this processor's features.
        flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
        processor = hashlib.sha256((flags.group(1) if flags else "").encode()).hexdigest()[:8]
    return Shape(accelerator, parse_version(version.stdout), memory_mib, cpus or default_cpus(accelerator), processor, guest)


def build_command(
    shape: Shape,
    *,
    name: str,
    disk: str,
    boot: Sequence[str],
    load_snapshot: bool = False,
    snapshot: str = SNAPSHOT,
    drive: str | None = None,
) -> list[str]:
    """Return the command line of one machine, to be run in the machine's folder.

    drive: options of -drive that say where the disk is and how it is cached; by default the file ``disk`` with cache=unsafe.

    File names are relative to that folder: a unix socket's path may have no more than 107 bytes.
    The kernel picks the forwarded port (port 0), so two labs cannot meet on one.
    """
    # qemu discards all translated code when its buffer is full, and has no use for more than 2 GiB. runc copies itself for each
    # container, so that its code is translated anew: 13 MiB per `docker run`.
    emulated = ["-accel", "tcg,thread=multi,tb-size=2048", *(["-cpu", shape.processor] if shape.processor else [])]
    processors = {"kvm": ["-accel", "kvm", "-cpu", "host"], "tcg": emulated}
    drive = drive or f"file={disk},cache=unsafe,discard=unmap,detect-zeroes=unmap"
    # fmt: off
    return [
        shape.architecture.program, *shape.architecture.machine_options,
        "-name", f"bulkhead-{name}",
        "-no-user-config", "-nodefaults", "-display", "none", "-vga", "none",
        *processors[shape.accelerator],
        "-m", str(shape.memory_mib), "-smp", str(shape.cpus),
        "-rtc", "base=utc,clock=host",
        "-drive", f"if=virtio,format=qcow2,{drive}",
        "-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", "virtio-net-pci,netdev=net0,romfile=",
        "-device", "virtio-rng-pci",
        *shape.architecture.devices,
        "-serial", "file:serial.log",
        "-qmp", "unix:qmp.sock,server=on,wait=off",
        *boot,
        *(["-loadvm", snapshot] if load_snapshot else []),
    ]
    # fmt: on
