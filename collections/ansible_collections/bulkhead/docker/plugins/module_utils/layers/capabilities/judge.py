# SPDX-License-Identifier: GPL-3.0-or-later
"""Capabilities: what a container's processes may ever hold, from the bounding set in /proc/PID/status (man 7 capabilities)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...capabilities import ENGINE_DEFAULT, decode_capabilities
from ..verdict import ABSENT, DEGRADED, UNKNOWN, ContainerVerdict, Verdict

LAYER = "capabilities"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    verdict = Verdict(LAYER, "no more than the engine's 14 default capabilities for a container that adds none")
    probe = evidence.get("probe")
    if probe is None:
        return verdict.conclude(UNKNOWN)
    _look(verdict, probe["kernel"], ENGINE_DEFAULT, "the probe")
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    config = container["inspect"]["HostConfig"]
    verdict = ContainerVerdict(LAYER, "no more than the engine's default capabilities")
    held = _look(verdict, container["kernel"], ENGINE_DEFAULT, f"container {container['name']}")
    verdict.opted_out = bool(config.get("Privileged")) or bool(config.get("CapAdd"))
    if held is None:
        return verdict.conclude(UNKNOWN)
    asked = _asked(config)
    if asked is not None and held - asked:
        verdict.disagreements.append(f"docker inspect grants {_list(asked)}, the kernel's bounding set holds {_list(held - asked)} besides")
        verdict.find(
            "more_than_asked", f"container {container['name']} holds {_list(held - asked)}, which docker inspect does not show", DEGRADED
        )
    return verdict.conclude()


def _look(verdict: Verdict, kernel: Mapping[str, Any], allowed: frozenset[str], who: str) -> set[str] | None:
    bits = kernel.get("cap", {}).get("bnd")
    if bits is None:
        verdict.find("unread", f"the capabilities of {who} could not be read", UNKNOWN)
        return None
    held = set(decode_capabilities(bits))
    verdict.saw(f"/proc/{kernel['pid']}/status CapBnd", f"{bits:016x}")
    verdict.saw(f"/proc/{kernel['pid']}/status CapEff", f"{kernel['cap'].get('eff', 0):016x}")
    surplus = held - allowed
    if surplus:
        status = ABSENT if "SYS_ADMIN" in surplus else DEGRADED
        verdict.find(
            "surplus",
            f"{who} may hold {_list(surplus)} beyond the engine's default",
            status,
            "drop `--cap-add`/`--privileged`, or accept it knowingly",
        )
    return held


def _asked(config: Mapping[str, Any]) -> set[str] | None:
    """What `docker inspect` says the container holds; None where it was given everything."""

    def plain(entries: Any) -> set[str]:
        return {entry.upper().removeprefix("CAP_") for entry in entries or ()}

    add, drop = plain(config.get("CapAdd")), plain(config.get("CapDrop"))
    if config.get("Privileged") or "ALL" in add:
        return None
    return (set() if "ALL" in drop else set(ENGINE_DEFAULT) - drop) | add


def _list(capabilities: set[str]) -> str:
    return ", ".join(sorted(capabilities)) or "none"
