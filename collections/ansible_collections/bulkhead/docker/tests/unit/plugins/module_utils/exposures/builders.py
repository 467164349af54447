# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence on a container without any exposure, and on its host; tests change single parts."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.device_rules import DeviceRules, encode_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.gather import JUDGED, MASKED, READ_ONLY
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.judge import judge_exposures

from ...builders import ID, build_container, build_evidence

DEFAULT, ALL = 0xA80425FB, (1 << 41) - 1
HOST_NAMESPACES = {name: f"{name}:[1]" for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")}
ROOT = "/var/lib/docker/231072.231072"
# As the kernel shows it for a container of engine 26.1: masked paths are devices or empty folders, and five paths are read-only.
MOUNTINFO = """\
600 500 0:50 / / rw,relatime master:300 - overlay overlay rw
601 600 0:53 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
602 600 0:54 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
603 602 0:55 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw
604 600 0:56 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
605 604 0:28 /system.slice/docker-c.scope /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
606 602 0:52 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw
607 602 0:57 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
608 600 8:1 /var/lib/docker/231072.231072/containers/CID/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
609 601 0:53 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw
610 601 0:53 /fs /proc/fs ro,nosuid,nodev,noexec,relatime - proc proc rw
611 601 0:53 /irq /proc/irq ro,nosuid,nodev,noexec,relatime - proc proc rw
612 601 0:53 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
613 601 0:53 /sysrq-trigger /proc/sysrq-trigger ro,nosuid,nodev,noexec,relatime - proc proc rw
614 601 0:54 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
615 601 0:54 /null /proc/keys rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
616 604 0:58 / /sys/firmware ro,relatime - tmpfs tmpfs ro
""".replace("CID", ID)
HOST_MOUNTINFO = """\
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 28 0:21 / /proc rw,relatime shared:12 - proc proc rw
23 28 0:22 / /sys rw,relatime shared:7 - sysfs sysfs rw
24 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw
25 28 0:23 / /run rw,nosuid,nodev shared:11 - tmpfs tmpfs rw
27 26 0:24 / /dev/shm rw shared:3 - tmpfs tmpfs rw
26 28 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw
"""
KERNEL_PATHS = [path for path in (*MASKED, *READ_ONLY) if path not in ("/proc/acpi", "/proc/asound", "/proc/scsi", "/proc/sched_debug")]
KERNEL_PATHS = [path for path in KERNEL_PATHS if path not in ("/proc/latency_stats", "/proc/timer_stats", "/proc/timer_list")]


def build_state(pid: int = 7, **changes: Any) -> dict[str, Any]:
    """Return the state of a process in a user namespace of its own, with the engine's defaults."""
    namespaces = {**{name: f"{name}:[2]" for name in HOST_NAMESPACES}, "time": "time:[1]", **changes.pop("namespaces", {})}
    base: dict[str, Any] = {
        "pid": pid, "command": "sleep", "tasks": 1, "started": 900, "tracer": 0, "uid": [231072] * 4, "gid": [231072] * 4, "groups": [],
        "cap": {"inh": 0, "prm": DEFAULT, "eff": DEFAULT, "bnd": DEFAULT, "amb": 0}, "no_new_privs": 1, "seccomp": 2, "seccomp_filters": 1,
        "label": "docker-default (enforce)", "uid_map": [[0, 231072, 65536]], "gid_map": [[0, 231072, 65536]], "root_read_only": False,
        "unreadable": {}, "cgroup": "0::/system.slice/docker-c.scope", "cgroup_folder": "/sys/fs/cgroup/system.slice/docker-c.scope",
        "pids": {"max": 100, "source": "/sys/fs/cgroup/system.slice/docker-c.scope/pids.max"},
    }  # fmt: skip
    return {**base, "namespaces": namespaces, **changes}


def build_plain_container(*states: dict[str, Any], mountinfo: str = "", **changes: Any) -> dict[str, Any]:
    """Return the evidence on a container. mountinfo: lines in addition to the regular ones."""
    states = states or (build_state(),)
    base: dict[str, Any] = {
        "mountinfo": {states[0]["namespaces"]["mnt"]: MOUNTINFO + mountinfo}, "host_mountinfo": HOST_MOUNTINFO, "commands": ["sleep"],
        "exposed": {"mounts": [], "writable": [], "unmounted": [], "device_rules": encode_rules(DeviceRules("bpftool", ()))},
    }  # fmt: skip
    return build_container(*states, **{**base, **changes})


def build_about(**changes: Any) -> dict[str, Any]:
    """Return what `gather_host` returns. No device of the host is listed."""
    return {
        "namespace": HOST_NAMESPACES["mnt"],
        "sockets": [{"path": "/run/docker.sock", "device": "0:23", "root": "/docker.sock", "inode": (23, 5)}],
        "keys": ["/home/ann/.ssh", "/root/.ssh"],
        "kernel_paths": KERNEL_PATHS,
        "all_capabilities": ALL,
        "devices": (),
        "data": [ROOT, "/var/lib/docker", "/var/lib/containerd"],
        **changes,
    }


def judge(container: dict[str, Any], *others: dict[str, Any], default_pids: int | None = 100, **about: Any) -> dict[str, Any]:
    """Return the exposures of a container by their ID."""
    observed = {"system": {"namespaces": HOST_NAMESPACES}, "engine": {"pid": 600, "started_ticks": 500}}
    exposures = {key: value for key, value in build_about(**about).items() if key in JUDGED}
    evidence = build_evidence(observed, exposures=exposures, containers=[container, *others])
    container, evidence = json.loads(json.dumps([container, evidence]))  # as a host sends it
    return {exposure.id: exposure for exposure in judge_exposures(container, evidence, default_pids)}
