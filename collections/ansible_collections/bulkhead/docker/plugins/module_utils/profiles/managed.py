# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves what a host remembers of the profiles that Bulkhead manages, and the unmanaged files that they replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..host import state
from ..host.files import write_atomically
from ..host.root import STATE_DIR, Host


def save_managed_profiles(host: Host, kind: str, profiles: Mapping[str, Any]) -> None:
    """Remember the managed profiles of a kind."""
    state.save(host, kind, {"profiles": dict(profiles)} if profiles else {})


def keep_replaced_file(host: Host, kind: str, name: str, text: str) -> str:
    """Keep a copy of an unmanaged file before it is replaced. Returns the path of the copy."""
    state.ensure_folder(host)
    folder = host.path(f"{STATE_DIR}/{kind}-replaced")
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.stat()  # root, except in tests
    write_atomically(folder / name, text, 0o600, (owner.st_uid, owner.st_gid))
    return f"{STATE_DIR}/{kind}-replaced/{name}"


def read_replaced_file(host: Host, remembered: Mapping[str, Any]) -> str | None:
    """Return the text of the file that a managed profile replaced; None if it replaced none."""
    return host.read(remembered["replaced"]) if remembered.get("replaced") else None
