# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges section 1: the host. Pure."""

from __future__ import annotations

from .catalog import Control
from .verdict import NOT_APPLICABLE, UNKNOWN, Facts, Outcome, decide, show

_LIST_RULES = "auditctl -l"


def judge_separate_mount(control: Control, facts: Facts) -> Outcome:
    mount = facts.get("mount")
    good, bad = (
        f"{mount['path']} is on the file system of {mount['point']}",
        f"{mount['path']} is on the file system of {mount['point']}, with the host",
    )
    return decide(mount["point"] != "/", good, bad, "/proc/1/mountinfo", f"{mount['point']} ({mount['type']})")


def judge_group_members(control: Control, facts: Facts) -> Outcome:
    members = facts.get("members")
    if members is None:
        return Outcome(NOT_APPLICABLE, "the host has no group docker", show("getent group docker", "nothing"))
    bad = f"members of group docker can become root: {', '.join(members)}"
    return decide(not members, "group docker has no members", bad, "getent group docker", ", ".join(members) or "no members")


def judge_audited(control: Control, facts: Facts) -> Outcome:
    """Judge by the kernel's rules: one watches the path, or a folder above it, at least for writing and changes of attributes."""
    place = facts.get("paths")[control.path]
    if not place["exists"]:
        return Outcome(NOT_APPLICABLE, f"{place['path']} does not exist", show(f"ls -d {place['path']}", "does not exist"))
    names = {place["path"], place["real"]}
    covering = [watch for watch in facts.get("watches") if any(_covers(watch, name) for name in names)]
    permissions = set().union(*(watch["permissions"] for watch in covering))
    shown = [f"{watch['path']} {watch['permissions']}" for watch in covering]
    if covering and not {"w", "a"} <= permissions:
        bad = f"the audit rule of {place['path']} has permissions {''.join(sorted(permissions))}, and w and a are needed"
    else:
        bad = f"no audit rule in the kernel watches {place['path']}"
    return decide({"w", "a"} <= permissions, f"{shown[0] if shown else ''} is watched", bad, _LIST_RULES, shown or "no rule for it")


def judge_engine_version(control: Control, facts: Facts) -> Outcome:
    """Judge the installed package by its sources, and the process by the program that is installed."""
    engine = facts.observed["engine"]
    if not engine["package"]:
        return Outcome(UNKNOWN, "the engine is not from a Debian package, so no package source has its newest version")
    package = facts.get("package")
    source, value = f"apt-cache policy {engine['package']}", f"installed {package['installed']}, candidate {package['candidate']}"
    current = package["installed"] == package["candidate"]
    bad = f"{engine['package']} {package['installed']} is installed, and its package source has {package['candidate']}"
    return decide(current, f"{engine['package']} {package['installed']} is the newest that its sources have", bad, source, value)


def _covers(watch: dict[str, object], path: str) -> bool:
    watched = str(watch["path"]).rstrip("/")
    return path == watched or (bool(watch["folder"]) and path.startswith(f"{watched}/"))
