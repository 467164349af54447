# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's AppArmor policy, read from securityfs (Linux security/apparmor/apparmorfs.c), and the processes under a profile."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from ..host.cgroup import find_container_group
from ..host.root import Host, read_state

SECURITYFS = "/sys/kernel/security/apparmor"
# Set by writing there, or at boot by apparmor.mode= (Linux security/apparmor/lsm.c, param_set_mode).
GLOBAL_MODE = "/sys/module/apparmor/parameters/mode"
# State of the recorder: name -> hashes of its own data (`recording`, a list) and of those that it replaced (`original`).
RECORDED = "recorder/profiles/loaded"
ENFORCING = ("enforce", "kill")
# How each profile begins in what the parser hands to the kernel: a version, a struct `profile`, and in it the name with its length
# (apparmor parser/parser_interface.c, sd_serialize_top_profile). Tables inside have a version of their own, but no such struct.
_BEGINS = re.compile(rb"\x04\x08\x00version\x00\x02.{4}\x04\x08\x00profile\x00\x07\x05..([^\x00]+)\x00", re.DOTALL)


def parse_modes(text: str) -> dict[str, str]:
    """Parse /sys/kernel/security/apparmor/profiles: one `NAME (mode)` per line; children as PARENT//CHILD."""
    found = {}
    for line in text.splitlines():
        name, bracket, mode = line.rpartition(" (")
        if bracket:
            found[name] = mode.rstrip(")")
    return found


def is_in_kernel(host: Host) -> bool:
    """Return whether AppArmor is active: built in, and not disabled at boot (kernel parameters apparmor=, lsm=)."""
    return (host.read("/sys/module/apparmor/parameters/enabled") or "").strip() == "Y"


def is_enabled(host: Host) -> bool:
    """Return whether AppArmor is active and its policy can be read and loaded, which needs a mounted securityfs."""
    return is_in_kernel(host) and host.path(SECURITYFS).is_dir()


def read_global_mode(host: Host) -> dict[str, str | None]:
    """Return `value` of the parameter GLOBAL_MODE, None where the kernel has none or it cannot be read, and then the `error`.

    `complain` there makes every profile only log, while labels and modes of profiles still say enforce (Linux
    security/apparmor/include/policy.h, COMPLAIN_MODE).
    """
    try:
        text = host.read(GLOBAL_MODE)
    except OSError as error:
        return {"value": None, "error": str(error)}
    return {"value": None if text is None else text.strip(), "error": None}


def read_modes(host: Host) -> dict[str, str]:
    """Return every loaded profile and its mode, in one read. Raises OSError."""
    return parse_modes(host.read(f"{SECURITYFS}/profiles") or "")


def read_profile(host: Host, name: str) -> dict[str, Any] | None:
    """Return `read_loaded_profile` and `recording`: whether the data are the recorder's. `hashes` are then of the original data."""
    found = read_loaded_profile(host, name)
    if found:
        known = read_state(host, RECORDED).get(name, {})
        found["recording"] = found["hashes"] in known.get("recording", ())
        found["hashes"] = known["original"] if found["recording"] else found["hashes"]
    return found


def read_loaded_profile(host: Host, name: str) -> dict[str, Any] | None:
    """Return a profile of the kernel; None if it is not loaded. Raises OSError.

    mode. hash: `sha256:…` (`sha1:…` in older kernels) of the loaded data, which `apparmor_parser -S` prints; None if the kernel keeps none
    (apparmor.hash_policy=0, apparmor.export_binary=0). source: its file. hashes: name -> hash of the profile and of its children.
    """
    for folder in find_folders(host, name):
        source, value = _read_hash(host, folder)
        hashes = {name: value, **{child: _read_hash(host, path)[1] for child, path in find_children(host, folder, name)}}
        return {"mode": (host.read(f"{folder}/mode") or "").strip(), "hash": value, "source": source, "hashes": hashes}
    return None


def find_folders(host: Host, name: str) -> Iterator[str]:
    """Yield the folder of a top-level profile: its name, a dot and a number."""
    for path in host.path(f"{SECURITYFS}/policy/profiles").glob(f"{name}.[0-9]*"):
        folder = f"{SECURITYFS}/policy/profiles/{path.name}"
        if (host.read(f"{folder}/name") or "").strip() == name:
            yield folder


def find_children(host: Host, folder: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield each child profile, recursively: its name as PARENT//CHILD, and its folder."""
    inside = host.path(f"{folder}/profiles")
    for path in sorted(inside.iterdir()) if inside.is_dir() else []:
        child = f"{folder}/profiles/{path.name}"
        full = f"{name}//{(host.read(f'{child}/name') or '').strip()}"
        yield full, child
        yield from find_children(host, child, full)


def _read_hash(host: Host, folder: str) -> tuple[str, str | None]:
    for algorithm in ("sha256", "sha1"):
        digest = (host.read(f"{folder}/raw_{algorithm}") or "").strip()
        if digest:
            return f"{folder}/raw_{algorithm}", f"{algorithm}:{digest}"
    return f"{folder}/mode", None


def split_compiled(compiled: bytes) -> dict[str, bytes]:
    """Return the parser's output per profile; children as PARENT//CHILD."""
    starts = [(match.start(), match[1].decode("utf-8", "surrogateescape")) for match in _BEGINS.finditer(compiled)]
    return {name: compiled[start:end] for (start, name), (end, unused) in pairwise([*starts, (len(compiled), "")])}


def is_same_policy(kernel: Mapping[str, str | None], compiled: bytes) -> bool | None:
    """Return whether the kernel's policy (`hashes` of `read_profile`) is what was compiled, with the same children; None without hashes.

    A file may be loaded as a whole or per profile, as on Linux 7.2 with parser 4.1.8; a hash covers what was loaded at once.
    """
    if None in kernel.values():
        return None
    expected = split_compiled(compiled)
    return kernel.keys() == expected.keys() and all(
        given in (digest_as(given, expected[name]), digest_as(given, compiled)) for name, given in kernel.items() if given
    )


def digest_as(like: str, data: bytes) -> str:
    """Return the digest of data, with the algorithm of another digest such as `sha256:…`."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def find_confined(host: Host, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the running processes under each of these profiles: pid, command, and short ID of the container or None."""
    desired = set(names)
    found: dict[str, list[dict[str, Any]]] = {}
    if not desired:
        return found
    for process in sorted(map(int, filter(str.isdigit, os.listdir(host.join("/proc"))))):
        try:
            # A stack is joined by //&, and a mode is behind each or the last. A process in a child (PARENT//CHILD) belongs to the parent's file.
            parts = _read_label(host, process).strip("\0\n").split("//&")
            for name in desired & {re.sub(r" \([\w-]+\)$", "", part).split("//")[0] for part in parts}:
                comm = (host.read(f"/proc/{process}/comm") or "").strip()
                container = find_container_group(host.read(f"/proc/{process}/cgroup") or "")
                found.setdefault(name, []).append({"pid": process, "command": comm, "container": container[0][:12] if container else None})
        except OSError:  # it has ended
            continue
    return found


def _read_label(host: Host, process: int) -> str:
    """Read attr/apparmor, which is AppArmor's next to any other security module (Linux 5.8), or attr/current of the first module."""
    text = host.read(f"/proc/{process}/attr/apparmor/current")
    return text if text is not None else host.read(f"/proc/{process}/attr/current") or ""
