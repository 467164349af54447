# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges seccomp by the kernel's filters and by profiles' texts. Pure, except that both are evaluated for the host's machine and kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...formatting import format_names
from ...seccomp.encoding import decode_filters
from ..states import judge_states, name_state
from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict
from .examine import System, examine_default, examine_filters, examine_probe, examine_profile, get_system, list_capabilities
from .logged import asks_for_logging, judge_logging, resolve_daemon_profile
from .options import is_opted_out, read_option

LAYER = __package__.rpartition(".")[2]
SHOWN = 12
# What of a comparison weakens the layer.
_WEAKER = ("surplus", "loosened", "abis", "abi_calls")
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
    desired = resolve_daemon_profile(expect.get("daemon_profile"), evidence["observed"]["engine"])
    what = f"{desired['name']}, call by call" if desired else "the engine's built-in profile, or a stricter one"
    verdict = Verdict(LAYER, f"a container without options filtered by {what}")
    own = examine_probe((evidence.get("layer_evidence") or {}).get(LAYER) or {}, evidence, desired)
    if desired:
        _judge_engine(verdict, evidence, desired)
        _judge_file(verdict, evidence, desired, own)
    probe = evidence.get("probe")
    if probe is None:
        verdict.add_finding("no_probe", "no probe ran, so the default filter of containers is unknown", UNKNOWN)
    elif _judge_mode(verdict, probe["kernel"], "a container without any option"):
        _judge_filters(verdict, own, probe["pid"], desired)
        _judge_logging(verdict, own, probe["pid"], desired)
        text = desired.get("content") or (own.get("file") or {}).get("text") if desired else None
        if own.get("builtin") and desired and text:
            _judge_default(verdict, examine_default(own, evidence, text), own["builtin"]["pid"], desired["name"])
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge a container by the seccomp mode of all its tasks, the text of its own profile, and by its filters if they were dumped.

    A container without an option relies on the engine's default, which the probe verifies.
    """
    verdict = ContainerVerdict(LAYER, "every process filtered by the kernel (Seccomp: 2), by a profile that denies dangerous calls")
    kernel, config = container["kernel"], container["inspect"]["HostConfig"]
    asked = read_option(config)
    verdict.opted_out = is_opted_out(config)
    if verdict.opted_out:
        judge_states(verdict, container, _judge_without_filter)
        if any(finding.id == f"{LAYER}.opted_out" for finding in verdict.findings):
            verdict.findings = [finding for finding in verdict.findings if finding.id != f"{LAYER}.own_filter"]
        return verdict.conclude()
    judge_states(verdict, container, _judge_mode)
    if kernel.get("seccomp") == 0:
        option = "a profile" if asked not in (None, "builtin") else "no seccomp option, which means the engine's default"
        verdict.disagreements.append(f"docker inspect reports {option}, but the kernel reports Seccomp: {kernel['seccomp']}")
    if not kernel.get("seccomp"):
        return verdict.conclude()
    if asked is None and ((evidence.get("probe") or {}).get("kernel") or {}).get("seccomp") == 0:
        verdict.add_finding(
            "default_unfiltered",
            f"the engine's default gives no filter, so that of container {container['name']} may be the program's own",
            UNKNOWN,
            "correct the engine's default, then restart the container",
        )
    capabilities = list_capabilities(kernel, config)
    if asked not in (None, "builtin"):
        _judge_profile(verdict, str(asked), get_system(evidence), capabilities, container["name"])
    if container.get("not_dumped"):
        text = f"the filter of container {container['name']} was not read: {container['not_dumped']}"
        verdict.add_finding("not_dumped", text)
    for state in (kernel, *(container.get("dumped_states") or ())):
        texts = container.get("seccomp_filter") if state is kernel else state["filters"]
        if texts:
            _judge_dump(verdict, container, state, texts, asked, capabilities, evidence, expect)
    return verdict.conclude()


def _judge_mode(verdict: Verdict, kernel: Mapping[str, Any], who: str) -> bool | None:
    """Return whether the process has a filter; None, with a finding, if that cannot be read."""
    mode = _read_mode(verdict, kernel, who)
    if mode == 0:
        remedy = "check that the daemon-wide profile is not empty ({} means no filter), and restart the container"
        verdict.add_finding("unfiltered", f"{who} runs without a seccomp filter", ABSENT, remedy)
    return None if mode is None else bool(mode)


def _judge_without_filter(verdict: Verdict, kernel: Mapping[str, Any], who: str) -> None:
    """Judge a process of a container that is configured to run without a filter."""
    mode, remedy = _read_mode(verdict, kernel, who), "run it without seccomp=unconfined and --privileged"
    if mode == 0:
        verdict.add_finding("opted_out", f"{who} is configured to run without a filter", ABSENT, remedy)
    elif mode is not None:
        text = f"{who} is configured to run without a filter; the one that it has does not count: the program installed it itself"
        verdict.add_finding("own_filter", text, ABSENT, remedy)


def _read_mode(verdict: Verdict, kernel: Mapping[str, Any], who: str) -> int | None:
    source, mode = f"/proc/{kernel.get('tid') or kernel['pid']}/status", kernel.get("seccomp")
    if mode is None:
        why = (kernel.get("unreadable") or {}).get(source) or "has no line Seccomp"
        verdict.add_finding("unreadable", f"it is unknown whether {who} has a filter: {source} {why}", UNKNOWN)
        return None
    count = kernel.get("seccomp_filters")
    verdict.add_evidence(source, f"Seccomp: {mode}" + (f", Seccomp_filters: {count}" if count else ""))
    return int(mode)


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
    repair = "run harden.yml --tags seccomp"
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
    _judge_never(verdict, own)


def _judge_logging(verdict: Verdict, own: Mapping[str, Any], pid: int, desired: Mapping[str, Any] | None) -> None:
    """Judge whether denials by the daemon-wide profile are logged, where that is desired."""
    if desired and desired["cannot_log"]:
        verdict.add_finding("cannot_log", f"denials by {desired['name']} are not logged, because {desired['cannot_log']}")
    elif desired and desired["logs"] and own.get("dumped") is not None:
        judge_logging(verdict, own["dumped"], pid, "a container without any option", desired["name"])


def _judge_default(verdict: Verdict, found: Mapping[str, Any], pid: int | None, name: str) -> None:
    """Add what the daemon-wide profile allows and the engine's built-in one denies: for a reason, or because it is older than the calls."""
    if found["error"]:
        verdict.add_finding("default_unread", f"{name} was not compared with the engine's built-in profile: {found['error']}")
        return
    counts = found["counts"]
    verdict.add_evidence(
        f"PTRACE_SECCOMP_GET_FILTER of {pid} (seccomp=builtin)", f"{counts['allowed']} allowed, {counts['conditional']} conditional"
    )
    newer = [call for call in found["weaker"] if call in NEWER_THAN_LIBSECCOMP]
    weaker = [call for call in found["weaker"] if call not in newer]
    if weaker:
        text = f"{name} allows calls that the engine's built-in profile denies: {format_names(weaker, SHOWN)}"
        verdict.add_finding("weaker_than_default", text, remedy="write those that no container needs into `deny` of the profile")
    if newer:
        text = f"{name} also allows newer calls, which the engine's built-in profile may not know: {format_names(newer, SHOWN)}"
        verdict.add_finding("newer_than_default", text)
    if found["unchecked"]:
        text = f"conditions of these calls were not compared with those of the engine's built-in profile: {format_names(found['unchecked'], SHOWN)}"
        verdict.add_finding("default_unread", text, remedy="simplify the conditions on arguments of these calls")


def _judge_never(verdict: Verdict, found: Mapping[str, Any], what: str = "the filter") -> None:
    """Add a finding on calls that no profile should allow, once."""
    if any(finding.id in (f"{LAYER}.wide_open", f"{LAYER}.allows_all") for finding in verdict.findings):
        return
    remedy = "deploy a profile, or use the engine's default"
    if found.get("open"):
        verdict.add_finding("allows_all", f"{what} allows every call, so it protects nothing", ABSENT, remedy)
    elif found["never"]:
        text = f"{what} allows calls that no profile should allow: {format_names(found['never'], SHOWN)}"
        verdict.add_finding("wide_open", text, DEGRADED, remedy)


def _judge_profile(verdict: Verdict, text: str, system: System, capabilities: set[str], name: str) -> None:
    """Judge the text of a container's own profile, as the engine reports it."""
    found = examine_profile(text, system, capabilities)
    if found["error"]:
        finding = f"it is unknown what the profile of container {name} allows: {found['error']}"
        verdict.add_finding("profile_unreadable", finding, UNKNOWN, "correct the profile, and start the container again")
        return
    verdict.add_evidence("docker inspect HostConfig.SecurityOpt", f"own profile, allows {found['allowed']} of {found['calls']} calls")
    _judge_never(verdict, found, f"the profile of container {name}")


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
        ("abi_calls", "the kernel allows calls of other ABIs that {} denies: {}"),
    ):
        if comparison[key]:
            verdict.add_finding(key, text.format(name, format_names(comparison[key], SHOWN)), DEGRADED, remedy)
    if comparison["unchecked"]:
        text = f"not compared with {name}, because their conditions are too many: {format_names(comparison['unchecked'], SHOWN)}"
        verdict.add_finding("not_compared", text, UNKNOWN, "simplify the conditions on arguments of these calls")
    if own_filters:
        return
    missing = sorted({*comparison["missing"], *comparison["tightened"]})
    unknown = [call for call in missing if call in NEWER_THAN_LIBSECCOMP]
    denied = [call for call in missing if call not in NEWER_THAN_LIBSECCOMP]
    if denied:
        verdict.add_finding("missing", f"the kernel denies calls that {name} allows: {format_names(denied, SHOWN)}", DEGRADED, remedy)
    if unknown and not denied and not any(comparison[key] for key in _WEAKER):
        verdict.add_finding("too_new", f"denied, because the engine's libseccomp does not know them: {format_names(unknown, SHOWN)}")


def _judge_dump(
    verdict: ContainerVerdict,
    container: Mapping[str, Any],
    state: Mapping[str, Any],
    texts: Sequence[str],
    asked: str | None,
    capabilities: set[str],
    evidence: Mapping[str, Any],
    expect: Mapping[str, Any],
) -> None:
    """Judge the dumped filters of a process, and compare them with the container's own profile or the daemon-wide one."""
    who, engine = name_state(container, state), evidence["observed"].get("engine") or {}
    daemon = resolve_daemon_profile(expect.get("daemon_profile"), engine) or {}
    own = asked not in (None, "builtin")
    text, name = (asked, "its own profile") if own else (None if asked else daemon.get("content"), daemon.get("name"))
    try:
        # `never` calls are reported for a container's own profile, which is not the inventory's.
        found = examine_filters(decode_filters(texts), get_system(evidence), capabilities, text, desired=not own)
    except ValueError as error:
        found = {"filters": None, "error": str(error)}
    if found["filters"] is None:
        verdict.add_finding("filter_unread", f"it is unknown what the filter of {who} allows: {found['error']}", UNKNOWN)
        return
    value, first = f"{len(found['filters'])} filter(s)", state is container["kernel"]
    origin = container.get("dumped_from") if first else None
    if origin:
        value += f" of container {origin['name']}, which has the same profile and capabilities"
    elif first and container.get("covers"):
        value += f"; the profile and capabilities are those of {format_names(container['covers'], SHOWN)} too"
    pid = origin["pid"] if origin else state.get("tid") or state["pid"]
    verdict.add_evidence(f"PTRACE_SECCOMP_GET_FILTER of {pid}", value)
    if found.get("comparison"):
        _judge_comparison(verdict, found["comparison"], str(name), own_filters=True)
    _judge_never(verdict, found, f"the filter of {who}")
    if asks_for_logging(text) if own else (not asked and daemon.get("logs")):
        judge_logging(verdict, texts, pid, who, str(name))


def _is_equal(comparison: Mapping[str, Any] | None) -> bool:
    """Return whether kernel and profile allow the same calls, except those that libseccomp does not know."""
    if comparison is None:
        return False
    differing = {call for key in (*_WEAKER, "unchecked", "missing", "tightened") for call in comparison[key]}
    return not differing - NEWER_THAN_LIBSECCOMP
