# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges AppArmor by labels (/proc/PID/attr/current) and by the kernel's hash of its policy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...apparmor.changes import is_desired_mode
from ...apparmor.labels import Label, parse_label
from ...apparmor.policy import ENFORCING, GLOBAL_MODE, SECURITYFS
from ...apparmor.sources import COMPLAIN_LINK, DISABLE_LINK, FOLDER
from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, DEGRADED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
_REMEDIES = {
    "opted_out": "run it without apparmor=unconfined and --privileged",
    "unconfined": "check that docker info lists name=apparmor, and restart the container",
}


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the probe's label and the kernel's policy of each desired profile."""
    profiles = expect.get("profiles", [])
    names = ", ".join(f"{p['name']} ({p['mode']})" for p in profiles)
    listed = f"; loaded as desired: {names}" if names else ""
    verdict = Verdict(LAYER, f"a container without options confined in enforce mode{listed}")
    state = evidence["observed"]["layers"][LAYER]
    verdict.add_evidence("/sys/module/apparmor/parameters/enabled", "Y" if state["enabled"] else "N")
    if not state["enabled"]:
        if expect.get("requirement") == OPTIONAL:
            verdict.add_finding("not_in_kernel", "AppArmor is not active in the kernel; it is optional on this host")
            return verdict.conclude(NOT_APPLICABLE)
        verdict.add_finding("not_in_kernel", "AppArmor is not active in the kernel", ABSENT, "boot with lsm=…,apparmor")
        return verdict.conclude()
    _judge_global_mode(verdict, state)
    if not state.get("securityfs", True):
        text = f"{SECURITYFS} does not exist, because securityfs is not mounted: the kernel's policy cannot be read"
        verdict.add_finding("securityfs", text, UNKNOWN, "mount -t securityfs securityfs /sys/kernel/security")
    if state.get("recording"):
        verdict.add_finding("recording", describe_recording(state["recording"]))
    _judge_probe(verdict, evidence.get("probe"), state)
    own = evidence.get("layer_evidence", {}).get(LAYER) or {"profiles": {}, "error": "it was not read"}
    for profile in profiles:
        _judge_profile(verdict, profile, own["profiles"].get(profile["name"]), own["error"])
    if profiles and state["at_boot"] is False:
        verdict.add_finding(
            "not_at_boot", "apparmor.service is not enabled, so no profile is loaded at boot", DEGRADED, "systemctl enable apparmor"
        )
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge a container by the labels of its processes."""
    verdict = ContainerVerdict(LAYER, "confined by an AppArmor profile in enforce mode")
    state = evidence["observed"]["layers"][LAYER]
    if not state["enabled"]:
        return verdict.conclude(NOT_APPLICABLE if expect.get("requirement") == OPTIONAL else ABSENT)
    config = container["inspect"]["HostConfig"]
    asked = _read_option(config)
    verdict.opted_out = asked == "unconfined" or (asked is None and bool(config.get("Privileged")))
    unconfined = "opted_out" if verdict.opted_out else "unconfined"
    judge_states(verdict, container, lambda own, kernel, who: _judge_label(own, kernel, who, unconfined, state))
    _judge_global_mode(verdict, state)
    label = _parse(container["kernel"].get("label"))
    if label is None:
        return verdict.conclude()
    words = {"HostConfig.SecurityOpt": asked, "AppArmorProfile": container["inspect"].get("AppArmorProfile") or None}
    shown = label.name if label.is_confined else "unconfined"
    for key, word in words.items():
        # A label that is stacked on X satisfies `docker run --security-opt apparmor=X`.
        if word is not None and word != shown and not (label.is_confined and word in label.profiles):
            verdict.disagreements.append(
                f"docker inspect reports {key} {word}, but the kernel's label of the process is {_format_label(label)}"
            )
    if verdict.disagreements and label.is_confined and asked not in (None, "unconfined"):
        verdict.add_finding("other_profile", f"container {container['name']} asked for {asked} and runs under {label.name}", DEGRADED)
    return verdict.conclude()


def _judge_global_mode(verdict: Verdict, state: Mapping[str, Any]) -> None:
    """Judge the mode that applies to all profiles of the kernel, whatever their labels say."""
    read = state.get("global_mode") or {}
    if read.get("error"):
        verdict.add_finding("global_mode_unread", f"{GLOBAL_MODE} cannot be read: {read['error']}", UNKNOWN)
    mode = read.get("value")
    if mode is None:
        return
    verdict.add_evidence(GLOBAL_MODE, mode)
    if mode not in ENFORCING:
        effect = "every profile only logs" if mode == "complain" else "whether profiles deny anything is not certain"
        remedy = f"echo enforce > {GLOBAL_MODE}, and boot without apparmor.mode={mode}"
        verdict.add_finding("global_mode", f"{GLOBAL_MODE} is {mode}: {effect}", DEGRADED, remedy)


def _judge_probe(verdict: Verdict, probe: Mapping[str, Any] | None, state: Mapping[str, Any]) -> None:
    if probe is None:
        verdict.add_finding("no_probe", "no probe ran, so the host's default is unknown", UNKNOWN)
    else:
        _judge_label(verdict, probe["kernel"], "a container without any option", "unconfined", state)


def _parse(text: str | None) -> Label | None:
    try:
        return parse_label(text) if text else None
    except ValueError:
        return None


def _judge_label(verdict: Verdict, kernel: Mapping[str, Any], who: str, unconfined: str, state: Mapping[str, Any]) -> None:
    """Judge a process's label; what cannot be read is a finding. unconfined: ID of the finding if it is unconfined."""
    source = f"{get_proc_folder(kernel)}/attr/current"
    text = kernel.get("label")
    label = _parse(text)
    if label is None:
        unreadable = kernel.get("unreadable", {})
        why = (
            unreadable.get(source)
            or unreadable.get(f"/proc/{kernel['pid']}/attr/current")
            or (f"contains {text!r}" if text else "is empty")
        )
        verdict.add_finding("label_unreadable", f"the AppArmor label of {who} is unknown: {source} {why}", UNKNOWN)
        return
    verdict.add_evidence(source, text, headline=True)
    if not label.is_confined:
        verdict.add_finding(unconfined, f"{who} is confined by no AppArmor profile ({_format_label(label)})", ABSENT, _REMEDIES[unconfined])
    elif label.mode not in ENFORCING:
        _judge_mode(verdict, label, who, state.get("modes") or {})


def list_part_modes(label: Label, modes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the profiles of a label with their modes; those that a mixed stack does not show are taken from `modes` (policy.read_modes).

    The kernel writes a namespace only before the first of consecutive profiles in it (security/apparmor/label.c, aa_profile_snxprint). A
    profile whose mode is not known for certain has the mode `unknown`.
    """
    found, namespace = [], ""
    for name, mode in label.parts:
        match = re.match(r":[^:]*:(//)?", name)
        namespace = match[0] if match else namespace
        candidates = {modes[full] for full in (name, name if match else namespace + name) if full in modes}
        found.append((name, mode or (candidates.pop() if len(candidates) == 1 else "unknown")))
    return found


def _judge_mode(verdict: Verdict, label: Label, who: str, modes: Mapping[str, str]) -> None:
    """Judge a label that does not enforce as a whole. A stack allows what all of its profiles allow, so that one in enforce mode is enough."""
    parts = list_part_modes(label, modes)
    listed = ", ".join(f"{name} ({mode})" for name, mode in parts)
    names = " ".join(name for name, mode in parts if mode == "complain") or label.name
    if any(mode in ENFORCING for _name, mode in parts):
        verdict.add_finding("mixed", f"{who} is confined by a stack of which only some profiles enforce: {listed}")
    elif label.mode == "user":
        text = f"{who} is not confined by the kernel alone: {label.name} is in user mode, in which a program on the host answers for it"
        verdict.add_finding("user_mode", text, DEGRADED, f"load {label.name} in enforce mode")
    elif label.mode == "complain":
        verdict.add_finding(
            "complain", f"{who} is not confined: {label.name} is in complain mode, which only logs", DEGRADED, f"aa-enforce {names}"
        )
    else:
        text = f"{who} is not confined: none of its profiles is known to enforce: {listed}"
        verdict.add_finding("complain", text, DEGRADED, f"aa-enforce {names}")


def _judge_profile(verdict: Verdict, desired: Mapping[str, Any], state: Mapping[str, Any] | None, error: str | None) -> None:
    name, path = desired["name"], desired["path"]
    if state is None:
        verdict.add_finding("policy_unreadable", f"profile {name}: {error or 'it was not read'}", UNKNOWN)
        return
    repair = "run harden.yml --tags apparmor"
    if state["sha256"] is None:
        verdict.add_finding("file_missing", f"profile {name}: {path} does not exist, so the next boot does not load it", DEGRADED, repair)
    elif state["sha256"] != desired["sha256"]:
        verdict.add_finding(
            "file_differs", f"profile {name}: {path} differs from the desired text", DEGRADED, f"{repair}; --diff shows how it differs"
        )
    if DISABLE_LINK in state["links"]:
        verdict.add_finding("disabled", f"profile {name}: {FOLDER}/{DISABLE_LINK}/{name} prevents loading it at boot", DEGRADED, repair)
    if (COMPLAIN_LINK in state["links"]) != (desired["mode"] == "complain"):
        link, mode = ("exists", "complain") if COMPLAIN_LINK in state["links"] else ("does not exist", "enforce")
        text = f"profile {name}: {FOLDER}/{COMPLAIN_LINK}/{name} {link}, so the next boot loads it in {mode} mode"
        verdict.add_finding("mode_at_boot", text, DEGRADED, repair)
    if state["mode"] is None:
        verdict.add_finding("not_loaded", f"profile {name} is not loaded, so containers that name it do not start", DEGRADED, repair)
        return
    verdict.add_evidence(f"{state['source'].rsplit('/', 1)[0]}/mode", state["mode"])
    for loaded, mode in {name: state["mode"], **state["children"]}.items():
        if not is_desired_mode(mode, desired["mode"]):
            verdict.add_finding("mode", f"profile {loaded} is in {mode} mode instead of {desired['mode']} mode", DEGRADED, repair)
    if state["hash"]:
        verdict.add_evidence(state["source"], state["hash"])
    if state["agrees"] is False:
        verdict.add_finding("policy_differs", f"profile {name}: the kernel's policy differs from the compiled {path}", DEGRADED, repair)
    elif state["agrees"] is True:
        # Children may be loaded apart from their parent; then no single hash covers all.
        total = " without the child profiles" if state["children"] else f" | {state['hash'].partition(':')[0]}sum"
        verdict.add_evidence(f"apparmor_parser -S -K -T {path}{total}", state.get("original") or state["hash"])
    elif state["sha256"] is not None:
        verdict.add_finding(
            "policy_unknown", f"profile {name}: it is unknown whether the kernel's policy is that of {path}: {state['error']}", UNKNOWN
        )


def describe_recording(profiles: Iterable[str]) -> str:
    """Return how the kernel's policy differs from the files while a host records."""
    return f"recording: {', '.join(profiles)}: loaded with `audit` in front of allow rules, which allows and denies the same"


def _read_option(config: Mapping[str, Any]) -> str | None:
    """Return the profile of --security-opt; `apparmor:NAME` is the old form (moby daemon/daemon_unix.go, parseSecurityOpt)."""
    for option in config.get("SecurityOpt") or []:
        key, separator, value = option.partition("=") if "=" in option else option.partition(":")
        if separator and key == "apparmor":
            return str(value)
    return None


def _format_label(label: Label) -> str:
    return label.name if label.name == label.mode else f"{label.name} ({label.mode})"
