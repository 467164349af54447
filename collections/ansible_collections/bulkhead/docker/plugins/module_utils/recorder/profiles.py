# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp profiles on a host by their content, because the engine knows only the content of the profile of a container."""

from __future__ import annotations

from pathlib import PurePosixPath

from ..host.root import SECCOMP, Host, load_managed_profiles
from .instances import normalise_profile

DIRECTORY = "/etc/docker/seccomp"
_known: dict[tuple[str, int], tuple[str, str]] = {}


def read_seccomp_names(host: Host) -> dict[str, str]:
    """Return profile (as JSON with sorted keys) -> name, of the managed files and the others next to them. A file is read once per change."""
    try:
        paths = {host.path(path) for path in load_managed_profiles(host, SECCOMP)}
    except (OSError, ValueError):
        paths = set()
    paths |= set(host.path(DIRECTORY).glob("*.json"))
    found = {}
    for path in sorted(paths):
        try:
            key = (str(path), path.stat().st_mtime_ns)
            if key not in _known:
                _known[key] = (normalise_profile(path.read_text(encoding="utf-8", errors="replace")), PurePosixPath(path).stem)
            text, name = _known[key]
            found[text] = name
        except OSError:  # removed meanwhile, or a dangling link
            continue
    return found
