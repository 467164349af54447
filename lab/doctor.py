# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs on the control node, and the one line that installs what is missing."""

from __future__ import annotations

import os
import shutil

from lab import paths
from lab.architecture import Architecture, detect_host
from lab.errors import LabError

# One program for each package that has one to be told by.
PROGRAMS = {
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-system-arm": "qemu-system-aarch64",
    "qemu-user-static": "qemu-aarch64-static",
    "arch-test": "arch-test",
    "qemu-utils": "qemu-img",
    "mmdebstrap": "mmdebstrap",
    "e2fsprogs": "mke2fs",
    "openssh-client": "ssh",
    "uidmap": "newuidmap",
    "xorriso": "xorriso",
}
# Needed for some machines only; `check_packages` ignores them.
OPTIONAL = frozenset({"xorriso", "uidmap"})


def parse_package_list(text: str) -> list[str]:
    """Return the packages named in a list with comments."""
    return [line for line in (raw.partition("#")[0].strip() for raw in text.splitlines()) if line]


def list_packages(architecture: Architecture, host: Architecture) -> list[str]:
    """Return the packages that machines of an architecture need on a control node of another, or of the same."""
    names = ["packages", f"packages-{architecture.name}", *(["packages-foreign"] if architecture != host else [])]
    return [package for name in names for package in parse_package_list((paths.PACKAGE_LISTS / f"{name}.txt").read_text(encoding="utf-8"))]


def list_missing_packages(architecture: Architecture) -> list[str]:
    """Return the listed packages whose program is not there."""
    path = "/usr/local/sbin:/usr/sbin:/sbin"
    listed = list_packages(architecture, detect_host())
    return [name for name in listed if name in PROGRAMS and not (shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path=path))]


def format_install_command(names: list[str]) -> str:
    """Return the command that installs them."""
    return f"sudo apt-get install --no-install-recommends {' '.join(names)}"


def check_packages(architecture: Architecture) -> None:
    """Raise LabError if something that every machine of that architecture needs is missing."""
    unneeded = OPTIONAL - {"uidmap"} if os.geteuid() else OPTIONAL
    needed = [name for name in list_missing_packages(architecture) if name not in unneeded]
    if needed:
        raise LabError(f"missing on this machine: {', '.join(needed)}\n  {format_install_command(needed)}")


def report_packages(architecture: Architecture) -> int:
    """Print what is missing; return 1 if anything is."""
    names = list_missing_packages(architecture)
    print(format_install_command(names) if names else "nothing is missing")
    return 1 if names else 0
