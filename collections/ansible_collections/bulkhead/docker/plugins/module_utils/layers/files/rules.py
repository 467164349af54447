# SPDX-License-Identifier: GPL-3.0-or-later
"""Which owner, group and mode each kind of file may have. Pure; planning and judging share it.

The modes and owners are those of section 3 of the CIS Docker Benchmark. A stricter mode is as good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...engine.instance import SYSTEM_UNITS, Instance, get_observed_instance
from ..registry import SWITCHES

LAYER = __package__.rpartition(".")[2]
SWITCH, GROUP, KEEP = SWITCHES[LAYER], "docker_files_socket_group", "docker_files_keep"
DEFAULT_GROUP = "docker"


@dataclass(frozen=True)
class FileKind:
    """A kind of file. title: for messages. mode: the permissions that it may have at most. owner_control, mode_control: their controls, or empty."""

    title: str
    mode: int
    owner_control: str = ""
    mode_control: str = ""


KINDS: dict[str, FileKind] = {
    "unit": FileKind("file of docker.service", 0o644, "CIS-3.1", "CIS-3.2"),
    "socket_unit": FileKind("file of docker.socket", 0o644, "CIS-3.3", "CIS-3.4"),
    "containerd_unit": FileKind("file of containerd.service", 0o644),
    "folder": FileKind("folder of the engine's configuration", 0o755, "CIS-3.5", "CIS-3.6"),
    "registry_folder": FileKind("folder of registry certificates", 0o755, "CIS-3.7", "CIS-3.8"),
    "registry_certificate": FileKind("registry certificate", 0o444, "CIS-3.7", "CIS-3.8"),
    "registry_key": FileKind("key for a registry", 0o400, "CIS-3.7", "CIS-3.8"),
    "tls_ca": FileKind("CA certificate of the engine", 0o444, "CIS-3.9", "CIS-3.10"),
    "tls_certificate": FileKind("certificate of the engine", 0o444, "CIS-3.11", "CIS-3.12"),
    "tls_key": FileKind("private key of the engine", 0o400, "CIS-3.13", "CIS-3.14"),
    "socket": FileKind("socket of the engine", 0o660, "CIS-3.15", "CIS-3.16"),
    "config": FileKind("configuration of the engine", 0o644, "CIS-3.17", "CIS-3.18"),
    "defaults": FileKind("environment of the engine", 0o644, "CIS-3.19", "CIS-3.20"),
    "sysconfig": FileKind("environment of the engine", 0o644, "CIS-3.22", "CIS-3.21"),
    "containerd_socket": FileKind("socket of containerd", 0o660, "CIS-3.23", "CIS-3.24"),
    "containerd_folder": FileKind("folder of containerd's configuration", 0o755),
    "containerd_config": FileKind("configuration of containerd", 0o644),
}
# Bits that open nothing. The sticky bit of a file has no effect (man 7 inode); a rootless dockerd sets it on its socket at each start, so that the runtime
# folder is not cleaned of it (moby, pkg/homedir: StickRuntimeDirContents). For folders and sockets, the kernel uses neither set-ID bit to grant a right.
_HARMLESS, _HARMLESS_NO_FILE = 0o1000, 0o7000


@dataclass
class Access:
    """Owner, group and mode of one file: what they are, and what they should be. mode: never with a bit that the file does not have.

    gid: that of a file of a rootless engine's user is left alone. own: whether that user owns the file; Bulkhead does not change its owner.
    settled: which part of `now` a setting gives the socket each time it is created -> that setting and its file.
    """

    path: str
    kind: str
    now: tuple[int, int, int]
    uid: int
    gid: int
    mode: int
    state: Mapping[str, Any]
    own: bool = False
    settled: Mapping[int, str] = field(default_factory=dict)

    @property
    def excess(self) -> int:
        return self.now[2] & ~self.mode

    @property
    def is_owned(self) -> bool:
        return self.now[:2] == (self.uid, self.gid)

    @property
    def shared(self) -> str:
        """Why the file is not changed: it is reached by a link, or has several names; empty otherwise."""
        if self.state["target"]:
            return f"leads to {self.state['target']} by a symbolic link"
        return f"is one of {self.state['links']} hard links to the same file" if self.state["links"] > 1 else ""


def list_accesses(observed: Mapping[str, Any], group: str) -> Iterator[Access]:
    """Yield the access to each file that could be read. group: the group that may use the engine's socket."""
    instance = get_observed_instance(observed)
    ids = observed["layers"]["userns"]["uids"], observed["layers"]["userns"]["gids"]
    allowed, settings = ids[1].get(group), observed["layers"][LAYER]["settings"]
    for path, state in observed["layers"][LAYER]["files"].items():
        own = _is_of_user(instance, path)
        if "error" in state or (instance.rootless and not own and not _is_of_root(instance, path, state["kind"])):
            continue
        kind, now = state["kind"], (state["uid"], state["gid"], state["mode"])
        uid, gid = (instance.uid or 0, now[1]) if own else (0, 0)
        if kind == "socket" and not own and allowed is not None and now[1] != 0:
            gid = allowed
        limit = KINDS[kind].mode | (_HARMLESS_NO_FILE if kind.endswith(("folder", "socket")) else _HARMLESS)
        settled = {part: setting for part, value, setting in settings.get(kind, ()) if _is_set(part, value, now, ids)}
        yield Access(path, kind, now, uid, gid, now[2] & limit, state, own, settled)


def _is_of_user(instance: Instance, path: str) -> bool:
    """Return whether a path is the rootless engine's user's own: below the home, or in the runtime folder."""
    return instance.rootless and path.startswith((f"{instance.home}/", f"{instance.runtime_dir}/"))


def _is_of_root(instance: Instance, path: str, kind: str) -> bool:
    """Return whether a path does not come from the user's configuration, which can name any file. Root would close that file for the user."""
    if kind == "unit":
        return path.startswith(tuple(f"{folder}/" for folder in (*SYSTEM_UNITS, *instance.unit_dirs)))
    if kind == "containerd_socket":
        return path.startswith(("/run/containerd/", "/run/docker/"))
    return kind not in ("config", "socket", "tls_ca", "tls_certificate", "tls_key")


def _is_set(part: int, value: str, now: tuple[int, int, int], ids: tuple[Mapping[str, int], Mapping[str, int]]) -> bool:
    """Return whether a part of the access has the value that a setting gives it."""
    if part == 2:
        return f"{now[2] & 0o777:o}" == value.lstrip("0")
    return value in (str(now[part]), find_name(ids[part], now[part]))


def list_kept(desired: Mapping[str, Any]) -> list[str]:
    """Return the paths that the role leaves alone."""
    return [str(path).rstrip("/") or "/" for path in desired[KEEP]]


def format_access(access: tuple[int, int, int], uids: Mapping[str, int], gids: Mapping[str, int]) -> str:
    """Return `root:docker 0660`; IDs without a name are numbers."""
    return f"{find_name(uids, access[0])}:{find_name(gids, access[1])} {access[2]:04o}"


def find_name(ids: Mapping[str, int], number: int) -> str:
    """Return the name of an ID, and the number without one."""
    return next((name for name, known in ids.items() if known == number), str(number))


def list_finding_controls(name: str) -> list[str]:
    """Return the controls of a finding of this layer. name: without the layer's name, such as `socket_mode`."""
    kind, unused, part = name.rpartition("_")
    known = KINDS.get(kind)
    control = (known.owner_control if part == "owner" else known.mode_control) if known and part in ("owner", "mode") else ""
    return [control] if control else []
