# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges each setting of a container of hardened_container_list from the kernel's evidence. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..capabilities import decode_capabilities
from ..host.process_status import map_to_inside
from ..layers.verdict import ABSENT, DEGRADED, ENFORCED, UNKNOWN

SettingVerdict = dict[str, Any]


def judge(container: Mapping[str, Any], required: Mapping[str, Any], seccomp: Mapping[str, Any] | None = None) -> list[SettingVerdict]:
    """Return one entry per setting: `setting`, `status`, `expected`, `seen`, `source`. A setting that could not be read is UNKNOWN.

    container: from the evidence, with `kernel.limits` (host/cgroup.py). required: from `build_container_expectations`.
    seccomp: this container's verdict of layer seccomp, which compared the filter with the requested profile.
    """
    kernel = container["kernel"]
    status = f"/proc/{kernel['pid']}/status"
    limits = kernel.get("limits") or {}
    return [
        _judge_user(kernel, str(required["user"]), status),
        _judge_equal("read_only", required["read_only"], kernel.get("root_read_only"), f"/proc/{kernel['pid']}/mountinfo /"),
        _judge_capabilities(kernel, required["capabilities"], f"{status} CapBnd"),
        _judge_equal("no_new_privileges", 1, kernel.get("no_new_privs"), f"{status} NoNewPrivs"),
        _judge_seccomp(container, required["seccomp_profile"], required.get("seccomp_text"), seccomp, f"{status} Seccomp"),
        _judge_apparmor(kernel, required["apparmor_profile"], f"/proc/{kernel['pid']}/attr/current"),
        _judge_limit("pids_limit", required["pids_limit"], kernel.get("pids"), (kernel.get("pids") or {}).get("source", "pids.max")),
        _judge_limit("memory", required["memory"], limits.get("memory.max"), limits.get("folder", "") + "/memory.max"),
        _judge_limit("swap", 0, limits.get("memory.swap.max"), limits.get("folder", "") + "/memory.swap.max"),
        _judge_limit("cpus", required["cpus"], limits.get("cpu.max"), limits.get("folder", "") + "/cpu.max"),
    ]


def list_unenforced_settings(verdicts: list[SettingVerdict]) -> list[str]:
    """Return the settings that are not enforced, as `setting (status)`."""
    return [f"{verdict['setting']} ({verdict['status']})" for verdict in verdicts if verdict["status"] != ENFORCED]


def _build_verdict(setting: str, status: str, expected: Any, seen: Any, source: str) -> SettingVerdict:
    return {"setting": setting, "status": status, "expected": expected, "seen": seen, "source": source}


def _judge_equal(setting: str, expected: Any, seen: Any, source: str) -> SettingVerdict:
    if seen is None:
        return _build_verdict(setting, UNKNOWN, expected, None, source)
    # A read-only root that was not requested is stricter, and accepted.
    good = seen == expected or (setting == "read_only" and bool(seen))
    return _build_verdict(setting, ENFORCED if good else ABSENT, expected, seen, source)


def _judge_limit(setting: str, expected: float, read: Mapping[str, Any] | None, source: str) -> SettingVerdict:
    """Judge a limit of a control group. read: `max`, which is None without a limit; None if the limit could not be read."""
    if read is None:
        return _build_verdict(setting, UNKNOWN, expected, None, source)
    seen = read["max"]
    status = ABSENT if seen is None else ENFORCED if seen <= expected else DEGRADED
    return _build_verdict(setting, status, expected, "max" if seen is None else seen, source)


def _judge_user(kernel: Mapping[str, Any], user: str, source: str) -> SettingVerdict:
    outside = kernel.get("uid", [None])[0]
    inside = None if outside is None else map_to_inside(outside, kernel.get("uid_map", []))
    if inside is None:
        return _build_verdict("user", UNKNOWN, user, None, f"{source} Uid")
    name = user.split(":")[0]
    good = inside == int(name) if name.isdigit() else inside != 0  # only the image contains the ID of a name
    return _build_verdict("user", ENFORCED if good else ABSENT, user, inside, f"{source} Uid, and uid_map")


def _judge_capabilities(kernel: Mapping[str, Any], allowed: list[str], source: str) -> SettingVerdict:
    bits = kernel.get("cap", {}).get("bnd")
    if bits is None:
        return _build_verdict("capabilities", UNKNOWN, allowed, None, source)
    held = decode_capabilities(bits)
    return _build_verdict("capabilities", ENFORCED if set(held) <= set(allowed) else DEGRADED, allowed, held, source)


def _judge_seccomp(
    container: Mapping[str, Any], profile: str, text: str | None, verdict: Mapping[str, Any] | None, source: str
) -> SettingVerdict:
    mode = container["kernel"].get("seccomp")
    if mode is None:
        return _build_verdict("seccomp_profile", UNKNOWN, profile, None, source)
    if mode != 2:
        return _build_verdict("seccomp_profile", ABSENT, profile, f"Seccomp: {mode}", source)
    if not profile:
        return _build_verdict("seccomp_profile", ENFORCED, "the host's default", "Seccomp: 2", source)
    given = [
        option for option in container["inspect"]["HostConfig"].get("SecurityOpt") or () if option.startswith(("seccomp=", "seccomp:"))
    ]
    if text is None or verdict is None or not container.get("seccomp_filter"):
        return _build_verdict("seccomp_profile", UNKNOWN, profile, "its filter or its profile could not be read", source)
    if [_parse_profile(option[len("seccomp=") :]) for option in given] != [_parse_profile(text)]:
        return _build_verdict("seccomp_profile", DEGRADED, profile, "another profile", "docker inspect HostConfig.SecurityOpt")
    wrong = [finding["text"] for finding in verdict["findings"] if finding["status"]]
    seen = "; ".join(wrong) or f"the kernel's filter is that of {profile}, call by call"
    return _build_verdict(
        "seccomp_profile", DEGRADED if wrong else ENFORCED, profile, seen, f"PTRACE_SECCOMP_GET_FILTER of {container['pid']}"
    )


def _parse_profile(text: str) -> Any:
    """Return the content of a profile, by which profiles are compared: clients send them without blanks."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _judge_apparmor(kernel: Mapping[str, Any], profile: str, source: str) -> SettingVerdict:
    if source in kernel.get("unreadable", {}):
        return _build_verdict("apparmor_profile", UNKNOWN, profile, None, source)
    label = kernel.get("label")
    good = label == f"{profile} (enforce)" if profile else str(label).endswith("(enforce)")
    return _build_verdict("apparmor_profile", ENFORCED if good else ABSENT, profile or "the host's default", label, source)
