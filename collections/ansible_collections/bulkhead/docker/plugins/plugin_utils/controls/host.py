# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges section 1: the host. Pure."""

from __future__ import annotations

from ...module_utils.layers.audit_rules import rules
from ...module_utils.layers.audit_rules.kernel import parse_kernel
from .catalog import Control
from .verdict import NOT_APPLICABLE, UNKNOWN, ControlOutcome, Facts, MissingFact, build_evidence, decide

_LIST_RULES = "auditctl -l"


def judge_separate_mount(control: Control, facts: Facts) -> ControlOutcome:
    mount = facts.get("mount")
    good, bad = (
        f"{mount['path']} is on the file system of {mount['point']}",
        f"{mount['path']} has no file system of its own: it is on that of {mount['point']}",
    )
    return decide(mount["point"] != "/", good, bad, "/proc/1/mountinfo", f"{mount['point']} ({mount['type']})")


def judge_group_members(control: Control, facts: Facts) -> ControlOutcome:
    members = facts.get("members")
    if members is None:
        return ControlOutcome(NOT_APPLICABLE, "the host has no group docker", build_evidence("getent group docker", "nothing"))
    bad = f"members of group docker can become root: {', '.join(members)}"
    return decide(not members, "group docker has no members", bad, "getent group docker", ", ".join(members) or "no members")


def judge_audited(control: Control, facts: Facts) -> ControlOutcome:
    """Judge by the kernel's rules, as layer audit_rules does, also where that layer is disabled."""
    layers = facts.observed.get("layers", {})
    if rules.LAYER not in layers:
        raise MissingFact("the audit rules were not read")
    place = rules.list_places(facts.observed)[control.path]
    if not place.real:
        return ControlOutcome(NOT_APPLICABLE, f"{place.path} does not exist", build_evidence(f"ls -d {place.path}", "does not exist"))
    try:
        kernel = parse_kernel(layers[rules.LAYER])
    except ValueError as error:
        raise MissingFact(f"the kernel's audit rules are unknown: {error}") from error
    covering = rules.list_covering(kernel, place)
    shown = [f"{rule.path} {rule.permissions}" for rule in covering]
    if covering and not rules.is_covered(covering):
        permissions = "".join(sorted({letter for rule in covering for letter in rule.permissions}))
        bad = f"the audit rule of {place.path} has permissions {permissions}, and w and a are needed"
    else:
        bad = f"no audit rule in the kernel watches {place.path}"
    if rules.is_covered(covering) and not kernel.enabled:
        bad = f"a rule watches {place.path}, and the kernel's audit is off (enabled 0)"
    passes = rules.is_covered(covering) and kernel.enabled != 0
    return decide(passes, f"{shown[0] if shown else ''} is watched", bad, _LIST_RULES, shown or "no rule for it")


def judge_engine_version(control: Control, facts: Facts) -> ControlOutcome:
    """Judge the installed package by its sources, and the process by the program that is installed."""
    engine = facts.observed["engine"]
    if not engine["package"]:
        return ControlOutcome(UNKNOWN, "the engine is not from a Debian package, so no package source has its newest version")
    package = facts.get("package")
    source, value = f"apt-cache policy {engine['package']}", f"installed {package['installed']}, candidate {package['candidate']}"
    current = package["installed"] == package["candidate"]
    bad = f"{engine['package']} {package['installed']} is installed, and its package source has {package['candidate']}"
    return decide(current, f"{engine['package']} {package['installed']} is the newest that its sources have", bad, source, value)
