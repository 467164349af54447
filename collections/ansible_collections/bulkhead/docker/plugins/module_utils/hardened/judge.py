# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that the inventory describes (role hardened_container): each of its settings, as the kernel has it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..capabilities import decode_capabilities
from ..host.process import map_to_inside
from ..layers.verdict import ABSENT, DEGRADED, ENFORCED, UNKNOWN

Demand = dict[str, Any]


def judge(container: Mapping[str, Any], want: Mapping[str, Any], seccomp: Mapping[str, Any] | None = None) -> list[Demand]:
    """One entry a setting: `setting`, `status`, `expected`, `seen`, `source`. What could not be read is UNKNOWN.

    container: as `evidence` holds it, with `kernel.limits` (host/cgroup.py). want: hardened/settings.py, `expectation`.
    seccomp: this container's verdict of the layer seccomp, whose filter was compared with the profile that it was given.
    """
    kernel = container["kernel"]
    status = f"/proc/{kernel['pid']}/status"
    limits = kernel.get("limits") or {}
    return [
        _user(kernel, str(want["user"]), status),
        _equal("read_only", want["read_only"], kernel.get("root_read_only"), f"/proc/{kernel['pid']}/mountinfo /"),
        _capabilities(kernel, want["capabilities"], f"{status} CapBnd"),
        _equal("no_new_privileges", 1, kernel.get("no_new_privs"), f"{status} NoNewPrivs"),
        _seccomp(container, want["seccomp_profile"], want.get("seccomp_text"), seccomp, f"{status} Seccomp"),
        _apparmor(kernel, want["apparmor_profile"], f"/proc/{kernel['pid']}/attr/current"),
        _at_most("pids_limit", want["pids_limit"], kernel.get("pids"), (kernel.get("pids") or {}).get("source", "pids.max")),
        _at_most("memory", want["memory"], limits.get("memory.max"), limits.get("folder", "") + "/memory.max"),
        _at_most("swap", 0, limits.get("memory.swap.max"), limits.get("folder", "") + "/memory.swap.max"),
        _at_most("cpus", want["cpus"], limits.get("cpu.max"), limits.get("folder", "") + "/cpu.max"),
    ]


def lacking(demands: list[Demand]) -> list[str]:
    """Those that do not hold, as `setting (status)`."""
    return [f"{d['setting']} ({d['status']})" for d in demands if d["status"] != ENFORCED]


def _demand(setting: str, status: str, expected: Any, seen: Any, source: str) -> Demand:
    return {"setting": setting, "status": status, "expected": expected, "seen": seen, "source": source}


def _equal(setting: str, expected: Any, seen: Any, source: str) -> Demand:
    if seen is None:
        return _demand(setting, UNKNOWN, expected, None, source)
    # A stricter root than asked for is no fault.
    good = seen == expected or (setting == "read_only" and bool(seen))
    return _demand(setting, ENFORCED if good else ABSENT, expected, seen, source)


def _at_most(setting: str, expected: float, read: Mapping[str, Any] | None, source: str) -> Demand:
    """A limit of a control group: `max` is None for no limit; None instead of a mapping where it could not be read."""
    if read is None:
        return _demand(setting, UNKNOWN, expected, None, source)
    seen = read["max"]
    status = ABSENT if seen is None else ENFORCED if seen <= expected else DEGRADED
    return _demand(setting, status, expected, "max" if seen is None else seen, source)


def _user(kernel: Mapping[str, Any], user: str, source: str) -> Demand:
    outside = kernel.get("uid", [None])[0]
    inside = None if outside is None else map_to_inside(outside, kernel.get("uid_map", []))
    if inside is None:
        return _demand("user", UNKNOWN, user, None, f"{source} Uid")
    name = user.split(":")[0]
    good = inside == int(name) if name.isdigit() else inside != 0  # only the image knows the number of a name
    return _demand("user", ENFORCED if good else ABSENT, user, inside, f"{source} Uid, and uid_map")


def _capabilities(kernel: Mapping[str, Any], allowed: list[str], source: str) -> Demand:
    bits = kernel.get("cap", {}).get("bnd")
    if bits is None:
        return _demand("capabilities", UNKNOWN, allowed, None, source)
    held = decode_capabilities(bits)
    return _demand("capabilities", ENFORCED if set(held) <= set(allowed) else DEGRADED, allowed, held, source)


def _seccomp(container: Mapping[str, Any], profile: str, text: str | None, verdict: Mapping[str, Any] | None, source: str) -> Demand:
    mode = container["kernel"].get("seccomp")
    if mode is None:
        return _demand("seccomp_profile", UNKNOWN, profile, None, source)
    if mode != 2:
        return _demand("seccomp_profile", ABSENT, profile, f"Seccomp: {mode}", source)
    if not profile:
        return _demand("seccomp_profile", ENFORCED, "the host's default", "Seccomp: 2", source)
    given = [
        option for option in container["inspect"]["HostConfig"].get("SecurityOpt") or () if option.startswith(("seccomp=", "seccomp:"))
    ]
    if text is None or verdict is None or not container.get("seccomp_filter"):
        return _demand("seccomp_profile", UNKNOWN, profile, "its filter or its profile could not be read", source)
    if [_parsed(option[len("seccomp=") :]) for option in given] != [_parsed(text)]:
        return _demand("seccomp_profile", DEGRADED, profile, "another profile", "docker inspect HostConfig.SecurityOpt")
    wrong = [finding["text"] for finding in verdict["findings"] if finding["status"]]
    seen = "; ".join(wrong) or f"the kernel's filter is that of {profile}, call by call"
    return _demand("seccomp_profile", DEGRADED if wrong else ENFORCED, profile, seen, f"PTRACE_SECCOMP_GET_FILTER of {container['pid']}")


def _parsed(text: str) -> Any:
    """Profiles are compared by content: clients send them without blanks."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _apparmor(kernel: Mapping[str, Any], profile: str, source: str) -> Demand:
    if source in kernel.get("unreadable", {}):
        return _demand("apparmor_profile", UNKNOWN, profile, None, source)
    label = kernel.get("label")
    good = label == f"{profile} (enforce)" if profile else str(label).endswith("(enforce)")
    return _demand("apparmor_profile", ENFORCED if good else ABSENT, profile or "the host's default", label, source)
