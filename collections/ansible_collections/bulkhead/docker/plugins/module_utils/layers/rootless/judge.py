# SPDX-License-Identifier: GPL-3.0-or-later
"""Rootless engine: who owns the dockerd processes of this host, and in which user namespace they live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..verdict import DEGRADED, NOT_APPLICABLE, ContainerVerdict, Verdict

LAYER = "rootless"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Nothing in this collection sets up a rootless engine yet, so none is expected; one that is there is reported, since it was not looked into."""
    verdict = Verdict(LAYER, "no rootless engine is asked for")
    for daemon in evidence["observed"]["engine"]["daemons"]:
        verdict.saw(f"/proc/{daemon['pid']}/uid_map of dockerd, owned by uid {daemon['uid']}", daemon["uid_map"])
        if daemon["rootless"]:
            text = f"a rootless engine of uid {daemon['uid']} runs here (dockerd {daemon['pid']}); its containers were not looked into"
            verdict.find("not_examined", text, DEGRADED)
    return verdict.conclude(NOT_APPLICABLE)


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    verdict = ContainerVerdict(LAYER, "no rootless engine is asked for")
    return verdict.conclude(NOT_APPLICABLE)
