# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges which files and sockets of the host a container has mounted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from .exposure import Exposure
from .kinds import KINDS, SEVERITIES
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
_ENGINE_FILES = ("resolv.conf", "hostname", "hosts", "mounts", "secrets")


def judge_host_files(container: Mapping[str, Any], own: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Exposure]:
    """Yield an exposure per mount. own: from `gather_container`. about: from `gather_host`."""
    shared = {
        name for state in container["states"] for name, inode in state["namespaces"].items() if inode == about["namespaces"].get(name)
    }
    reported: list[tuple[str, str, int]] = []
    for entry in own["mounts"]:
        mount: Mount = entry["mount"]
        source = f"/proc/{container['pid']}/mountinfo {mount.point}"
        access = "read and write" if mount.writable else "read"
        for socket in () if mount.root.endswith(DELETED) else entry["sockets"]:
            yield Exposure("engine_socket", socket, f"{socket} at {mount.point}", source, mount.root)
        if _is_regular(mount, shared) or _is_engines(container, entry, about):
            continue
        kind = _classify(entry, about)
        path, point = entry["paths"][0], mount.point
        # What is mounted on the host below a folder comes with it.
        if any(
            is_below(path, top) and point == join(at, path[len(top.rstrip("/")) :]) and _rank(kind) <= rank for top, at, rank in reported
        ):
            continue
        reported.append((path, point, _rank(kind)))
        if not entry["sockets"] or (entry["type"] != "socket" and path not in entry["sockets"]):
            yield Exposure(kind, path, f"{path} at {mount.point}, {access}", source, mount.root)
        if mount.shared:
            yield Exposure("shared_propagation", path, f"{path} at {mount.point}", source, "shared")
    for entry in own["unmounted"]:
        text = f"device {entry['device']}, mounted at {entry['point']}"
        yield Exposure("block_device", entry["device"], text, f"/proc/{container['pid']}/mountinfo {entry['point']}", entry["device"])


def _rank(kind: str) -> int:
    return SEVERITIES.index(KINDS[kind].severity)


def _is_regular(mount: Mount, shared: Set[str]) -> bool:
    """Return whether a mount is a file system of the kernel at its usual place.

    A namespace decides whose /proc, /sys or /dev/mqueue it is. With the host's namespace it is the host's, and the namespace is the exposure.
    A container with one of its own that has the host's /proc there got it as a mount. shared: namespaces that are the host's.
    """
    if mount.type == "nsfs":
        return True  # a namespace that the engine keeps, without files
    if mount.type in ("cgroup", "cgroup2"):
        return is_below(mount.point, "/sys/fs/cgroup") and (not mount.writable or mount.root != "/")
    point, namespace = _OWN.get(mount.type, ("", ""))
    return bool(point) and is_below(mount.point, point) and namespace in shared


def _is_engines(container: Mapping[str, Any], entry: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Return whether the engine made this mount for this container: its own files, a volume, the init program, a node of a device."""
    mount, paths = entry["mount"], entry["paths"]
    if entry["type"] == "device":
        return True  # exposures/devices.py judges it
    if mount.point in ("/sbin/docker-init", "/dev/init") and not mount.writable:
        return True
    files = [f"{root}/containers/{container['id']}/{name}" for root in about["data"] for name in _ENGINE_FILES]
    volumes = [m["Source"] for m in container["inspect"]["Mounts"] if m.get("Type") == "volume" and m.get("Source")]
    # The first path is the most general one: of a volume that binds /etc, it is /etc.
    return any(is_below(paths[0], path) for path in files) or any(
        is_below(paths[0], volume) and is_below(volume, root) for volume in volumes for root in about["data"]
    )


def _classify(entry: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return the kind: the most severe of all paths at which the host has these files."""
    mount, paths = entry["mount"], entry["paths"]
    system = any(True for path in paths for _tree in touches(path, SYSTEM)) or "/run" in paths
    data = any(True for path in paths for _tree in touches(path, about["data"]))
    public = not mount.writable and (entry["public"] or any(is_below(paths[0], tree) for tree in PUBLIC))
    if (system or data) and mount.writable:
        return "host_system_writable"
    if any(True for path in paths for _key in touches(path, about["keys"])):
        return "host_keys"
    if data:
        return "engine_data"
    if public:
        return "host_files"
    if system:
        return "host_system_readable"
    return "host_run" if any(is_below(path, "/run") for path in paths) else "host_files"
