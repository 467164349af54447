# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts record, for tests: small instances with chosen values, and random hosts that only grow, as the recorder's counters do."""

from __future__ import annotations

import copy
import random
from typing import Any

DAY = 86400
# 2026-11-20T00:00:00Z
START = 1795132800.0
CALLS = ["read", "write", "openat", "socket", "clone", "futex", "bind", "statx", "epoll_pwait"]
PATHS = ["/etc/passwd", "/data/a", "/data/b", "/usr/lib/libc.so.6", "@{PROC}/@{pid}/status", "/var/log/x y"]


def make_call(
    name: str, count: int = 1, day: float = 0, last: float | None = None, abi: str = "x86_64", argument: int | None = None
) -> dict[str, Any]:
    first = START + day * DAY
    return {
        "name": name,
        "abi": abi,
        "argument": argument,
        "count": count,
        "first": first,
        "last": first if last is None else START + last * DAY,
    }


def make_access(path: str, mask: str = "r", day: float = 0, denied: bool = False, **keys: Any) -> dict[str, Any]:
    return {
        "class": "file",
        "path": path,
        "mask": mask,
        "owner": False,
        "denied": denied,
        "count": 1,
        "first": START + day * DAY,
        "last": START + day * DAY,
    } | keys


def make_instance(identifier: str = "1", name: str = "web", **values: Any) -> dict[str, Any]:
    events = {"starts": 1, "stops": 0, "execs": 0, "health_checks": 0, "restarts": 0, "oom": 0, "start_seen": True}
    events |= values.pop("events", {})
    return {
        "id": (identifier * 64)[:64],
        "engine": "",
        "name": name,
        "image": "nginx:1",
        "image_id": "sha256:" + "a" * 64,
        "labels": {},
        "running": True,
        "first": START,
        "last": START + DAY,
        "user": "",
        "seccomp": "builtin",
        "apparmor": "docker-default",
        "no_new_privileges": True,
        "userns": "remap",
        "read_only": False,
        "capabilities": ["cap_chown"],
        "networks": ["front"],
        "ports": ["8080:80/tcp"],
        "mounts": [{"destination": "/data", "type": "volume", "source": "data", "read_only": False}],
        "command": ["nginx", "--password=hunter2"],
        "events": events,
        "peaks": {"pids": 5, "memory": 1_000_000},
        "calls": [make_call("read", 10)],
        "denied_calls": [],
        "access": [],
        "written": [],
    } | values


def make_recorded(*instances: dict[str, Any], recorder: str = "0000000a", at: float = 1, since: float = 0, **host: Any) -> dict[str, Any]:
    """Return what a host returns. at, since: days after START."""
    return {
        "format": 1,
        "recorder": {"id": recorder, "since": START + since * DAY, "at": START + at * DAY, "boot_id": "b", "version": "v"},
        "host": {
            "kernel": "6.12.118+deb13-amd64",
            "machine": "x86_64",
            "engine": "26.1.5",
            "runtime": "runc 1.1.15",
            "libseccomp": "2.6.0",
            "apparmor_parser": "4.1.0",
            "lsm": ["apparmor"],
        }
        | host,
        "sources": {"calls": {"status": "recording", "reason": ""}, "access": {"status": "off", "reason": "it is switched off"}},
        "gaps": [],
        "instances": list(instances),
    }


def make_gap(kind: str, begin: float | None = None, end: float | None = None, source: str = "calls", **values: Any) -> dict[str, Any]:
    found = {"kind": kind, "source": source, "instance": None, "profile": None, "lost": None, "text": f"a gap: {kind}"}
    days = {"from": None if begin is None else START + begin * DAY, "to": None if end is None else START + end * DAY}
    return found | days | values


def make_random_history(source: random.Random, host: str) -> list[tuple[str, dict[str, Any]]]:
    """Return collections of a host in the order of time: counters grow, containers come and go, and a reboot begins a new recorder."""
    found: list[tuple[str, dict[str, Any]]] = []
    machine = source.choice(["x86_64", "aarch64"])
    day = 0.0
    for number in range(source.randint(1, 2)):
        since = day
        instances: list[dict[str, Any]] = []
        for unused in range(source.randint(1, 3)):
            day += source.choice([0.1, 1, 2.5])
            if not instances or source.random() < 0.4:
                image = source.choice("ab")
                fresh = make_instance(
                    f"{source.randrange(16**12):012x}", image_id=f"sha256:{image * 64}", first=START + day * DAY, calls=[], access=[]
                )
                instances.append(fresh)
            for instance in instances:
                instance["last"] = START + day * DAY
                instance["events"]["execs"] += source.randint(0, 2)
                instance["written"] = sorted({*instance["written"], source.choice(PATHS[1:3])})
                _grow(
                    source,
                    instance["calls"],
                    make_call(source.choice(CALLS), 1, day, abi=machine, argument=source.choice([None, 1, 2])),
                    day,
                )
                _grow(source, instance["denied_calls"], {**make_call("clone3", 1, day, abi=machine), "errno": 38}, day)
                _grow(source, instance["access"], make_access(source.choice(PATHS), source.choice(["r", "w"]), day), day)
            recorded = make_recorded(*instances, recorder=f"{number:08x}", at=day, since=since, machine=machine)
            recorded["gaps"] = [make_gap("not_armed", since, day)] if source.random() < 0.3 else []
            found.append((host, copy.deepcopy(recorded)))
    return found


def _grow(source: random.Random, entries: list[dict[str, Any]], entry: dict[str, Any], day: float) -> None:
    """Count an entry once more, or add it."""
    changing = ("count", "first", "last")
    for known in entries:
        if all(known.get(key) == value for key, value in entry.items() if key not in changing):
            known["count"] += source.randint(1, 9)
            known["last"] = START + day * DAY
            return
    entries.append(entry)
