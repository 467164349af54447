# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the user of a rootless engine and its subordinate ranges. Pure; runs on the control node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...engine.instance import Instance
from ...host.accounts import CONFIG
from ...subid.allocate import RangeRequest
from ...subid.decide import UserRequest, decide_ranges
from ...subid.mapping import parse_state
from ...subid.notes import add_notes
from ...subid.ranges import SUBGID, SUBUID
from ..userns.plan_known_ranges import choose_avoided, settle_start
from ..verdict import Change, LayerPlan

_DEFAULT_START = 296608  # rootless_docker_range_start


def plan_ranges(result: LayerPlan, observed: Mapping[str, Any], desired: Mapping[str, Any], instance: Instance) -> UserRequest:
    """Plan the user and its subordinate ranges, by the rules of role userns_remap."""
    here, seen = observed["layers"]["rootless"], parse_state(observed["layers"]["userns"])
    range_request = RangeRequest(
        instance.user,
        desired["rootless_docker_range_start"],
        desired["rootless_docker_range_size"],
        start_name="rootless_docker_range_start",
        newuidmap=True,
        avoid=choose_avoided(observed["layers"]["userns"], desired["rootless_docker_range_start"], _DEFAULT_START, False),
    )
    create = bool(desired.get("rootless_docker_create_user"))
    if instance.uid is None and not create:
        result.blockers.append(
            f"rootless_docker_user: the user {instance.user} does not exist on this host; create it, or set rootless_docker_create_user: true"
        )
    elif instance.uid == 0:
        result.blockers.append(f"rootless_docker_user: {instance.user} has the ID 0 on this host; write a user that is not root")
    request = UserRequest(range_request, create=create)
    accounts = seen.accounts
    if instance.uid is not None:  # found by the name services, also where only a directory service has the user
        accounts = replace(accounts, uids={**accounts.uids, instance.user: instance.uid})
    decision = decide_ranges([request], seen.subuid, seen.subgid, accounts, here["ranges"], add_notes)
    result.blockers += decision.errors
    result.notices += decision.notes
    if instance.uid is None:
        result.changes.append(Change("/etc/passwd", f"create user {instance.user} with the home {instance.home}", "", f"{instance.user}\n"))
    for path, before, after in ((SUBUID, seen.subuid, decision.subuid), (SUBGID, seen.subgid, decision.subgid)):
        if before.text() != after.text():
            new = sorted({line.text for line in after.ranges} - {line.text for line in before.ranges})
            result.changes.append(Change(path, f"{path}: add {', '.join(new)}", before.text(), after.text()))
            _block_useless_range(result, observed["layers"]["userns"], path, instance)
    if decision.subuid.text() != seen.subuid.text():
        return settle_start(result, observed["layers"]["userns"], request, decision)
    return request


def _block_useless_range(result: LayerPlan, userns: Mapping[str, Any], path: str, instance: Instance) -> None:
    """Block a range in a file that newuidmap does not read (man 5 subuid; shadow lib/nss.c, nss_init)."""
    source = next(iter(userns.get("subid_sources") or ()), "files")
    if source != "files":
        result.blockers.append(
            f"{CONFIG} names {source} for subid, so newuidmap ignores {path}; give {instance.user} a range in {source}, write the same into "
            f"{SUBUID} and {SUBGID}, or remove that line of {CONFIG}"
        )
