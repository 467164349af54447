# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts from which engines generate docker-default. They load it from memory at each start, and no file of it remains.

Sources: moby profiles/apparmor/template.go up to 28.x, github.com/moby/profiles/apparmor/template.go since 29.0. The rules differ as follows.
29.4.3 sets an ABI, denies AF_ALG and matches folders of /proc otherwise. 23.0.11, 25.0.6 and 26.1 let runc and crun send signals. 20.10.27, 23.0.8 and
24.0.7 deny powercap. 23.0.0 and 20.10.27 correct the pattern for folders of /proc. Distributions backport these changes, so the version says little:
each text is a candidate, and the caller compares what it compiles to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..apparmor.sources import FOLDER
from ..host.root import Host

NAME = "docker-default"
_UNCONFINED = "unconfined"
_ENGINE_PIDS = ("/run/docker.pid", "/var/run/docker.pid")
_SYS = (
    "/sys/[^f]*/** wklx", "/sys/f[^s]*/** wklx", "/sys/fs/[^c]*/** wklx", "/sys/fs/c[^g]*/** wklx", "/sys/fs/cg[^r]*/** wklx",
    "/sys/firmware/** rwklx", "/sys/kernel/security/** rwklx",
)  # fmt: skip


@dataclass(frozen=True)
class _Release:
    """What differs between releases. folders: the pattern of folders of /proc that are not a process's and not /proc/sys."""

    folders: str
    powercap: bool = True
    runtimes: bool = True
    abi: bool = False


_FOLDERS = "[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*"
# The most frequent first.
_RELEASES = (
    _Release(_FOLDERS),
    _Release("[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*", abi=True),
    _Release(_FOLDERS, runtimes=False),
    _Release(_FOLDERS, runtimes=False, powercap=False),
    _Release(_FOLDERS.replace("/", ""), runtimes=False, powercap=False),
)


def list_candidates(host: Host) -> Iterator[str]:
    """Yield each text that an engine may have generated on this host. Raises OSError."""
    for release in _RELEASES:
        for engine in dict.fromkeys((_read_engine_label(host), _UNCONFINED)):
            yield _render(host, release, engine)


def _read_engine_label(host: Host) -> str:
    """Return the label of dockerd, which the profile lets send signals."""
    pid = next((text.strip() for path in _ENGINE_PIDS if (text := host.read(path))), "")
    label = (host.read(f"/proc/{pid}/attr/current") or "") if pid.isdigit() else ""
    return label.strip("\0\n ").partition(" (")[0] or _UNCONFINED


def _render(host: Host, release: _Release, engine: str) -> str:
    def has(name: str) -> bool:
        return host.path(f"{FOLDER}/{name}").exists()

    head = ["abi <abi/3.0>,"] if release.abi and has("abi/3.0") else []
    head.append("include <tunables/global>" if has("tunables/global") else "@{PROC}=/proc/")
    rules = ["include <abstractions/base>"] if has("abstractions/base") else []
    rules += ["network,", *(["deny network alg,"] if release.abi else []), "capability,", "file,", "umount,"]
    senders = [_UNCONFINED, *(("runc", "crun") if release.runtimes else ()), engine]
    rules += [f'signal (receive) peer="{sender}",' for sender in senders]
    rules += [f"signal (send,receive) peer={NAME},", f"ptrace (trace,tracedby,read,readby) peer={NAME},", "deny mount,"]
    proc = [
        "/* w",
        f"/{{{release.folders}}}/** w",
        "/sys/[^k]** w",
        "/sys/kernel/{?,??,[^s][^h][^m]**} w",
        "/sysrq-trigger rwklx",
        "/kcore rwklx",
    ]
    rules += [f"deny @{{PROC}}{rule}," for rule in proc]
    rules += [f"deny {rule}," for rule in (*_SYS, *(["/sys/devices/virtual/powercap/** rwklx"] if release.powercap else []))]
    return "\n".join([*head, f"profile {NAME} flags=(attach_disconnected,mediate_deleted) {{", *rules, "}", ""])
