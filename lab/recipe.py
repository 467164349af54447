# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an image. Its key is a hash of all that goes into it, so a change makes a new image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from lab import paths
from lab.errors import LabError

SUITES = ("trixie", "bookworm", "forky")
DEFAULT_SUITE = "trixie"

PACKAGES = (
    # the machine
    "linux-image-cloud-amd64",
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "dbus-user-session",
    "iproute2",
    "iptables",
    "kmod",
    "procps",
    "openssh-server",
    "sudo",
    "ca-certificates",
    # what Ansible needs there
    "python3",
    "python3-apt",
    # the engine and what its layers need
    "docker.io",
    "containerd",
    "runc",
    "apparmor",
    "apparmor-utils",
    "libseccomp2",
    "uidmap",
    "slirp4netns",
    "fuse-overlayfs",
    "rootlesskit",
    # programs for the images that the tests put together on the host
    "nginx",
    "redis-server",
    "nodejs",
)

# docker.io carries the client itself in bookworm.
EXTRA_PACKAGES = {
    "trixie": ("docker-cli",),
    "forky": ("docker-cli",),
}

# A testing suite's Release file may be past its date on a mirror; the signature is still checked.
APT_OPTIONS = {
    "forky": ('Acquire::Check-Valid-Until "false"',),
}

# What no test reads: a third of the files, and of the time to write them.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of a disk image built from Debian packages."""

    suite: str
    packages: tuple[str, ...]
    apt_options: tuple[str, ...]
    dpkg_options: tuple[str, ...]
    essential_script: str
    configure_script: str
    disk_size: str
    # These make no disk, but the machine that is booted from it.
    kernel_arguments: str
    settle_script: str

    def key(self) -> str:
        """Return the suite and a hash of what makes the disk."""
        disk = asdict(self)
        del disk["kernel_arguments"], disk["settle_script"]
        return f"{self.suite}-{_digest(disk)}"

    def boot_key(self) -> str:
        """Return a hash of what makes the booted machine, besides the disk."""
        return _digest([self.kernel_arguments, self.settle_script])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def for_suite(suite: str) -> Recipe:
    """Return the recipe of one Debian suite."""
    if suite not in SUITES:
        raise LabError(f"no recipe for suite {suite!r}: choose one of {', '.join(SUITES)}")
    read = {
        name: (paths.GUEST_FILES / f"{name}.sh").read_text(encoding="utf-8")
        for name in ("essential", "configure", "settle")
    }
    return Recipe(
        suite=suite,
        packages=PACKAGES + EXTRA_PACKAGES.get(suite, ()),
        apt_options=APT_OPTIONS.get(suite, ()),
        dpkg_options=DPKG_OPTIONS,
        essential_script=read["essential"],
        configure_script=read["configure"],
        disk_size="8G",
        kernel_arguments="root=/dev/vda rw console=ttyS0 net.ifnames=0 TERM=dumb",
        settle_script=read["settle"],
    )
