# SPDX-License-Identifier: GPL-3.0-or-later
"""What the desired seccomp profiles need on one host. Pure; runs on the control node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...seccomp import desired as desired_profiles
from ...seccomp.desired import LIST, SeccompProfile, resolve_sources
from ..verdict import DISABLED, Change, LayerPlan

__all__ = ["expectation", "plan", "resolve_sources"]

LAYER = "seccomp"
SWITCH = "seccomp_profiles_layer"
# Before, the engine takes no `flags` from a profile, and says nothing (moby 22.06: profiles/seccomp embeds specs.LinuxSeccomp).
KNOWS_FLAGS = 23


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """A change for each file that differs, is new or is no longer desired; `daemon_keys` names the daemon-wide profile.

    The file of a daemon-wide profile that is given up can only go after the engine was told: without it the engine would not start.
    Such files stand in `apply["retire"]`, for a handler at the play's end, and not in `apply["profiles"]`.
    """
    seen = observed["layers"][LAYER]
    planned = LayerPlan(LAYER, desired[SWITCH])
    disabled = planned.requirement == DISABLED
    listed = desired_profiles.SeccompProfiles() if disabled else desired_profiles.read_profiles(desired)
    planned.blockers += listed.blockers
    if seen["error"]:
        planned.blockers.append(seen["error"])
    reason = _explain_missing_support(observed, seen)
    if reason and not disabled:
        return planned.cannot(reason)
    if planned.blockers:
        return planned
    if listed.daemon_default:
        planned.daemon_keys = {"seccomp-profile": listed.daemon_default.path}
    steps = [step for profile in listed.profiles if (step := _plan_step(planned, observed, profile))]
    named = {profile.path for profile in listed.profiles}
    for path in sorted(set(seen["managed"]) - named):
        name = path.rpartition("/")[2].removesuffix(".json")
        step = _plan_step(planned, observed, SeccompProfile(name, path, "", "absent"))
        steps += [step] if step else []
    _warn_of_old_engine(planned, observed, listed)
    if steps:
        retired = [step for step in steps if step["state"] == "absent" and _is_named_by_engine(observed, step["path"])]
        planned.apply = {"profiles": [step for step in steps if step not in retired], "retire": retired}
    return planned


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """What verification demands: the daemon-wide profile with its text, and the files of all profiles."""
    requirement = desired[SWITCH]
    listed = desired_profiles.SeccompProfiles() if requirement == DISABLED else desired_profiles.read_profiles(desired)
    daemon = listed.daemon_default
    return {
        "requirement": requirement,
        "daemon_profile": {**_reference(daemon), "content": daemon.text} if daemon else None,
        "profiles": [_reference(profile) for profile in listed.profiles if profile.state == "present"],
    }


def _reference(profile: SeccompProfile) -> dict[str, str]:
    return {"name": profile.name, "path": profile.path, "sha256": profile.sha256}


def _explain_missing_support(observed: Mapping[str, Any], seen: Mapping[str, Any]) -> str | None:
    either = f"or write {SWITCH}: optional"
    if not seen["in_kernel"]:
        return f"this host's kernel has no seccomp filters (/proc/sys/kernel/seccomp is missing); boot one that has, {either}"
    options = observed["engine"].get("security_options")
    if options is not None and not any(option.split(",")[0] == "name=seccomp" for option in options):
        return f"this engine was built without seccomp (`docker info` does not list it); install another, {either}"
    return None


def _plan_step(planned: LayerPlan, observed: Mapping[str, Any], profile: SeccompProfile) -> dict[str, Any] | None:
    """One entry of the module's list, its change recorded in the plan; None when nothing is to be done."""
    seen = observed["layers"][LAYER]
    now, ours = seen["files"].get(profile.path), profile.path in seen["managed"]
    step = {"name": profile.name, "path": profile.path, "state": profile.state, "force": profile.force}
    if profile.state == "absent":
        if now is None and not ours:
            return None
        if not ours and not profile.force:
            planned.blockers.append(f"{profile.path}: is not ours to remove; take {profile.name} out of {LIST}, or write force: true there")
            return None
        later = ", once the engine no longer names it" if _is_named_by_engine(observed, profile.path) else ""
        planned.changes.append(Change(profile.path, f"remove {profile.name}, which is no longer desired{later}", _text(now)))
        return step
    reason = _describe_difference(now, profile)
    if not reason:
        return None
    if now is not None and not ours and not profile.force:
        planned.blockers.append(
            f"{profile.path}: is somebody else's and {reason}; give the profile another name in {LIST}, "
            "or write force: true there (a copy is then kept)"
        )
        return None
    if ours and now is not None and seen["managed"][profile.path]["sha256"] != now["sha256"]:
        planned.warnings.append(f"{profile.path} was changed by hand since we wrote it; it is put back")
    planned.changes.append(Change(profile.path, f"{profile.name} {reason}", _text(now), profile.text))
    return {**step, "content": profile.text, "permissive": profile.permissive}


def _describe_difference(now: Mapping[str, Any] | None, profile: SeccompProfile) -> str:
    """Why a file is not as desired, as the end of a sentence that begins with its name; empty when it is."""
    if now is None:
        return "is new"
    if now["error"]:
        return f"can't be read ({now['error']})"
    if now["sha256"] != profile.sha256:
        return "says something else"
    if now["mode"] & 0o022 or now["uid"] != 0:
        return "can be written by others than root"
    return ""


def _text(now: Mapping[str, Any] | None) -> str:
    return str(now.get("text", "")) if now else ""


def _is_named_by_engine(observed: Mapping[str, Any], path: str) -> bool:
    """Whether the engine would miss the file at its next start."""
    referenced = (observed.get("daemon_json") or {}).get("referenced", {}).get("seccomp-profile") or {}
    flag = ((observed.get("unit") or {}).get("flags") or {}).get("seccomp-profile")
    return path in (referenced.get("path"), flag)


def _warn_of_old_engine(planned: LayerPlan, observed: Mapping[str, Any], listed: desired_profiles.SeccompProfiles) -> None:
    version = re.match(r"\d+", str(observed["engine"].get("version") or ""))
    logging = [profile.name for profile in listed.profiles if profile.log]
    if version and int(version[0]) < KNOWS_FLAGS and logging:
        planned.warnings.append(
            f"{LIST}: log has no effect on this engine ({observed['engine']['version']}, it takes 23.0): {', '.join(logging)}"
        )
