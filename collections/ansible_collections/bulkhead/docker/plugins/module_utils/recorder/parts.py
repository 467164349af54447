# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recorder needs of the kernel part and of AppArmor, in one place that tests replace."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..host.root import Host


@dataclass(frozen=True)
class Parts:
    """kernel: the module with `arm`, `is_armed`, `disarm`, `read_counts`, `find_cgroup_of`, `find_obstacle`, `RecorderError` and `PINS`."""

    kernel: Any
    record_profile: Callable[[Host, str], Any]
    find_replaced: Callable[[Host], list[str]]
    restore_profiles: Callable[[Host], list[str]]
    parse_access: Callable[[tuple[int, str]], tuple[dict[str, Any], bool, int] | None]

    def identify_maps(self, host: Host) -> str:
        """Return what differs after the kernel's maps were made anew: the inodes of their pins."""
        folder = host.path(self.kernel.PINS)
        return " ".join(f"{path.name}:{path.lstat().st_ino}" for path in sorted(folder.iterdir())) if folder.is_dir() else ""


def load_parts() -> Parts:
    """Return the parts of this host."""
    kernel, reload, access = (importlib.import_module(f"{__package__}.{name}") for name in ("kernel", "reload", "access"))
    return Parts(kernel, reload.record_profile, reload.find_replaced, reload.restore_profiles, access.parse_access)
