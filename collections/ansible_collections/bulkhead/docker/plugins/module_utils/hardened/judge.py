# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges each setting of a container of hardened_container_list from the kernel's evidence. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..apparmor.labels import parse_label
from ..apparmor.policy import ENFORCING, GLOBAL_MODE
from ..capabilities import decode_capabilities
from ..layers.identity import is_nested, read_identity
from ..layers.pids_limit.settings import find_lowest_limit
from ..layers.states import get_proc_folder, list_states
from ..layers.verdict import ABSENT, DEGRADED, ENFORCED, SEVERITY, UNKNOWN

SettingVerdict = dict[str, Any]
# Name of a limit -> its line in /proc/PID/limits (Linux fs/proc/base.c: lnames).
ULIMIT_LABELS = {
    "core": "Max core file size", "cpu": "Max cpu time", "data": "Max data size", "fsize": "Max file size", "locks": "Max file locks",
    "memlock": "Max locked memory", "msgqueue": "Max msgqueue size", "nice": "Max nice priority", "nofile": "Max open files",
    "nproc": "Max processes", "rss": "Max resident set", "rtprio": "Max realtime priority", "rttime": "Max realtime timeout",
    "sigpending": "Max pending signals", "stack": "Max stack size",
}  # fmt: skip


def judge(
    container: Mapping[str, Any],
    required: Mapping[str, Any],
    seccomp: Mapping[str, Any] | None = None,
    apparmor: Mapping[str, Any] | None = None,
    host_namespace: str | None = None,
) -> list[SettingVerdict]:
    """Return one entry per setting: `setting`, `status`, `expected`, `seen`, `source`, and of the PIDs limit `peak`. A setting that could not be read
    is UNKNOWN.

    Every process of the container counts; the worst decides. container: from the evidence, with `kernel.limits` (host/cgroup.py).
    required: from `build_container_expectations`. seccomp, apparmor: this container's verdicts of those layers; seccomp's has compared the
    filter with the requested profile, apparmor's knows the mode of the whole kernel. host_namespace: the host's user namespace.
    """
    kernel = container["kernel"]
    status = f"/proc/{kernel['pid']}/status"
    limits = kernel.get("limits") or {}
    pids = find_lowest_limit(kernel["pids"]) if kernel.get("pids") else None
    states = list_states(container)
    with_capabilities = [state for state in states if not is_nested(container, state, host_namespace)]

    def find_worst(
        judge_state: Callable[[Mapping[str, Any], str], SettingVerdict], states: Sequence[Mapping[str, Any]] = states
    ) -> SettingVerdict:
        verdicts = [judge_state(state, get_proc_folder(state)) for state in states]
        return max(verdicts, key=lambda verdict: SEVERITY[verdict["status"]])  # of equals the first

    return [
        find_worst(lambda state, proc: _judge_user(state, kernel, str(required["user"]), f"{proc}/status")),
        find_worst(
            lambda state, proc: _judge_equal("read_only", required["read_only"], state.get("root_read_only"), f"{proc}/mountinfo /")
        ),
        find_worst(lambda state, proc: _judge_capabilities(state, required["capabilities"], f"{proc}/status"), with_capabilities),
        find_worst(lambda state, proc: _judge_equal("no_new_privileges", 1, state.get("no_new_privs"), f"{proc}/status NoNewPrivs")),
        _judge_seccomp(container, required["seccomp_profile"], container.get("seccomp_text"), seccomp, f"{status} Seccomp"),
        find_worst(lambda state, proc: _judge_apparmor(state, required["apparmor_profile"], f"{proc}/attr/current", apparmor)),
        {
            **_judge_limit("pids_limit", required["pids_limit"], pids, (pids or {}).get("source", "pids.max")),
            "peak": (kernel.get("pids") or {}).get("peak"),
        },
        _judge_limit("memory", required["memory"], limits.get("memory.max"), limits.get("folder", "") + "/memory.max"),
        _judge_limit("swap", 0, limits.get("memory.swap.max"), limits.get("folder", "") + "/memory.swap.max"),
        _judge_limit("cpus", required["cpus"], limits.get("cpu.max"), limits.get("folder", "") + "/cpu.max"),
        *(find_worst(partial(_judge_ulimit, name, pair)) for name, pair in (required.get("ulimits") or {}).items()),
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


def _judge_ulimit(name: str, pair: Sequence[int], state: Mapping[str, Any], proc: str) -> SettingVerdict:
    """Judge the hard limit: a program may set its soft one to any value up to that. rlimits: text of /proc/PID/limits (man 5 proc_pid_limits)."""
    setting, label, source = f"ulimits.{name}", f"{ULIMIT_LABELS[name]} ", f"{proc}/limits"
    rows = [line.removeprefix(label).split() for line in (state.get("rlimits") or "").splitlines() if line.startswith(label)]
    if not rows or len(rows[0]) < 2:
        return _build_verdict(setting, UNKNOWN, pair[1], None, source)
    seen = -1 if rows[0][1] == "unlimited" else int(rows[0][1])
    is_held = pair[1] == -1 or 0 <= seen <= pair[1]
    return _build_verdict(setting, ENFORCED if is_held else DEGRADED, pair[1], "unlimited" if seen == -1 else seen, source)


def _judge_user(kernel: Mapping[str, Any], mapped: Mapping[str, Any], user: str, source: str) -> SettingVerdict:
    """Judge all users and groups of a process. Only the image contains the ID of a name; a name must not be root's.

    mapped: the state whose maps count: that of the container's first process.
    """
    identity = read_identity(kernel, mapped)
    source = f"{source} Uid, Gid, Groups, and the ID maps"
    name, unused, group = user.partition(":")
    uids, gids = set(identity.uids.values()), {number for kind, number in identity.gids.items() if kind.endswith("GID")}
    seen: Any = identity.uids.get("real UID") if len(uids) == 1 else "; ".join(f"{kind} {number}" for kind, number in identity.uids.items())
    if any(number == 0 or (name.isdigit() and number != int(name)) for number in uids):
        return _build_verdict("user", ABSENT, user, seen, source)
    if identity.unknown or not uids:
        return _build_verdict("user", UNKNOWN, user, "; ".join(identity.unknown) or None, source)
    if identity.root_gids or (group.isdigit() and gids != {int(group)}):
        listed = ", ".join(f"{kind} {number}" if kind.endswith("GID") else kind for kind, number in identity.gids.items())
        return _build_verdict("user", DEGRADED, user, f"{seen} with {listed}", source)
    return _build_verdict("user", ENFORCED, user, seen, source)


def _judge_capabilities(kernel: Mapping[str, Any], allowed: list[str], source: str) -> SettingVerdict:
    """Judge all sets: a process keeps what it has when the bounding set shrinks (man 7 capabilities)."""
    sets = kernel.get("cap") or {}
    if sets.get("bnd") is None:
        return _build_verdict("capabilities", UNKNOWN, allowed, None, f"{source} CapBnd")
    held = sorted({name for bits in sets.values() if bits for name in decode_capabilities(bits)})
    return _build_verdict(
        "capabilities", ENFORCED if set(held) <= set(allowed) else DEGRADED, allowed, held, f"{source} {_name_sets(sets)}"
    )


def _name_sets(sets: Mapping[str, Any]) -> str:
    return ", ".join(f"Cap{key.capitalize()}" for key in ("bnd", "eff", "prm", "inh", "amb") if sets.get(key) is not None)


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


def _judge_apparmor(kernel: Mapping[str, Any], profile: str, source: str, verdict: Mapping[str, Any] | None) -> SettingVerdict:
    expected = profile or "the host's default"
    text = kernel.get("label")
    if any(unread.endswith("/attr/current") for unread in kernel.get("unreadable", {})):
        return _build_verdict("apparmor_profile", UNKNOWN, expected, None, source)
    try:
        label = parse_label(text) if text else None
    except ValueError:
        label = None
    good = label is not None and label.mode in ENFORCING and (not profile or profile in label.profiles)
    if not good:
        return _build_verdict("apparmor_profile", ABSENT, expected, text, source)
    for finding in (verdict or {}).get("findings", ()):
        if finding["id"] in ("apparmor.global_mode", "apparmor.global_mode_unread"):
            return _build_verdict("apparmor_profile", finding["status"], expected, finding["text"], GLOBAL_MODE)
    return _build_verdict("apparmor_profile", ENFORCED, expected, text, source)
