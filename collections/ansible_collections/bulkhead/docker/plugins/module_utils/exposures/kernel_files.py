# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the files of the kernel that a container sees in /proc and /sys: what the engine masks or mounts read-only. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .gather import MASKED, READ_ONLY
from .kinds import Exposure
from .mounts import is_below, parse_mountinfo


def judge_kernel_files(container: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Exposure]:
    """Yield an exposure per path that is not masked, or is writable. about: from `gather_host`."""
    source = f"/proc/{container['pid']}/mountinfo"
    namespace = container["kernel"]["namespaces"].get("mnt")
    mounts = {mount.point: mount for mount in parse_mountinfo(container["mountinfo"].get(namespace, ""))}
    for path in about["kernel_paths"]:
        top = "/" + path.split("/")[1]
        if top not in mounts:
            continue
        covers = [mount for point, mount in mounts.items() if point not in ("/", top) and is_below(path, point)]
        if path in MASKED and not covers:
            yield Exposure("unmasked_path", path, path, source, "no mount covers it")
        if path in READ_ONLY and not any(not mount.writable for mount in covers) and mounts[top].writable:
            yield Exposure("writable_proc", path, f"{path} is writable", source, "no read-only mount covers it")
    if "/sys" in mounts and mounts["/sys"].writable:
        yield Exposure("writable_proc", "/sys", "/sys is writable", f"{source} /sys", "rw")
