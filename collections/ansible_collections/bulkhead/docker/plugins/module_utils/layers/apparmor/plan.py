# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the AppArmor profiles of one host. Pure; control node only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ...apparmor import desired as desired_profiles
from ...apparmor.changes import describe_processes, list_differences
from ...apparmor.desired import VARIABLE, AppArmorProfile, resolve_sources
from ...apparmor.sources import COMPLAIN_LINK, FOLDER
from ..rootless import plan as rootless
from ..verdict import DISABLED, Change, LayerPlan

__all__ = ["expectation", "plan", "resolve_sources"]

LAYER = "apparmor"
SWITCH = "apparmor_profiles_layer"


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan a change per profile that differs, is new or is no longer desired; a blocker per fault or unmanaged profile."""
    state = observed["layers"][LAYER]
    planned = LayerPlan(LAYER, desired[SWITCH])
    listed = desired_profiles.read_apparmor_profiles([] if planned.requirement == DISABLED else desired[VARIABLE])
    planned.blockers += listed.blockers
    planned.warnings += listed.warnings
    if state["error"]:
        planned.blockers.append(f"the state of AppArmor cannot be read: {state['error']}")
        return planned
    reason = _explain_missing_support(state)
    if reason and planned.requirement != DISABLED:
        return planned.mark_unsupported(reason)
    stopping = {identifier[:12] for identifier in rootless.list_stopping_containers(observed, desired)}
    steps = [step for profile in listed.profiles if (step := _plan_step(planned, state, profile, stopping))]
    if not listed.blockers:  # an entry with a fault does not count as removed from the list
        dropped = sorted(set(state["managed"]) - {profile.name for profile in listed.profiles})
        steps += [step for name in dropped if (step := _plan_step(planned, state, AppArmorProfile(name, state="absent"), stopping))]
    if steps:
        planned.apply = {"profiles": steps}
    if any(profile.state == "present" for profile in listed.profiles) and state["at_boot"] is False:
        planned.warnings.append("apparmor.service is not enabled, so the next boot loads no profile; run `systemctl enable apparmor`")
    return planned


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: file, mode and SHA-256 of each profile."""
    requirement = desired[SWITCH]
    listed = desired_profiles.read_apparmor_profiles([] if requirement == DISABLED else desired[VARIABLE])
    return {
        "requirement": requirement,
        "profiles": [
            {"name": profile.name, "path": profile.path, "mode": profile.mode, "sha256": profile.sha256}
            for profile in listed.profiles
            if profile.state == "present"
        ],
    }


def _explain_missing_support(state: Mapping[str, Any]) -> str | None:
    if not state["enabled"]:
        return "AppArmor is not active in the kernel; boot with lsm=…,apparmor, or write apparmor_profiles_layer: optional"
    if not state.get("securityfs", True):
        return "securityfs is not mounted, so the policy can neither be read nor loaded; run `mount -t securityfs securityfs /sys/kernel/security`"
    if not state["parser"]:
        return "apparmor_parser does not exist; install the package apparmor, or write apparmor_profiles_layer: optional"
    return None


def _plan_step(planned: LayerPlan, state: Mapping[str, Any], profile: AppArmorProfile, stopping: Collection[str]) -> dict[str, Any] | None:
    """Return an entry for the module's list and add its change to the plan; None if nothing has to change.

    stopping: short IDs of containers that are stopped before profiles are removed.
    """
    name = profile.name
    now = state["managed"].get(name) or {
        "text": None,
        "sha256": state["files"].get(name),
        "links": state["links"].get(name, []),
        "mode": state["modes"].get(name),
        "current": None,
        "is_managed": False,
    }
    conflict = None if profile.force or now["is_managed"] else _explain_conflict(now, profile)
    if conflict:
        planned.blockers.append(conflict)
        return None
    users = [user for user in state["confined"].get(name, []) if profile.state == "present" or user["container"] not in stopping]
    if profile.state == "present":
        reasons = list_differences(now, profile.sha256, profile.mode)
        if not reasons:
            return None
        planned.changes.append(Change(profile.path, f"{name} {', '.join(reasons)}", _render_current(now), _render_desired(profile)))
        if users:
            planned.effects.append(f"the new policy of {name} applies at once to {describe_processes(users)}")
    else:
        if now["sha256"] is None and now["mode"] is None and not now["is_managed"]:
            return None
        if users and not profile.force:
            planned.blockers.append(
                f"profile {name} is no longer desired, but in use by {describe_processes(users)}, which would run unconfined without it; "
                f"stop them first, or write {{name: {name}, state: absent, force: true}} into {VARIABLE}"
            )
            return None
        planned.changes.append(Change(profile.path, f"{name} is no longer desired", _render_current(now)))
        if users:
            planned.effects.append(f"{name} is removed, so these become unconfined: {describe_processes(users)}")
    step = {"name": name, "state": profile.state, "mode": profile.mode, "force": profile.force}
    return {**step, "content": profile.content} if profile.state == "present" else step


def _explain_conflict(now: Mapping[str, Any], profile: AppArmorProfile) -> str | None:
    """Return why an unmanaged profile is not replaced or removed without force."""
    absent = profile.state == "absent"
    if now["sha256"] not in (None, None if absent else profile.sha256):
        problem = "is unmanaged and not removed" if absent else "is unmanaged and has another text"
        return f"{profile.path}: {problem}; choose another name in {VARIABLE}, or write force: true there (a copy is then kept)"
    if now["sha256"] is None and now["mode"] is not None:
        choice = f"choose another name in {VARIABLE}, or write force: true there"
        return f"profile {profile.name} is loaded, but not from {profile.path}; {choice}"
    return None


def _render_current(now: Mapping[str, Any]) -> str:
    """Return the current state for --diff: how the profile is loaded, then its text."""
    if now["sha256"] is None and now["mode"] is None:
        return ""
    state = f"loaded in {now['mode']} mode" if now["mode"] else "not loaded"
    if now["current"] is False:
        state += "; its policy differs from this file"
    return f"# {state}{_links(now['links'])}\n{now['text'] or ''}"


def _render_desired(profile: AppArmorProfile) -> str:
    return f"# loaded in {profile.mode} mode{_links([COMPLAIN_LINK] if profile.mode == 'complain' else [])}\n{profile.content}"


def _links(links: list[str]) -> str:
    return "".join(f", linked in {FOLDER}/{kind}" for kind in links)
