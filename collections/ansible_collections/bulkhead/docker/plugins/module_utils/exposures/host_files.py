# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges which files and sockets of the host a container has mounted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any

from .kinds import KINDS, SEVERITIES, Exposure
from .mounts import DELETED, Mount, is_below, join, touches

# Trees with which a process can take over the host when it may write there.
SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run/containerd", "/run/dbus", "/run/docker",
    "/run/systemd", "/run/udev", "/sbin", "/sys", "/usr", "/var/lib/bulkhead", "/var/lib/systemd", "/var/spool/cron",
)  # fmt: skip
# Parts of them that every user of a host may read, and that services often mount read-only.
PUBLIC = ("/etc/ca-certificates", "/etc/localtime", "/etc/ssl/certs", "/etc/timezone", "/usr/share")
# Type of a file system of the kernel -> its usual place, and the namespace that it belongs to (exposures/kernel_files.py judges these).
_OWN = {"proc": ("/proc", "pid"), "sysfs": ("/sys", "net"), "mqueue": ("/dev/mqueue", "ipc")}
# Mount point -> name of the file in the engine's folder of another container, whose namespace this one has joined.
_JOINED = {"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf", "/dev/shm": "mounts/shm"}
_ENGINE_FILES = ("resolv.conf", "hostname", "hosts", "mounts", "secrets")


def judge_host_files(
    container: Mapping[str, Any], own: Mapping[str, Any], about: Mapping[str, Any], others: Collection[str] = ()
) -> Iterator[Exposure]:
    """Yield an exposure per mount and kind. own: from `gather_container`. about: from `gather_host`. others: IDs of the engine's containers.

    Mounts of the host below a mounted folder come with the folder. They are left out unless they are worse; then one exposure counts them.
    """
    shared = {
        name for state in container["states"] for name, inode in state["namespaces"].items() if inode == about["namespaces"].get(name)
    }
    reported: list[tuple[str, str, int]] = []
    below: dict[tuple[str, str, str], list[str]] = {}
    for entry in own["mounts"]:
        mount = Mount(**entry["mount"])
        source = f"/proc/{container['pid']}/mountinfo {mount.point}"
        access = "read and write" if mount.writable else "read"
        for socket in () if mount.root.endswith(DELETED) else entry["sockets"]:
            yield Exposure("engine_socket", socket, f"{socket} at {mount.point}", source, mount.root)
        if _is_regular(mount, shared, container["id"]) or _is_made_by_engine(container, mount, entry, about, others):
            continue
        kinds, path, point = _list_kinds(mount, entry, about), entry["paths"][0], mount.point
        rank = max(SEVERITIES.index(KINDS[kind].severity) for kind in kinds)
        above = next((r for r in reported if any(_comes_with(shown, point, r[0], r[1]) for shown in entry["paths"])), None)
        if above:
            if rank > above[2]:
                below.setdefault((kinds[0], above[0], f"{above[1]}, {access}"), []).append(path)
            continue
        reported.append((path, point, rank))
        if not entry["sockets"] or (entry["type"] != "socket" and path not in entry["sockets"]):
            for kind in kinds:
                yield Exposure(kind, path, f"{path} at {mount.point}, {access}", source, mount.root)
        if mount.shared:
            yield Exposure("shared_propagation", path, f"{path} at {mount.point}", source, "shared")
    for (kind, top, where), paths in below.items():
        shown = paths[0] if len(paths) == 1 else f"{len(paths)} mounts of the host below {top}, such as {paths[0]},"
        yield Exposure(kind, paths[0], f"{shown} at {where}", f"/proc/{container['pid']}/mountinfo", len(paths))
    for entry in own["unmounted"]:
        text = f"device {entry['device']}, mounted at {entry['point']}"
        yield Exposure("block_device", entry["device"], text, f"/proc/{container['pid']}/mountinfo {entry['point']}", entry["device"])


def _comes_with(path: str, point: str, top: str, top_point: str) -> bool:
    """Return whether a path is below the path `top` of the host, and is mounted where the mount of `top` shows it."""
    return is_below(path, top) and point == join(top_point, path[len(top.rstrip("/")) :])


def _is_regular(mount: Mount, shared: Set[str], identifier: str) -> bool:
    """Return whether a mount is a file system of the kernel at its usual place.

    The namespace decides whose /proc, /sys or /dev/mqueue it is. In the host's namespace they are regular: the namespace is the exposure.
    A container with a namespace of its own got the host's /proc as a mount. shared: namespaces that are the host's.
    A container that mounts / of the host with all below also gets mounts of its own root, such as its own control group.
    """
    if mount.type == "nsfs":
        return True  # a namespace that the engine keeps, without files
    if mount.point == "/dev/shm":
        return mount.type == "tmpfs" and "ipc" in shared
    if mount.type in ("cgroup", "cgroup2"):
        if identifier in mount.root and not mount.writable:
            return True
        return is_below(mount.point, "/sys/fs/cgroup") and (not mount.writable or mount.root != "/")
    point, namespace = _OWN.get(mount.type, ("", ""))
    return bool(point) and is_below(mount.point, point) and namespace in shared


def _is_made_by_engine(
    container: Mapping[str, Any], mount: Mount, entry: Mapping[str, Any], about: Mapping[str, Any], others: Collection[str]
) -> bool:
    """Return whether the engine made this mount for this container: its own files, a volume, the init program, a node of a device.

    A container that joins the network or IPC namespace of another one has that one's files.
    """
    paths = entry["paths"]
    if entry["type"] == "device":
        return True  # exposures/devices.py judges it
    if mount.point in ("/sbin/docker-init", "/dev/init") and not mount.writable:
        return True
    files = [f"{root}/containers/{container['id']}/{name}" for root in about["data"] for name in _ENGINE_FILES]
    if mount.point in _JOINED:
        files += [f"{root}/containers/{identifier}/{_JOINED[mount.point]}" for root in about["data"] for identifier in others]
    volumes = [m["Source"] for m in container["inspect"]["Mounts"] if m.get("Type") == "volume" and m.get("Source")]
    # The first path is the most general one: of a volume that binds /etc, it is /etc.
    return any(is_below(paths[0], path) for path in files) or any(
        is_below(paths[0], volume) and is_below(volume, root) for volume in volumes for root in about["data"]
    )


def _list_kinds(mount: Mount, entry: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """Return the kinds of a mount, by all paths at which the host has its files; the engine's data only by the most general one."""
    paths = entry["paths"]
    system = "/run" in paths or any(any(touches(path, SYSTEM)) for path in paths)
    data = any(touches(paths[0], about["data"]))
    public = not mount.writable and (entry["public"] or any(is_below(paths[0], tree) for tree in PUBLIC))
    if not mount.writable and any(is_below(path, key) for path in paths for key in about["keys"]):
        return ["host_keys"]
    kinds = []
    if mount.writable and (system or data):
        kinds.append("host_system_writable")
    elif system and not public:
        kinds.append("host_system_readable")
    if data and not mount.writable:
        kinds.append("engine_data")
    if any(any(touches(path, about["keys"])) for path in paths):
        kinds.append("host_keys")
    return kinds or ["host_run" if any(is_below(path, "/run") for path in paths) else "host_files"]
