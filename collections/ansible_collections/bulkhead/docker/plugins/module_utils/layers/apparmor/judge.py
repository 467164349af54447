# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges AppArmor by labels (/proc/PID/attr/current) and by the kernel's hash of its policy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...apparmor.policy import Label, parse_label
from ...apparmor.sources import COMPLAIN_LINK, DISABLE_LINK, FOLDER
from ..verdict import ABSENT, DEGRADED, NOT_APPLICABLE, OPTIONAL, UNKNOWN, ContainerVerdict, Verdict

LAYER = "apparmor"
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
    _judge_probe(verdict, evidence.get("probe"))
    own = evidence.get("layer_evidence", {}).get(LAYER) or {"profiles": {}, "error": "it was not read"}
    for profile in profiles:
        _judge_profile(verdict, profile, own["profiles"].get(profile["name"]), own["error"])
    if profiles and state["at_boot"] is False:
        verdict.add_finding(
            "not_at_boot", "apparmor.service is not enabled, so no profile is loaded at boot", DEGRADED, "systemctl enable apparmor"
        )
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge a container by its label."""
    verdict = ContainerVerdict(LAYER, "confined by an AppArmor profile in enforce mode")
    if not evidence["observed"]["layers"][LAYER]["enabled"]:
        return verdict.conclude(NOT_APPLICABLE if expect.get("requirement") == OPTIONAL else ABSENT)
    who = f"container {container['name']}"
    config = container["inspect"]["HostConfig"]
    asked = _read_option(config)
    verdict.opted_out = asked == "unconfined" or (asked is None and bool(config.get("Privileged")))
    label = _judge_label(verdict, container["kernel"], who, "unconfined" if not verdict.opted_out else "opted_out")
    if label is None:
        return verdict.conclude()
    words = {"HostConfig.SecurityOpt": asked, "AppArmorProfile": container["inspect"].get("AppArmorProfile") or None}
    shown = label.name if label.confined else "unconfined"
    for key, word in words.items():
        # A label that is stacked on X satisfies `docker run --security-opt apparmor=X`.
        if word is not None and word != shown and not (label.confined and word in label.profiles):
            verdict.disagreements.append(
                f"docker inspect reports {key} {word}, but the kernel's label of the process is {_format_label(label)}"
            )
    if verdict.disagreements and label.confined and asked not in (None, "unconfined"):
        verdict.add_finding("other_profile", f"{who} asked for {asked} and runs under {label.name}", DEGRADED)
    return verdict.conclude()


def _judge_probe(verdict: Verdict, probe: Mapping[str, Any] | None) -> None:
    if probe is None:
        verdict.add_finding("no_probe", "no probe ran, so the host's default is unknown", UNKNOWN)
    else:
        _judge_label(verdict, probe["kernel"], "a container without any option", "unconfined")


def _judge_label(verdict: Verdict, kernel: Mapping[str, Any], who: str, unconfined: str) -> Label | None:
    """Judge a process's label and return it; None, with a finding, if it cannot be read. unconfined: ID of the finding if it is unconfined."""
    source = f"/proc/{kernel['pid']}/attr/current"
    text = kernel.get("label")
    try:
        label = parse_label(text) if text else None
    except ValueError:
        label = None
    if label is None:
        why = kernel.get("unreadable", {}).get(source) or (f"contains {text!r}" if text else "is empty")
        verdict.add_finding("label_unreadable", f"the AppArmor label of {who} is unknown: {source} {why}", UNKNOWN)
        return None
    verdict.add_evidence(source, text, headline=True)
    if not label.confined:
        verdict.add_finding(unconfined, f"{who} is confined by no AppArmor profile ({_format_label(label)})", ABSENT, _REMEDIES[unconfined])
    elif label.mode not in ("enforce", "kill"):
        text = f"{who} is not confined: {label.name} is in {label.mode} mode, which only logs"
        verdict.add_finding("complain", text, DEGRADED, f"aa-enforce {label.name}")
    return label


def _judge_profile(verdict: Verdict, desired: Mapping[str, Any], state: Mapping[str, Any] | None, error: str | None) -> None:
    name, path = desired["name"], desired["path"]
    if state is None:
        verdict.add_finding("policy_unreadable", f"profile {name}: {error or 'it was not read'}", UNKNOWN)
        return
    repair = "run the role apparmor_profiles again"
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
        if mode != desired["mode"]:
            verdict.add_finding("mode", f"profile {loaded} is in {mode} mode instead of {desired['mode']} mode", DEGRADED, repair)
    if state["hash"]:
        verdict.add_evidence(state["source"], state["hash"])
    if state["agrees"] is False:
        verdict.add_finding("policy_differs", f"profile {name}: the kernel's policy differs from the compiled {path}", DEGRADED, repair)
    elif state["agrees"] is True:
        # Children may be loaded apart from their parent; then no single hash covers all.
        total = " without the child profiles" if state["children"] else f" | {state['hash'].partition(':')[0]}sum"
        verdict.add_evidence(f"apparmor_parser -S -K -T {path}{total}", state["hash"])
    elif state["sha256"] is not None:
        verdict.add_finding(
            "policy_unknown", f"profile {name}: it is unknown whether the kernel's policy is that of {path}: {state['error']}", UNKNOWN
        )


def _read_option(config: Mapping[str, Any]) -> str | None:
    """Return the profile of --security-opt; `apparmor:NAME` is the old form (moby daemon/daemon_unix.go, parseSecurityOpt)."""
    for option in config.get("SecurityOpt") or []:
        key, separator, value = option.partition("=") if "=" in option else option.partition(":")
        if separator and key == "apparmor":
            return str(value)
    return None


def _format_label(label: Label) -> str:
    return label.name if label.name == label.mode else f"{label.name} ({label.mode})"
