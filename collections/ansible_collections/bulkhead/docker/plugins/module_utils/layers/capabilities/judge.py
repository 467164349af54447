# SPDX-License-Identifier: GPL-3.0-or-later
"""Capabilities: the most that a container's processes have or can get, from all sets in /proc/PID/status (man 7 capabilities)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...capabilities import ENGINE_DEFAULT, decode_capabilities, parse_names
from ..identity import find_host_namespace, is_nested
from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
# Field of /proc/PID/status by key of a state.
_SETS = {"bnd": "CapBnd", "eff": "CapEff", "prm": "CapPrm", "inh": "CapInh", "amb": "CapAmb"}


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the engine's default by the probe."""
    verdict = Verdict(LAYER, "no more than the engine's 14 default capabilities for a container that adds none")
    probe = evidence.get("probe")
    if probe is None:
        return verdict.conclude(UNKNOWN)
    _judge_sets(verdict, probe["kernel"], ENGINE_DEFAULT, "the probe")
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by the capability sets of its processes."""
    config, host = container["inspect"]["HostConfig"], find_host_namespace(evidence)
    verdict = ContainerVerdict(LAYER, "no more than the engine's default capabilities")
    verdict.opted_out = bool(config.get("Privileged")) or bool(config.get("CapAdd"))
    requested = _get_requested(config)

    def judge_state(own: Verdict, kernel: Mapping[str, Any], who: str) -> None:
        if is_nested(container, kernel, host):
            text = f"{who} is in a user namespace that the container's program made; its capabilities count only there"
            own.add_finding("nested", text)
            return
        granted = _judge_sets(own, kernel, ENGINE_DEFAULT, who)
        if granted is not None and requested is not None and granted - requested:
            own.add_finding("more_than_asked", f"{who} has {_join(granted - requested)}, which docker inspect does not show", DEGRADED)

    judge_states(verdict, container, judge_state)
    granted = _list_granted(container["kernel"])
    if granted is not None and requested is not None and granted - requested:
        is_bounding = granted - requested <= set(decode_capabilities(container["kernel"]["cap"]["bnd"]))
        sets = "bounding set also has" if is_bounding else "sets also have"
        verdict.disagreements.append(f"docker inspect grants {_join(requested)}, the kernel's {sets} {_join(granted - requested)}")
    return verdict.conclude()


def _list_granted(kernel: Mapping[str, Any]) -> set[str] | None:
    """Return the capabilities of all sets together; None without the bounding set."""
    sets = kernel.get("cap") or {}
    return None if sets.get("bnd") is None else {name for key in _SETS if sets.get(key) for name in decode_capabilities(sets[key])}


def _judge_sets(verdict: Verdict, kernel: Mapping[str, Any], allowed: frozenset[str], who: str) -> set[str] | None:
    """Judge all five sets: a process keeps what it has when the bounding set shrinks (man 7 capabilities)."""
    granted = _list_granted(kernel)
    if granted is None:
        verdict.add_finding("unread", f"the capabilities of {who} could not be read", UNKNOWN)
        return None
    sets = kernel["cap"]
    for key, field in _SETS.items():
        if sets.get(key) is not None:
            verdict.add_evidence(f"{get_proc_folder(kernel)}/status {field}", f"{sets[key]:016x}")
    surplus = granted - allowed
    if surplus:
        outside = surplus - set(decode_capabilities(sets["bnd"]))
        held = [field for key, field in _SETS.items() if sets.get(key) and outside & set(decode_capabilities(sets[key]))]
        beside = f" ({_join(outside)} only in {', '.join(held)})" if outside else ""
        verdict.add_finding(
            "surplus",
            f"{who} can get {_join(surplus)} beyond the engine's default{beside}",
            ABSENT if "SYS_ADMIN" in surplus else DEGRADED,
            "remove `--cap-add` or `--privileged`, or accept it",
        )
    return granted


def _get_requested(config: Mapping[str, Any]) -> set[str] | None:
    """Return the capabilities that `docker inspect` shows; None if the container has all."""
    add, drop = parse_names(config.get("CapAdd")), parse_names(config.get("CapDrop"))
    if config.get("Privileged") or "ALL" in add:
        return None
    return (set() if "ALL" in drop else set(ENGINE_DEFAULT) - drop) | add


def _join(capabilities: set[str]) -> str:
    return ", ".join(sorted(capabilities)) or "none"
