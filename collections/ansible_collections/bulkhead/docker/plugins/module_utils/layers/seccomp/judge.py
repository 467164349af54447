# SPDX-License-Identifier: GPL-3.0-or-later
"""seccomp, judged by the filter that the kernel holds. Pure, but for filters that `deep` has brought along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict

LAYER = "seccomp"
SHOWN = 12
# Calls that libseccomp 2.5.4, the oldest on a supported engine, does not know: a filter made with it refuses them, whatever the
# profile says.
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
    desired = expect.get("daemon_profile")
    what = f"{desired['name']}, call by call" if desired else "the engine's built-in profile, or a stricter one"
    verdict = Verdict(LAYER, f"a container without options filtered by {what}")
    own = (evidence.get("layer_evidence") or {}).get(LAYER) or {}
    if desired:
        _judge_engine(verdict, evidence, desired)
        _judge_file(verdict, evidence, desired, own)
    probe = evidence.get("probe")
    if probe is None:
        verdict.find("no_probe", "no probe ran, so that the filter which containers get is not known", UNKNOWN)
    elif _judge_mode(verdict, probe["kernel"], "a container without any option"):
        _judge_filters(verdict, own, probe["pid"], desired)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    verdict = ContainerVerdict(LAYER, "filtered by the kernel (Seccomp: 2)")
    who, kernel, config = f"container {container['name']}", container["kernel"], container["inspect"]["HostConfig"]
    asked = _read_option(config)
    # A privileged container has no filter, unless it names a profile (moby daemon/seccomp_linux.go, WithSeccomp).
    verdict.opted_out = asked == "unconfined" or (asked is None and bool(config.get("Privileged")))
    filtered = _judge_mode(verdict, kernel, who, opted_out=verdict.opted_out)
    if filtered is None:
        return verdict.conclude()
    if not filtered and not verdict.opted_out:
        word = "a profile of its own" if asked not in (None, "builtin") else "no seccomp option, which means the engine's default"
        verdict.disagreements.append(f"docker inspect says {word}, the kernel says Seccomp: {kernel['seccomp']}")
    if filtered and verdict.opted_out:
        verdict.disagreements.append(
            "docker inspect says unconfined, the kernel shows a filter: the program's own, or that of an earlier start"
        )
    if filtered and container.get("seccomp_filter"):
        _judge_deep(verdict, container, asked, expect)
    return verdict.conclude()


def _judge_mode(verdict: Verdict, kernel: Mapping[str, Any], who: str, opted_out: bool = False) -> bool | None:
    """Whether the process is filtered at all; None, with a finding, when that could not be read."""
    source, mode = f"/proc/{kernel['pid']}/status", kernel.get("seccomp")
    if mode is None:
        why = (kernel.get("unreadable") or {}).get(source) or "has no line Seccomp"
        verdict.find("unreadable", f"whether {who} is filtered is not known: {source} {why}", UNKNOWN)
        return None
    verdict.saw(source, f"Seccomp: {mode}")
    if mode == 0 and opted_out:
        verdict.find("opted_out", f"{who} asked to run without a filter", ABSENT, "run it without seccomp=unconfined and --privileged")
    elif mode == 0:
        remedy = "see that the daemon-wide profile is not empty ({} means none), and restart the container"
        verdict.find("unfiltered", f"{who} runs without a seccomp filter", ABSENT, remedy)
    return bool(mode)


def _judge_engine(verdict: Verdict, evidence: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    """The running engine's word on its default profile. A path: read once, at its start."""
    options = evidence["observed"]["engine"].get("security_options")
    shown = next((o.partition("profile=")[2] for o in options or [] if o.startswith("name=seccomp") and "profile=" in o), None)
    if shown is None:
        return
    verdict.saw("docker info: SecurityOptions", f"seccomp profile {shown}")
    if shown != desired["path"]:
        word = "its built-in profile" if shown in ("builtin", "default") else shown
        verdict.find(
            "other_profile",
            f"the running engine takes {word} for containers without options, the inventory wants {desired['path']}",
            DEGRADED,
            "set seccomp-profile in daemon.json and restart the engine (role docker_daemon)",
        )


def _judge_file(verdict: Verdict, evidence: Mapping[str, Any], desired: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """The file on disk: what the engine will read at its next start, and whether that is what it has read."""
    file, path = own.get("file"), desired["path"]
    repair = "run the role seccomp_profiles again"
    if file is None or file["error"]:
        verdict.find("file_unreadable", f"{path} is not known: {file['error'] if file else 'it was not looked at'}", UNKNOWN)
        return
    if file["sha256"] is None:
        verdict.find("file_missing", f"{path} is missing: the engine that names it will not start again", DEGRADED, repair)
        return
    verdict.saw(f"sha256sum {path}", file["sha256"])
    if file["sha256"] != desired["sha256"]:
        verdict.find("file_differs", f"{path} is not what the inventory wants", DEGRADED, f"{repair}; --diff shows how it differs")
    started = evidence["observed"]["engine"].get("started_at")
    if started and file["mtime"] > started + 1:  # the start time of a process is known to about a second
        same = file["sha256"] == desired["sha256"] and _is_equal(own.get("comparison"))
        verdict.find(
            "file_newer",
            f"{path} was written after the engine started, which reads it only then"
            + (", but the kernel's filter agrees with it" if same else ""),
            None if same else DEGRADED,
            "restart the engine",
        )


def _judge_filters(verdict: Verdict, own: Mapping[str, Any], pid: int, desired: Mapping[str, Any] | None) -> None:
    if own.get("filters") is None:
        verdict.find(
            "filter_unread",
            f"what the filter of process {pid} lets through is not known: {own.get('error') or 'it was not read'}",
            UNKNOWN,
        )
        return
    verdict.saw(
        f"PTRACE_SECCOMP_GET_FILTER of {pid}", f"{len(own['filters'])} filter(s) of {', '.join(map(str, own['filters']))} instructions"
    )
    if own.get("profile_error"):
        verdict.find("profile_unreadable", f"there is nothing to compare the filter with: {own['profile_error']}", UNKNOWN)
    elif desired and own.get("comparison") is None:
        verdict.find("not_compared", "the filter was not compared with the profile, whose text is not known", UNKNOWN)
    if own.get("comparison"):
        _judge_comparison(verdict, own["comparison"], desired["name"] if desired else "its profile", own_filters=False)
    _judge_never(verdict, own["never"])


def _judge_never(verdict: Verdict, never: Sequence[str]) -> None:
    if never:
        verdict.find(
            "wide_open",
            f"the filter lets through what no profile should: {_shorten_list(never)}",
            DEGRADED,
            "deploy a profile, or the engine's own",
        )


def _judge_comparison(verdict: Verdict, comparison: Mapping[str, Any], name: str, own_filters: bool) -> None:
    """Surplus is a hole. What is missing shows that another profile is in force, but for calls that the engine's libseccomp cannot know.

    own_filters: the process may have filtered itself further, which is no fault.
    """
    counts = comparison["counts"]
    verdict.saw(
        "the kernel's filter, run for every system call", ", ".join(f"{number} {kind}" for kind, number in counts.items()), headline=True
    )
    remedy = "restart the engine, so that it reads the profile; then restart the container"
    for key, text in (
        ("surplus", "the kernel lets calls through that {} refuses: {}"),
        ("loosened", "the kernel lets calls through for arguments that {} refuses: {}"),
        ("abis", "the kernel lets calls of other ABIs through, which {} does not name: {}"),
    ):
        if comparison[key]:
            verdict.find(key, text.format(name, _shorten_list(comparison[key])), DEGRADED, remedy)
    if own_filters:
        return
    missing = sorted({*comparison["missing"], *comparison["tightened"]})
    unknown = [call for call in missing if call in NEWER_THAN_LIBSECCOMP]
    refused = [call for call in missing if call not in NEWER_THAN_LIBSECCOMP]
    if refused:
        verdict.find("missing", f"the kernel refuses calls that {name} allows: {_shorten_list(refused)}", DEGRADED, remedy)
    if unknown and not refused and not any(comparison[key] for key in ("surplus", "loosened", "abis")):
        verdict.find("too_new", f"refused, because this engine's libseccomp does not know them yet: {_shorten_list(unknown)}")


def _judge_deep(verdict: ContainerVerdict, container: Mapping[str, Any], asked: str | None, expect: Mapping[str, Any]) -> None:
    """A container's own filters, against the profile that it was given: its own, or the daemon-wide one."""
    from ...seccomp.dump import decode_filters
    from .gather import examine_filters

    daemon = expect.get("daemon_profile") or {}
    own = asked is not None and asked.startswith("{")
    text, name = (asked, "its own profile") if own else (daemon.get("content"), daemon.get("name"))
    if asked == "builtin":
        text = None
    try:
        # What a container's own profile allows is nobody's will but its own.
        seen = examine_filters(decode_filters(container["seccomp_filter"]), container["kernel"], text, desired=not own)
    except ValueError as error:
        seen = {"filters": None, "error": str(error)}
    if seen["filters"] is None:
        verdict.find(
            "filter_unread", f"what the filter of container {container['name']} lets through is not known: {seen['error']}", UNKNOWN
        )
        return
    verdict.saw(f"PTRACE_SECCOMP_GET_FILTER of {container['pid']}", f"{len(seen['filters'])} filter(s)")
    if seen.get("comparison"):
        _judge_comparison(verdict, seen["comparison"], str(name), own_filters=True)
    _judge_never(verdict, seen["never"])


def _read_option(config: Mapping[str, Any]) -> str | None:
    """What --security-opt says of seccomp: `unconfined`, `builtin`, or the text of a profile, which the client has read from its file."""
    for option in config.get("SecurityOpt") or []:
        key, unused, value = option.partition("=") if "=" in option.split(":")[0] else option.partition(":")
        if key == "seccomp":
            return str(value)
    return None


def _is_equal(comparison: Mapping[str, Any] | None) -> bool:
    """Whether the kernel lets through what the profile does; calls that libseccomp cannot know aside."""
    if comparison is None:
        return False
    differing = {call for key in ("surplus", "missing", "loosened", "tightened", "abis") for call in comparison[key]}
    return not differing - NEWER_THAN_LIBSECCOMP


def _shorten_list(calls: Sequence[str]) -> str:
    """The calls, or the first of many."""
    return ", ".join(calls) if len(calls) <= SHOWN else f"{', '.join(calls[:SHOWN])} and {len(calls) - SHOWN} more"
