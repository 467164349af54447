# SPDX-License-Identifier: GPL-3.0-or-later
"""Capabilities: the most that a container's processes can have, from the bounding set in /proc/PID/status (man 7 capabilities)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...capabilities import ENGINE_DEFAULT, decode_capabilities
from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict

LAYER = "capabilities"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the engine's default by the probe."""
    verdict = Verdict(LAYER, "no more than the engine's 14 default capabilities for a container that adds none")
    probe = evidence.get("probe")
    if probe is None:
        return verdict.conclude(UNKNOWN)
    _judge_bounding_set(verdict, probe["kernel"], ENGINE_DEFAULT, "the probe")
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container by its bounding set."""
    config = container["inspect"]["HostConfig"]
    verdict = ContainerVerdict(LAYER, "no more than the engine's default capabilities")
    granted = _judge_bounding_set(verdict, container["kernel"], ENGINE_DEFAULT, f"container {container['name']}")
    verdict.opted_out = bool(config.get("Privileged")) or bool(config.get("CapAdd"))
    if granted is None:
        return verdict.conclude(UNKNOWN)
    requested = _get_requested(config)
    if requested is not None and granted - requested:
        verdict.disagreements.append(
            f"docker inspect grants {_join(requested)}, the kernel's bounding set also has {_join(granted - requested)}"
        )
        verdict.add_finding(
            "more_than_asked",
            f"container {container['name']} has {_join(granted - requested)}, which docker inspect does not show",
            DEGRADED,
        )
    return verdict.conclude()


def _judge_bounding_set(verdict: Verdict, kernel: Mapping[str, Any], allowed: frozenset[str], who: str) -> set[str] | None:
    bits = kernel.get("cap", {}).get("bnd")
    if bits is None:
        verdict.add_finding("unread", f"the capabilities of {who} could not be read", UNKNOWN)
        return None
    granted = set(decode_capabilities(bits))
    verdict.add_evidence(f"/proc/{kernel['pid']}/status CapBnd", f"{bits:016x}")
    verdict.add_evidence(f"/proc/{kernel['pid']}/status CapEff", f"{kernel['cap'].get('eff', 0):016x}")
    surplus = granted - allowed
    if surplus:
        status = ABSENT if "SYS_ADMIN" in surplus else DEGRADED
        verdict.add_finding(
            "surplus",
            f"{who} can get {_join(surplus)} beyond the engine's default",
            status,
            "remove `--cap-add` or `--privileged`, or accept it",
        )
    return granted


def _get_requested(config: Mapping[str, Any]) -> set[str] | None:
    """Return the capabilities that `docker inspect` shows; None if the container has all."""

    def plain(entries: Any) -> set[str]:
        return {entry.upper().removeprefix("CAP_") for entry in entries or ()}

    add, drop = plain(config.get("CapAdd")), plain(config.get("CapDrop"))
    if config.get("Privileged") or "ALL" in add:
        return None
    return (set() if "ALL" in drop else set(ENGINE_DEFAULT) - drop) | add


def _join(capabilities: set[str]) -> str:
    return ", ".join(sorted(capabilities)) or "none"
