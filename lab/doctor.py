# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs on the control node, and the one line that installs what is missing."""

from __future__ import annotations

import os
import shutil

from lab import paths
from lab.errors import LabError

# One program for each package that has one to be told by.
PROGRAMS = {
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "mmdebstrap": "mmdebstrap",
    "e2fsprogs": "mke2fs",
    "openssh-client": "ssh",
    "uidmap": "newuidmap",
    "xorriso": "xorriso",
}
# Needed for some machines only; `check` says nothing of them.
OPTIONAL = frozenset({"xorriso", "uidmap"})


def packages(text: str) -> list[str]:
    """Return the packages named in a list with comments."""
    return [line for line in (raw.partition("#")[0].strip() for raw in text.splitlines()) if line]


def missing() -> list[str]:
    """Return the listed packages whose program is not there."""
    path = "/usr/local/sbin:/usr/sbin:/sbin"
    listed = packages(paths.PACKAGE_LIST.read_text(encoding="utf-8"))
    return [name for name in listed if name in PROGRAMS and not (shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path=path))]


def install_line(names: list[str]) -> str:
    """Return the command that installs them."""
    return f"sudo apt-get install --no-install-recommends {' '.join(names)}"


def check() -> None:
    """Raise LabError if something that every machine needs is missing."""
    unneeded = OPTIONAL - {"uidmap"} if os.geteuid() else OPTIONAL
    needed = [name for name in missing() if name not in unneeded]
    if needed:
        raise LabError(f"missing on this machine: {', '.join(needed)}\n  {install_line(needed)}")


def main() -> int:
    """Print what is missing; return 1 if anything is."""
    names = missing()
    print(install_line(names) if names else "nothing is missing")
    return 1 if names else 0
