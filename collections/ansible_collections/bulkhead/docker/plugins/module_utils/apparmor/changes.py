# SPDX-License-Identifier: GPL-3.0-or-later
"""What only planning and installing need: differences from the desired state, the loaded data, and unloading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host.root import Host
from .policy import ENFORCING, SECURITYFS, find_children, find_folders
from .sources import COMPLAIN_LINK, DISABLE_LINK, FOLDER


def is_desired_mode(loaded: object, desired: str) -> bool:
    """Return whether a profile is loaded as desired; `kill` is stricter than `enforce`: it also ends a process that is denied something."""
    return loaded == desired or (desired == "enforce" and loaded in ENFORCING)


def list_differences(observed: Mapping[str, object], sha: str, mode: str) -> list[str]:
    """Return how a profile differs from the desired state, each to follow its name in a sentence; empty if it does not.

    observed: `sha256` of its file (None without one), `links`, `mode` in the kernel (None if not loaded), `current`: whether the kernel's
    policy is what the file compiles to (None if unknown), `is_managed`.
    """
    if observed["sha256"] is None and observed["mode"] is None and not observed["is_managed"]:
        return ["is new"]
    found = []
    if observed["sha256"] is None:
        found.append("has no file")
    elif observed["sha256"] != sha:
        found.append("has another text")
    present = observed["links"]
    if not isinstance(present, list):
        raise TypeError(f"links: {present!r}")
    if DISABLE_LINK in present:
        found.append(f"is not loaded at boot because of {FOLDER}/{DISABLE_LINK}")
    if mode == "complain" and COMPLAIN_LINK not in present:
        found.append(f"is not marked for complain mode in {FOLDER}/{COMPLAIN_LINK}")
    if mode == "enforce" and COMPLAIN_LINK in present:
        found.append(f"is loaded in complain mode because of {FOLDER}/{COMPLAIN_LINK}")
    if observed["mode"] is None:
        found.append("is not loaded")
    elif not is_desired_mode(observed["mode"], mode):
        found.append(f"is in {observed['mode']} mode")
    if observed["current"] is False and observed["sha256"] == sha:
        found.append("is loaded with a policy that differs from its file")
    if not found and not observed["is_managed"]:
        found.append("exists and becomes managed")
    return found


def read_raw_data(host: Host, name: str) -> list[bytes]:
    """Return the loaded data of a profile and its children; empty if the kernel does not keep it."""
    found: list[bytes] = []
    for folder in find_folders(host, name):
        for path in (folder, *(path for unused, path in find_children(host, folder, name))):
            data = host.path(f"{path}/raw_data")
            if data.exists() and (content := data.read_bytes()) not in found:
                found.append(content)
    return found


def unload_profile(host: Host, name: str) -> None:
    """Unload a profile and its children; the processes that it confined become unconfined. Raises OSError."""
    host.path(f"{SECURITYFS}/.remove").write_text(name)


def describe_processes(processes: Iterable[dict[str, Any]], most: int = 3) -> str:
    """Return processes as text: `nginx (pid 12, container 0a1b…), redis (pid 14) and 2 more`."""
    listed = [f"{p['command']} (pid {p['pid']}" + (f", container {p['container']})" if p["container"] else ")") for p in processes]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
