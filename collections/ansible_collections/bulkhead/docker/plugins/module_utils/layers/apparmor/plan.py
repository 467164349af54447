# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the AppArmor profiles of one host. Pure; control node only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ...apparmor import desired as desired_profiles
from ...apparmor import signals
from ...apparmor.changes import describe_processes, is_desired_mode, list_differences
from ...apparmor.desired import VARIABLE, AppArmorProfile, resolve_sources
from ...apparmor.policy import ENFORCING, GLOBAL_MODE
from ...apparmor.sources import COMPLAIN_LINK, FOLDER, PARSER_CONFIGURATION
from ...rootless.names import PROFILE
from ..registry import SWITCHES
from ..rootless import plan as rootless
from ..verdict import DISABLED, Change, Effect, LayerPlan
from .judge import describe_recording

__all__ = ["expectation", "plan", "resolve_sources"]

LAYER = __package__.rpartition(".")[2]
SWITCH = SWITCHES[LAYER]


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
        return planned.mark_unsupported(reason, SWITCH)
    if state.get("recording"):
        planned.notices.append(describe_recording(state["recording"]))
    stopping = {identifier[:12] for identifier in rootless.list_stopping_containers(observed, desired)}
    planned.warnings += _find_stopping_problems(observed, desired, listed.profiles)
    steps = [step for profile in listed.profiles if (step := _plan_step(planned, state, profile, stopping))]
    if not listed.blockers:  # an entry with a fault does not count as removed from the list
        dropped = sorted(set(state["managed"]) - {profile.name for profile in listed.profiles})
        steps += [step for name in dropped if (step := _plan_step(planned, state, AppArmorProfile(name, state="absent"), stopping))]
    if steps:
        planned.apply = {"profiles": steps}
    present = [profile for profile in listed.profiles if profile.state == "present"]
    if state.get("complain_option") and any(profile.mode == "enforce" for profile in present):
        planned.blockers.append(
            f"{PARSER_CONFIGURATION}: has the option Complain, with which no profile can be loaded in enforce mode; remove it there"
        )
    mode = (state.get("global_mode") or {}).get("value")
    if present and mode not in (None, *ENFORCING):
        planned.warnings.append(
            f"{GLOBAL_MODE} is {mode}, so that profiles deny nothing; write enforce there, and boot without apparmor.mode={mode}"
        )
    if present and state["at_boot"] is False:
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
        return "AppArmor is not active in the kernel; boot with lsm=…,apparmor"
    if not state.get("securityfs", True):
        return "securityfs is not mounted, so the policy can neither be read nor loaded; run `mount -t securityfs securityfs /sys/kernel/security`"
    if not state["parser"]:
        return "apparmor_parser does not exist; install the package apparmor"
    return None


def _find_stopping_problems(observed: Mapping[str, Any], desired: Mapping[str, Any], profiles: Iterable[AppArmorProfile]) -> list[str]:
    """Return a warning per profile under which containers of this host cannot be stopped as usual."""
    engine = observed.get("engine") or {}
    name = (engine.get("info") or {}).get("DefaultRuntime") or "runc"
    program = ((engine.get("runtimes") or {}).get(name) or {}).get("path") or name
    is_rootless, modes = bool(rootless.find_desired_user(desired)), set(observed["layers"][LAYER]["modes"])
    if is_rootless and rootless.needs_rootlesskit_profile(observed)[1]:
        modes.add(PROFILE)  # this run loads it
    runtime, dockerd = signals.list_labels(modes, program, is_rootless)
    found = []
    for profile in profiles:
        problem = signals.describe_stopping(signals.read_signal_policy(profile.content, profile.name), runtime, dockerd)
        if profile.state == "present" and problem:
            found.append(f"{profile.place}: profile {profile.name} {problem}; add '{signals.suggest_rule(runtime)}' to it")
    return found


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
        if problems := _find_hidden_flags(state, now, profile):
            planned.blockers += problems
            return None
        reasons = list_differences(now, profile.sha256, profile.mode)
        if not reasons:
            return None
        planned.changes.append(Change(profile.path, f"{name} {', '.join(reasons)}", _render_current(now), _render_desired(profile)))
        if users:
            planned.effects.append(Effect(f"the new policy of {name} applies at once to {describe_processes(users)}"))
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
            planned.effects.append(Effect(f"{name} is removed, so these become unconfined: {describe_processes(users)}"))
    step = {"name": name, "state": profile.state, "mode": profile.mode, "force": profile.force}
    return {**step, "content": profile.content} if profile.state == "present" else step


def _find_hidden_flags(state: Mapping[str, Any], now: Mapping[str, Any], profile: AppArmorProfile) -> list[str]:
    """Return a blocker per profile whose mode an included file sets: the policy is that of its file, and the mode is not that of its text."""
    if not now["current"] or now["sha256"] != profile.sha256 or COMPLAIN_LINK in now["links"] or profile.mode != "enforce":
        return []
    children = {name: mode for name, mode in state["modes"].items() if name.startswith(f"{profile.name}//")}
    return [
        f"profile {name} is loaded in {mode} mode because of a file that {profile.path} includes; remove the flag from that file"
        for name, mode in {profile.name: now["mode"], **children}.items()
        if mode is not None and not is_desired_mode(mode, profile.mode)
    ]


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
