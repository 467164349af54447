# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of the profiles that Bulkhead manages."""

from __future__ import annotations

from typing import Any

from ..host.root import Host, read_state

SECCOMP = "seccomp"
APPARMOR = "apparmor"


def load_managed_profiles(host: Host, kind: str) -> dict[str, dict[str, Any]]:
    """Return the managed profiles of a kind. Raises ValueError for a damaged file.

    SECCOMP: path -> `sha256` of the text, `replaced`, `made_folder`. APPARMOR: name -> `sha256`, `mode`, `hashes` of the loaded policy,
    `inputs`, `replaced`, `links` of the replaced file; without `sha256`, the run that began to install it was interrupted.
    `replaced` is the path of the copy of an unmanaged file.
    """
    return dict(read_state(host, kind).get("profiles", {}))
