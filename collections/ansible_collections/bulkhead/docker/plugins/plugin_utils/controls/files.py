# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges section 3: the engine's files, by the rules of layer `files`, also where that layer is disabled. Pure."""

from __future__ import annotations

from ...module_utils.layers.files import rules
from .catalog import Control
from .verdict import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, ControlOutcome, Facts


def judge_file_access(control: Control, facts: Facts) -> ControlOutcome:
    """Judge owner and group, or the mode, of all files of the kinds that the control is of."""
    observed = facts.observed
    ids, state = observed["layers"]["userns"], observed["layers"][rules.LAYER]
    about_owner = any(kind.owner_control == control.id for kind in rules.KINDS.values())
    kinds = {name for name, kind in rules.KINDS.items() if control.id in (kind.owner_control, kind.mode_control)}
    unread = [path for path, entry in state["files"].items() if "error" in entry and entry["kind"] in kinds]
    accesses = [
        access
        for access in rules.list_accesses(observed, facts.expect.get(rules.LAYER, {}).get("group") or rules.DEFAULT_GROUP)
        if access.kind in kinds
    ]
    evidence = [
        {"source": f"stat -L {access.path}", "value": rules.format_access(access.now, ids["uids"], ids["gids"])} for access in accesses
    ]
    wrong = [access for access in accesses if (not access.is_owned if about_owner else access.excess or access.state["acl"])]
    if wrong:
        part = "owner" if about_owner else "mode"
        names = [
            "files.acl" if not about_owner and access.state["acl"] and not access.excess else f"files.{access.kind}_{part}"
            for access in wrong
        ]
        findings = [{"container": "", "finding": name} for name in dict.fromkeys(names)]
        return ControlOutcome(FAIL, f"wrong {part}: {', '.join(access.path for access in wrong)}", evidence, findings)
    if unread:
        return ControlOutcome(UNKNOWN, f"owner and mode cannot be read: {', '.join(unread)}", evidence)
    if not accesses:
        return ControlOutcome(NOT_APPLICABLE, "the host has no such file")
    return ControlOutcome(PASS, f"as it should be: {', '.join(access.path for access in accesses)}", evidence)
