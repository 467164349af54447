# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an image built from Debian packages.

Its key is a hash of all that goes into it, so a change makes a new image.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from lab import paths
from lab.architecture import AMD64, Architecture, detect_host
from lab.errors import LabError

SUITES = ("trixie", "bookworm", "forky")
DEFAULT_SUITE = "trixie"

# Besides the kernel.
PACKAGES = (
    # the machine
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
)

# docker.io carries the client itself in bookworm. The services that the scenarios try come from trixie,
# and so does what a host needs for compose, for pasta, to pull its own configuration, and for rules of audit and of egress.
EXTRA_PACKAGES = {
    "trixie": (
        *("docker-cli", "nginx", "redis-server", "nodejs"),
        *("docker-compose", "passt", "ansible-core", "git", "gpg", "gpg-agent", "openssh-client", "auditd", "nftables"),
    ),
    "forky": ("docker-cli", "passwd"),  # useradd is no longer part of every system there
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


# Without KVM: mitigations cost much and protect nothing, and on a busy host a service
# that starts in a second elsewhere may take minutes. qemu 7.2 translates code anew at each new address, so
# without norandmaps it does so for every process: that doubles the time of an ssh connection or a `docker run`.
EMULATION_ARGUMENTS = ("mitigations=off", "norandmaps", "init_on_alloc=0", "systemd.default_timeout_start_sec=900")

# These make no disk, but the machine that is booted from it.
BOOT_FIELDS = ("kernel_arguments", "emulation_arguments", "settle_script")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of a disk and of the machine booted from it."""

    suite: str
    architecture: Architecture
    packages: tuple[str, ...]
    apt_options: tuple[str, ...]
    dpkg_options: tuple[str, ...]
    essential_script: str
    configure_script: str
    quiet_script: str
    disk_size: str
    kernel_arguments: str
    emulation_arguments: str
    settle_script: str

    @property
    def label(self) -> str:
        """The suite, after the architecture if that is not amd64. No label begins with another one, because images are pruned by label."""
        return self.suite if self.architecture == AMD64 else f"{self.architecture.name}-{self.suite}"

    def key(self) -> str:
        """Return the label and a hash of what makes the disk."""
        disk = asdict(self)
        for name in (*BOOT_FIELDS, "architecture"):
            del disk[name]
        return f"{self.label}-{compute_digest(disk)}"

    def boot_key(self) -> str:
        """Return a hash of what makes the booted machine, besides the disk."""
        return compute_digest([getattr(self, name) for name in BOOT_FIELDS])


def compute_digest(content: object) -> str:
    """Return 12 hexadecimal digits of the hash of anything that JSON can express."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def read_script(name: str) -> str:
    """Return the text of one of the scripts that are run in the guest."""
    return (paths.GUEST_FILES / f"{name}.sh").read_text(encoding="utf-8")


def build_settle_script() -> str:
    """Return the script that is run in a booted machine before its snapshot is saved."""
    return read_script("settle").replace("BYTECODE_CACHE\n", (paths.GUEST_FILES / "bytecode_cache.py").read_text(encoding="utf-8"))


def create_recipe(suite: str, architecture: Architecture | None = None) -> Recipe:
    """Return the recipe of one Debian suite, by default for this control node's architecture."""
    architecture = architecture or detect_host()
    if suite not in SUITES:
        raise LabError(f"no recipe for suite {suite!r}: choose one of {', '.join(SUITES)}")
    return Recipe(
        suite=suite,
        architecture=architecture,
        packages=(architecture.kernel_package, *PACKAGES, *EXTRA_PACKAGES.get(suite, ())),
        apt_options=APT_OPTIONS.get(suite, ()),
        dpkg_options=DPKG_OPTIONS,
        essential_script=read_script("essential"),
        configure_script=read_script("configure").replace("CONSOLE", architecture.console),
        quiet_script=read_script("quiet"),
        disk_size="8G",
        # Under TCG with several processors a guest's kernel now and then trips over its own patching of code at boot
        # (seen on trixie: an oops in sched_clock_tick); it then boots once more, rather than stand still.
        kernel_arguments=f"root=/dev/vda rw console={architecture.console} net.ifnames=0 TERM=dumb oops=panic panic=5",
        emulation_arguments=" ".join((*EMULATION_ARGUMENTS, *architecture.emulation_arguments)),
        settle_script=build_settle_script(),
    )
