# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of an image: Debian packages, or a cloud image."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ImageBase(Protocol):
    """A source of images. Two with equal keys make the same image."""

    @property
    def label(self) -> str:
        """What people call it, such as the suite; the first part of the key."""

    @property
    def settle_script(self) -> str:
        """Run in the booted machine; fails if that is not what the tests rely on."""

    @property
    def patience(self) -> float:
        """How long the first boot, and then the settling, may take (seconds)."""

    def key(self) -> str:
        """Return the label and a hash of all that makes the disk."""

    def boot_key(self) -> str:
        """Return a hash of what makes the booted machine, besides the disk."""

    def build(self, folder: Path) -> None:
        """Fill ``folder`` with ``disk.qcow2``, ``ssh_key`` and whatever the options below name."""

    def boot_options(self, folder: Path, *, emulated: bool) -> list[str]:
        """Return qemu's options that boot a machine from the files in ``folder``."""
