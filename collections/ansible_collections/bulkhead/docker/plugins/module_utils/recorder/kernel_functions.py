# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of the kernel and of AppArmor that the recorder calls, in one place that tests replace."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audit.messages import Message
from ..host.root import Host
from . import access, counts, kernel, pins, reload

# What a damaged file of the recorder, or one of another version, can raise.
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class KernelFunctions:
    """The functions of kernel.py, counts.py, reload.py and access.py by their names. pins: folder of the pins."""

    arm: Callable[[], None] = kernel.arm
    is_armed: Callable[[], bool] = kernel.is_armed
    disarm: Callable[[], None] = kernel.disarm
    read_counts: Callable[[], Any] = counts.read_counts
    forget_cgroups: Callable[[Collection[int]], None] = counts.forget_cgroups
    find_cgroup_of: Callable[[int], int | None] = counts.find_cgroup_of
    record_profile: Callable[[Host, str], Any] = reload.record_profile
    find_replaced: Callable[[Host], list[str]] = reload.find_replaced
    refresh_profiles: Callable[[Host], list[str]] = reload.refresh_profiles
    restore_profiles: Callable[[Host], list[str]] = reload.restore_profiles
    parse_access: Callable[[Message], tuple[dict[str, Any], bool, int] | None] = access.parse_access
    pins: str = pins.PINS

    def list_pins(self, host: Host) -> list[Path]:
        """Return the pins that exist, and the folders with them."""
        folder = host.path(self.pins)
        return sorted(folder.rglob("*")) if folder.is_dir() else []

    def identify_maps(self, host: Host) -> str:
        """Return what differs after the kernel's maps were made anew: the inodes of their pins."""
        return " ".join(f"{path.name}:{path.lstat().st_ino}" for path in self.list_pins(host))
