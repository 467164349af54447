# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what judging exposures needs of the host: its mounts, engine sockets, folders with keys, and files that containers have mounted."""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ..engine.cgroups import select_own_groups
from ..host.process_status import parse_status
from ..host.root import Host
from .device_rules import encode_rules, find_devices_folder, read_device_rules
from .host_devices import list_host_devices
from .mounts import Mount, find_in_file_system, is_below, locate, parse_mountinfo

# Sockets that give control of an engine or of its runtime, besides those on which the engines of the host listen.
SOCKETS = (
    "/run/docker.sock", "/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock", "/run/podman/podman.sock",
    "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock", "/run/buildkit/buildkitd.sock",
)  # fmt: skip
USER_SOCKETS = ("docker.sock", "containerd/containerd.sock", "podman/podman.sock")
# Those that dockerd opens besides its API give no control: metrics for plugins, and keys of networks.
_CONTROL = re.compile(r"/(?!.*(/metrics\.sock|/libnetwork/[^/]+\.sock)$)")
_KERNEL_TYPES = ("proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "nsfs")
KEYS = (".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", ".docker/config.json", ".netrc", ".git-credentials", ".pgpass")
# What judging needs of `gather_host`; the rest is for `gather_container`.
JUDGED = ("keys", "kernel_paths", "all_capabilities", "devices", "data")
# Entries of mounted folders that are compared with the engine sockets, because a socket can have further names (hard links).
_MAX_ENTRIES, _MAX_DEPTH = 2000, 4
# The host's mounts are the same for most containers.
_parse_host_mountinfo = functools.lru_cache(maxsize=4)(parse_mountinfo)


def gather_host(host: Host, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is read once per host.

    namespace: that of its mounts.
    sockets: of engines, with `path`, `device` and `root` (in that file system), and `inode`. keys: paths of users' keys.
    kernel_paths: those of MASKED and READ_ONLY that this kernel has. all_capabilities: the set of process 1. data: folders of engines.
    engine: see `observe_engine`.
    """
    mounts = _parse_host_mountinfo(host.read("/proc/1/mountinfo") or "")
    sockets = []
    for path in dict.fromkeys([*_list_listening(host, engine), *SOCKETS, *_list_user_sockets(host)]):
        real = os.path.realpath(host.join(path))
        with suppress(OSError):
            status = os.stat(real)
            if stat.S_ISSOCK(status.st_mode):
                shown = "/" + real.removeprefix(str(host.root)).lstrip("/")
                device, root = find_in_file_system(shown, mounts)
                entry = {"path": shown, "device": device, "root": root, "inode": (status.st_dev, status.st_ino)}
                sockets += [] if entry in sockets else [entry]
    return {
        "namespace": host.read_link("/proc/1/ns/mnt"),
        "sockets": sockets,
        "keys": _list_keys(host),
        "kernel_paths": [path for path in (*MASKED, *READ_ONLY) if os.path.exists(host.join(path))],
        "all_capabilities": parse_status(host.read("/proc/1/status") or "").get("cap", {}).get("bnd", 0),
        "devices": list_host_devices(host),
        "data": list(dict.fromkeys([engine.get("root_dir") or "/var/lib/docker", "/var/lib/docker", "/var/lib/containerd"])),
    }


# What every supported engine masks, and what it mounts read-only (moby oci/defaults.go, 20.10 to 29).
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def gather_container(host: Host, container: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is read of the host for one container. Its `host_mountinfo` is removed, because nothing else uses it.

    mounts: one entry per mount that shows files of the host: `paths` there (the first one names it), `point`, `writable`, `shared`, `type`
    (`folder`, `file`, `socket`, `device`), `public` (a file that every user of the host may read), and `sockets` (engine sockets in it).
    writable: where it can write files, as `point` and `options`. unmounted: block devices that only it has mounted.
    device_rules: of its control group, None without one.
    """
    folder = find_devices_folder(select_own_groups(container["kernel"].get("cgroup", ""), container["id"]))
    found: dict[str, Any] = {
        "mounts": [],
        "writable": [],
        "unmounted": [],
        "device_rules": encode_rules(read_device_rules(host, folder)) if folder else None,
    }
    seen = set()
    host_mounts = _parse_host_mountinfo(container.pop("host_mountinfo", ""))
    for namespace, text in container["mountinfo"].items():
        if namespace == about["namespace"]:
            continue  # a process that has joined the host's; that is an exposure of its own
        for mount in parse_mountinfo(text):
            key = (mount.device, mount.root, mount.point)
            if key in seen or mount.point == "/":
                continue
            seen.add(key)
            paths, kind = locate(mount, host_mounts), ""
            if paths:
                found["mounts"].append({"mount": asdict(mount), "paths": paths, **_describe(host, mount, paths[0], about["sockets"])})
                kind = found["mounts"][-1]["type"]
            elif not mount.device.startswith("0:"):
                found["unmounted"].append({"device": mount.device, "point": mount.point})
            if mount.writable and mount.type not in _KERNEL_TYPES and kind in ("", "folder"):
                found["writable"].append(
                    {"point": mount.point, "options": sorted({"noexec", "nosuid", "nodev"}.intersection(mount.options))}
                )
    return found


def _describe(host: Host, mount: Mount, path: str, sockets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    inside = {socket["path"] for socket in sockets if socket["device"] == mount.device and is_below(socket["root"], mount.root)}
    try:
        status = os.lstat(host.join(path))
    except OSError:
        return {"type": "", "public": False, "sockets": sorted(inside)}
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
    kind = next((name for is_kind, name in kinds if is_kind(status.st_mode)), "file")
    inodes = {socket["inode"]: socket["path"] for socket in sockets if socket["inode"][0] == status.st_dev}
    if inodes:
        inside |= {inodes[inode] for inode in _list_sockets(host.join(path), kind) if inode in inodes}
    return {"type": kind, "public": kind == "file" and bool(status.st_mode & stat.S_IROTH), "sockets": sorted(inside)}


def _list_sockets(path: str, kind: str) -> Iterable[tuple[int, int]]:
    """Yield device and inode of a socket, or of the sockets in a folder of the host."""
    if kind == "socket":
        status = os.lstat(path)
        yield status.st_dev, status.st_ino
    if kind != "folder":
        return
    entries, top = 0, path.count("/")
    for folder, folders, files in os.walk(path):
        if folder.count("/") - top >= _MAX_DEPTH or entries > _MAX_ENTRIES:
            folders.clear()
        entries += len(files)
        for name in files:
            with suppress(OSError):
                status = os.lstat(f"{folder}/{name}")
                if stat.S_ISSOCK(status.st_mode):
                    yield status.st_dev, status.st_ino


def _list_listening(host: Host, engine: Mapping[str, Any]) -> list[str]:
    """Return the paths on which the engines' processes listen, from their open files (man 5 proc_pid_fd, proc_net: unix)."""
    found = [engine["socket"]]
    for daemon in engine.get("daemons") or ():
        with suppress(OSError):
            folder = f"/proc/{daemon['pid']}/fd"
            links = {host.read_link(f"{folder}/{name}") for name in os.listdir(host.join(folder))}
            for line in (host.read(f"/proc/{daemon['pid']}/net/unix") or "").splitlines():
                fields = line.split(maxsplit=7)
                if len(fields) == 8 and f"socket:[{fields[6]}]" in links and _CONTROL.match(fields[7]):
                    found.append(fields[7])
    return found


def _list_user_sockets(host: Host) -> list[str]:
    folder = host.path("/run/user")
    users = sorted(os.listdir(folder)) if folder.is_dir() else ()
    return [f"/run/user/{user}/{name}" for user in users if re.fullmatch(r"\d+", user) for name in USER_SOCKETS]


def _list_keys(host: Host) -> list[str]:
    """Return the paths of keys in the homes of users."""
    homes = {line.split(":")[5] for line in (host.read("/etc/passwd") or "").splitlines() if line.count(":") >= 6}
    homes = {home for home in homes if home.startswith(("/home/", "/root", "/srv/", "/var/lib/"))}
    with suppress(OSError):  # accounts of directory services, and removed ones
        homes.update(f"/home/{name}" for name in os.listdir(host.join("/home")))
    return sorted(path for home in homes for name in KEYS if os.path.lexists(host.join(path := f"{home.rstrip('/')}/{name}")))
