# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the seccomp profiles of one host. Pure; control node only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...host.root import sha256
from ...seccomp import desired as desired_profiles
from ...seccomp.check import SINCE, find_missing_calls
from ...seccomp.desired import LIST, LOG_DENIALS, SeccompProfile, resolve_sources
from ..registry import SWITCHES
from ..verdict import DISABLED, Change, LayerPlan
from .logged import FLAG, asks_for_logging, find_logging_obstacle

__all__ = ["expectation", "plan", "resolve_sources"]

LAYER = __package__.rpartition(".")[2]
SWITCH = SWITCHES[LAYER]


def plan(observed: Mapping[str, Any], desired: Mapping[str, Any]) -> LayerPlan:
    """Plan a change per file that differs, is new or is no longer desired; `daemon_keys` names the daemon-wide profile.

    An engine that names a missing file does not start. So a file that the engine still names is in `apply["retire"]`, for a handler at
    the end of the play, and not in `apply["profiles"]`.
    """
    state = observed["layers"][LAYER]
    planned = LayerPlan(LAYER, desired[SWITCH])
    disabled = planned.requirement == DISABLED
    listed = desired_profiles.SeccompProfiles() if disabled else desired_profiles.read_seccomp_profiles(desired)
    planned.blockers += listed.blockers
    if state["error"]:
        planned.blockers.append(state["error"])
    reason = _explain_missing_support(observed, state)
    if reason and not disabled:
        return planned.mark_unsupported(reason, SWITCH)
    if not planned.blockers:
        _judge_runtime(planned, observed, listed)
        _select_texts(planned, observed, listed)
    if planned.blockers:
        return planned
    if listed.daemon_default:
        planned.daemon_keys = {"seccomp-profile": listed.daemon_default.path}
    steps = [step for profile in listed.profiles if (step := _plan_step(planned, observed, profile))]
    named = {profile.path for profile in listed.profiles}
    for path in sorted(set(state["managed"]) - named):
        name = path.rpartition("/")[2].removesuffix(".json")
        step = _plan_step(planned, observed, SeccompProfile(name, path, "", "absent"))
        steps += [step] if step else []
    if steps:
        retired = [step for step in steps if step["state"] == "absent" and _is_named_by_engine(observed, step["path"])]
        planned.apply = {"profiles": [step for step in steps if step not in retired], "retire": retired}
    return planned


def expectation(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what verification expects: the daemon-wide profile with its text, and the files of all profiles."""
    requirement = desired[SWITCH]
    listed = desired_profiles.SeccompProfiles() if requirement == DISABLED else desired_profiles.read_seccomp_profiles(desired)
    daemon = listed.daemon_default
    return {
        "requirement": requirement,
        "daemon_profile": {**_reference(daemon), "content": daemon.text, **_describe_logging(daemon)} if daemon else None,
        "profiles": [_reference(profile) for profile in listed.profiles if profile.state == "present"],
    }


def _reference(profile: SeccompProfile) -> dict[str, str]:
    return {"name": profile.name, "path": profile.path, "sha256": profile.sha256}


def _describe_logging(profile: SeccompProfile) -> dict[str, str]:
    """Return `logging_sha256`, that of the file on a host that can log denials, if that is desired."""
    return {"logging_sha256": sha256(profile.logging)} if profile.logging else {}


def _explain_missing_support(observed: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    if not state["in_kernel"]:
        return "the kernel has no seccomp filters (/proc/sys/kernel/seccomp is missing); boot a kernel with CONFIG_SECCOMP_FILTER"
    options = observed["engine"].get("security_options")
    if options is not None and not any(option.split(",")[0] == "name=seccomp" for option in options):
        return "the engine was built without seccomp (`docker info` does not list it); install another engine"
    return None


def _plan_step(planned: LayerPlan, observed: Mapping[str, Any], profile: SeccompProfile) -> dict[str, Any] | None:
    """Return an entry for the module's list and add its change to the plan; None if nothing has to change."""
    state = observed["layers"][LAYER]
    now, is_managed = state["files"].get(profile.path), profile.path in state["managed"]
    step = {"name": profile.name, "path": profile.path, "state": profile.state, "force": profile.force}
    if profile.state == "absent":
        if now is None and not is_managed:
            return None
        if not is_managed and not profile.force:
            planned.blockers.append(
                f"{profile.path}: is unmanaged and not removed; remove {profile.name} from {LIST}, or write force: true there"
            )
            return None
        later = ", once the engine no longer names it" if _is_named_by_engine(observed, profile.path) else ""
        planned.changes.append(Change(profile.path, f"remove {profile.name}, which is no longer desired{later}", _text(now)))
        return step
    reason = _describe_difference(now, profile)
    if not reason:
        return None
    if now is not None and not is_managed and not profile.force:
        planned.blockers.append(
            f"{profile.path}: is unmanaged and {reason}; give the profile another name in {LIST}, "
            "or write force: true there (a copy is then kept)"
        )
        return None
    if is_managed and now is not None and state["managed"][profile.path]["sha256"] != now["sha256"]:
        planned.warnings.append(f"{profile.path} was changed by hand; the desired text is restored")
    planned.changes.append(Change(profile.path, f"{profile.name} {reason}", _text(now), profile.text))
    return {**step, "content": profile.text, "permissive": profile.permissive}


def _describe_difference(now: Mapping[str, Any] | None, profile: SeccompProfile) -> str:
    """Return why a file is not as desired, to follow its name in a sentence; empty if it is."""
    if now is None:
        return "is new"
    if now["error"]:
        return f"cannot be read ({now['error']})"
    if now["sha256"] != profile.sha256:
        if is_same_without_flags(_text(now), profile.text):
            return (
                "asks the kernel to log its denials" if asks_for_logging(profile.text) else "no longer asks the kernel to log its denials"
            )
        return "has another text"
    if now["mode"] & 0o022 or now["uid"] != 0:
        return "is writable by users other than root"
    return ""


def _text(now: Mapping[str, Any] | None) -> str:
    return str(now.get("text", "")) if now else ""


def _is_named_by_engine(observed: Mapping[str, Any], path: str) -> bool:
    """Return whether the engine needs the file at its next start."""
    referenced = (observed.get("daemon_json") or {}).get("referenced", {}).get("seccomp-profile") or {}
    flag = ((observed.get("unit") or {}).get("flags") or {}).get("seccomp-profile")
    return path in (referenced.get("path"), flag)


def is_same_without_flags(before: str, after: str) -> bool:
    """Return whether two texts are the same profile, apart from its flags. The text of an unmanaged file is not known."""
    try:
        first, second = json.loads(before), json.loads(after)
    except ValueError:
        return False
    return isinstance(first, dict) and isinstance(second, dict) and {**first, "flags": 0} == {**second, "flags": 0}


def _select_texts(planned: LayerPlan, observed: Mapping[str, Any], listed: desired_profiles.SeccompProfiles) -> None:
    """Make profiles log denials where that is desired, unless an obstacle of the host prevents it.

    A whole profile (`src`) stays as it is. If it asks for logging in spite of the obstacle, it gets a blocker or a warning.
    """
    obstacle = find_logging_obstacle(observed["engine"])
    asking = [profile.name for profile in listed.profiles if profile.logging]
    if obstacle and asking:
        planned.warnings.append(f"{LOG_DENIALS}: denials of {', '.join(asking)} will not be logged, because {obstacle.reason}")
    if not obstacle:
        listed.profiles = [replace(profile, text=profile.logging) if profile.logging else profile for profile in listed.profiles]
    for profile in listed.profiles:
        if obstacle and asks_for_logging(profile.text):
            text = f"{profile.place}: flags: {FLAG} is in the profile, and {obstacle.reason}"
            if obstacle.is_fatal:
                planned.blockers.append(f"{text}; no container would start: remove it from `flags`")
            else:
                planned.warnings.append(text)


def _judge_runtime(planned: LayerPlan, observed: Mapping[str, Any], listed: desired_profiles.SeccompProfiles) -> None:
    """Add a blocker or a warning per profile under which the host's version of runc starts no container. Other runtimes are not judged."""
    info = observed["engine"].get("info") or {}
    if (info.get("DefaultRuntime") or "runc") not in ("runc", "io.containerd.runc.v2"):
        return
    found = re.search(r"(?<![\w.])v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})", str((info.get("RuncCommit") or {}).get("ID") or ""))
    version = (int(found[1]), int(found[2]), int(found[3])) if found else None
    for profile in listed.profiles:
        needed, possible = find_missing_calls(profile.text, version) if profile.state == "present" else ([], [])
        remedy = "allow them (the building block `runc` contains them)"
        if needed and version:
            planned.blockers.append(
                f"{profile.place}: no container would start: runc {'.'.join(map(str, version))} needs {', '.join(needed)} after the filter is loaded; {remedy}"
            )
        elif possible:
            since = ", ".join(sorted({".".join(map(str, first)) for name in possible for first in SINCE[name]}))
            planned.warnings.append(
                f"{profile.place}: denies {', '.join(possible)}, which runc needs since {since}, and this host's version is not known; {remedy}"
            )
