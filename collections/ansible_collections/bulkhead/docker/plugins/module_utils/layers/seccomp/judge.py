# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges seccomp by the kernel's filters. Pure, except that `deep` evidence is compared on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict

LAYER = "seccomp"
SHOWN = 12
# Calls that libseccomp 2.5.4, the oldest on a supported engine, does not know. Its filters deny them even if the profile allows them.
NEWER_THAN_LIBSECCOMP = frozenset(
    [
        "cachestat",
        "fchmodat2",
        "file_getattr",
        "file_setattr",
        "futex_requeue",
        "futex_wait",
        "futex_wake",
        "getxattrat",
        "listmount",
        "listns",
        "listxattrat",
        "lsm_get_self_attr",
        "lsm_list_modules",
        "lsm_set_self_attr",
        "map_shadow_stack",
        "mseal",
        "open_tree_attr",
        "removexattrat",
        "riscv_hwprobe",
        "rseq_slice_yield",
        "setxattrat",
        "statmount",
        "uprobe",
        "uretprobe",
    ]
)


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the daemon-wide profile by the probe's filters, the file and what the engine reports."""
    desired = expect.get("daemon_profile")
    what = f"{desired['name']}, call by call" if desired else "the engine's built-in profile, or a stricter one"
    verdict = Verdict(LAYER, f"a container without options filtered by {what}")
    own = (evidence.get("layer_evidence") or {}).get(LAYER) or {}
    if desired:
        _judge_engine(verdict, evidence, desired)
        _judge_file(verdict, evidence, desired, own)
    probe = evidence.get("probe")
    if probe is None:
        verdict.add_finding("no_probe", "no probe ran, so the default filter of containers is unknown", UNKNOWN)
    elif _judge_mode(verdict, probe["kernel"], "a container without any option"):
        _judge_filters(verdict, own, probe["pid"], desired)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge a container by its seccomp mode, and with `deep` evidence by its filters."""
    verdict = ContainerVerdict(LAYER, "filtered by the kernel (Seccomp: 2)")
    who, kernel, config = f"container {container['name']}", container["kernel"], container["inspect"]["HostConfig"]
    asked = _read_option(config)
    # A privileged container has no filter, unless it names a profile (moby daemon/seccomp_linux.go, WithSeccomp).
    verdict.opted_out = asked == "unconfined" or (asked is None and bool(config.get("Privileged")))
    filtered = _judge_mode(verdict, kernel, who, opted_out=verdict.opted_out)
    if filtered is None:
        return verdict.conclude()
    if not filtered and not verdict.opted_out:
        option = "a profile" if asked not in (None, "builtin") else "no seccomp option, which means the engine's default"
        verdict.disagreements.append(f"docker inspect reports {option}, but the kernel reports Seccomp: {kernel['seccomp']}")
    if filtered and verdict.opted_out:
        verdict.disagreements.append(
            "docker inspect reports unconfined, but the kernel has a filter: the program's own, or that of an earlier start"
        )
    if filtered and container.get("seccomp_filter"):
        _judge_deep(verdict, container, asked, expect)
    return verdict.conclude()


def _judge_mode(verdict: Verdict, kernel: Mapping[str, Any], who: str, opted_out: bool = False) -> bool | None:
    """Return whether the process has a filter; None, with a finding, if that cannot be read."""
    source, mode = f"/proc/{kernel['pid']}/status", kernel.get("seccomp")
    if mode is None:
        why = (kernel.get("unreadable") or {}).get(source) or "has no line Seccomp"
        verdict.add_finding("unreadable", f"it is unknown whether {who} has a filter: {source} {why}", UNKNOWN)
        return None
    verdict.add_evidence(source, f"Seccomp: {mode}")
    if mode == 0 and opted_out:
        verdict.add_finding(
            "opted_out", f"{who} is configured to run without a filter", ABSENT, "run it without seccomp=unconfined and --privileged"
        )
    elif mode == 0:
        remedy = "check that the daemon-wide profile is not empty ({} means no filter), and restart the container"
        verdict.add_finding("unfiltered", f"{who} runs without a seccomp filter", ABSENT, remedy)
    return bool(mode)


def _judge_engine(verdict: Verdict, evidence: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """Judge the default profile that the engine reports. It reads the file only at its start."""
    options = evidence["observed"]["engine"].get("security_options")
    shown = next((o.partition("profile=")[2] for o in options or [] if o.startswith("name=seccomp") and "profile=" in o), None)
    if shown is None:
        return
    verdict.add_evidence("docker info: SecurityOptions", f"seccomp profile {shown}")
    if shown != desired["path"]:
        used = "its built-in profile" if shown in ("builtin", "default") else shown
        verdict.add_finding(
            "other_profile",
            f"the running engine uses {used} for containers without options instead of {desired['path']}",
            DEGRADED,
            "set seccomp-profile in daemon.json and restart the engine (role docker_daemon)",
        )


def _judge_file(verdict: Verdict, evidence: Mapping[str, Any], desired: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Judge the file: what the engine reads at its next start, and whether it has read the same."""
    file, path = own.get("file"), desired["path"]
    repair = "run the role seccomp_profiles again"
    if file is None or file["error"]:
        verdict.add_finding("file_unreadable", f"the content of {path} is unknown: {file['error'] if file else 'it was not read'}", UNKNOWN)
        return
    if file["sha256"] is None:
        verdict.add_finding("file_missing", f"{path} does not exist, so the engine that names it cannot start again", DEGRADED, repair)
        return
    verdict.add_evidence(f"sha256sum {path}", file["sha256"])
    if file["sha256"] != desired["sha256"]:
        verdict.add_finding("file_differs", f"{path} differs from the desired text", DEGRADED, f"{repair}; --diff shows how it differs")
    started = evidence["observed"]["engine"].get("started_at")
    if started and file["mtime"] > started + 1:  # the start time of a process is known to about a second
        same = file["sha256"] == desired["sha256"] and _is_equal(own.get("comparison"))
        verdict.add_finding(
            "file_newer",
            f"{path} was written after the start of the engine, which reads it only then"
            + (", but the kernel's filter agrees with the file" if same else ""),
            None if same else DEGRADED,
            "restart the engine",
        )


def _judge_filters(verdict: Verdict, own: Mapping[str, Any], pid: int, desired: Mapping[str, Any] | None) -> None:
    if own.get("filters") is None:
        verdict.add_finding(
            "filter_unread",
            f"it is unknown what the filter of process {pid} allows: {own.get('error') or 'it was not read'}",
            UNKNOWN,
        )
        return
    verdict.add_evidence(
        f"PTRACE_SECCOMP_GET_FILTER of {pid}", f"{len(own['filters'])} filter(s) of {', '.join(map(str, own['filters']))} instructions"
    )
    if own.get("profile_error"):
        verdict.add_finding("profile_unreadable", f"the filter cannot be compared with the profile: {own['profile_error']}", UNKNOWN)
    elif desired and own.get("comparison") is None:
        verdict.add_finding("not_compared", "the filter was not compared with the profile, whose text is unknown", UNKNOWN)
    if own.get("comparison"):
        _judge_comparison(verdict, own["comparison"], desired["name"] if desired else "its profile", own_filters=False)
    _judge_never(verdict, own["never"])


def _judge_never(verdict: Verdict, never: Sequence[str]) -> None:
    if never:
        verdict.add_finding(
            "wide_open",
            f"the filter allows calls that no profile should allow: {_shorten_list(never)}",
            DEGRADED,
            "deploy a profile, or use the engine's default",
        )


def _judge_comparison(verdict: Verdict, comparison: Mapping[str, Any], name: str, own_filters: bool) -> None:
    """Judge how the filters differ from a profile. Surplus calls weaken the layer; missing calls show that another profile is in force,
    except those that the engine's libseccomp does not know.

    own_filters: the process may have added filters of its own, so missing calls are accepted.
    """
    counts = comparison["counts"]
    verdict.add_evidence(
        "the kernel's filter, run for every system call", ", ".join(f"{number} {kind}" for kind, number in counts.items()), headline=True
    )
    remedy = "restart the engine, so that it reads the profile; then restart the container"
    for key, text in (
        ("surplus", "the kernel allows calls that {} denies: {}"),
        ("loosened", "the kernel allows calls with arguments that {} denies: {}"),
        ("abis", "the kernel allows calls of other ABIs, which {} does not name: {}"),
    ):
        if comparison[key]:
            verdict.add_finding(key, text.format(name, _shorten_list(comparison[key])), DEGRADED, remedy)
    if own_filters:
        return
    missing = sorted({*comparison["missing"], *comparison["tightened"]})
    unknown = [call for call in missing if call in NEWER_THAN_LIBSECCOMP]
    denied = [call for call in missing if call not in NEWER_THAN_LIBSECCOMP]
    if denied:
        verdict.add_finding("missing", f"the kernel denies calls that {name} allows: {_shorten_list(denied)}", DEGRADED, remedy)
    if unknown and not denied and not any(comparison[key] for key in ("surplus", "loosened", "abis")):
        verdict.add_finding("too_new", f"denied, because the engine's libseccomp does not know them: {_shorten_list(unknown)}")


def _judge_deep(verdict: ContainerVerdict, container: Mapping[str, Any], asked: str | None, expect: Mapping[str, Any]) -> None:
    """Compare a container's filters with its own profile or the daemon-wide one."""
    from ...seccomp.dump import decode_filters
    from .gather import examine_filters

    daemon = expect.get("daemon_profile") or {}
    own = asked is not None and asked.startswith("{")
    text, name = (asked, "its own profile") if own else (daemon.get("content"), daemon.get("name"))
    if asked == "builtin":
        text = None
    try:
        # `never` calls are reported for a container's own profile, which is not the inventory's.
        evidence = examine_filters(decode_filters(container["seccomp_filter"]), container["kernel"], text, desired=not own)
    except ValueError as error:
        evidence = {"filters": None, "error": str(error)}
    if evidence["filters"] is None:
        verdict.add_finding(
            "filter_unread", f"it is unknown what the filter of container {container['name']} allows: {evidence['error']}", UNKNOWN
        )
        return
    verdict.add_evidence(f"PTRACE_SECCOMP_GET_FILTER of {container['pid']}", f"{len(evidence['filters'])} filter(s)")
    if evidence.get("comparison"):
        _judge_comparison(verdict, evidence["comparison"], str(name), own_filters=True)
    _judge_never(verdict, evidence["never"])


def _read_option(config: Mapping[str, Any]) -> str | None:
    """Return the seccomp value of --security-opt: `unconfined`, `builtin`, or the text of a profile, which the client read from a file."""
    for option in config.get("SecurityOpt") or []:
        key, unused, value = option.partition("=") if "=" in option.split(":")[0] else option.partition(":")
        if key == "seccomp":
            return str(value)
    return None


def _is_equal(comparison: Mapping[str, Any] | None) -> bool:
    """Return whether kernel and profile allow the same calls, except those that libseccomp does not know."""
    if comparison is None:
        return False
    differing = {call for key in ("surplus", "missing", "loosened", "tightened", "abis") for call in comparison[key]}
    return not differing - NEWER_THAN_LIBSECCOMP


def _shorten_list(calls: Sequence[str]) -> str:
    """Join the calls; only the first of many."""
    return ", ".join(calls) if len(calls) <= SHOWN else f"{', '.join(calls[:SHOWN])} and {len(calls) - SHOWN} more"
