# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists everything that is wrong in a fleet, for SARIF and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.exposures.kinds import KINDS, LOW, get_finding_id
from ...module_utils.layers.registry import PER_SERVICE
from ...module_utils.layers.verdict import ENFORCED, NOT_APPLICABLE, REQUIRED
from ..controls import requirement
from ..controls.verdict import FAIL, WAIVED
from . import controls
from .fleet import EXPIRED, FAILING, UNUSED, VERIFIED, Fleet, HostState, WaiverState
from .policy import ALLOWED, EXPOSED, LISTED, NOT_READ, UNKNOWN_FINDING, Granted, Judgement, get_default_finding
from .text import render_value

ERROR = "error"  # a requirement is not met, or unknown; a forbidden exposure
WARNING = "warning"  # a container, or a layer that is not required
NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong on one host. container: its name and ID; `("", "")` for a problem of the host.

    host: empty for a problem of the inventory. accepted: why it does not count, such as the reason and the date of a waiver; empty if it counts.
    """

    level: str
    id: str
    text: str
    host: str
    layer: str = ""
    remedy: str = ""
    container: tuple[str, str] = ("", "")
    evidence: tuple[tuple[str, Any], ...] = ()
    controls: tuple[str, ...] = field(default=())
    accepted: str = ""


def list_problems(fleet: Fleet) -> list[Problem]:
    """Return all problems, in the order of the hosts, then those of waivers."""
    found = [problem for host in fleet.hosts for problem in _find_host_problems(host)]
    return found + [_describe_waiver(state) for state in fleet.waivers if state.state in (EXPIRED, UNUSED)]


def _describe_waiver(state: WaiverState) -> Problem:
    waiver = state.waiver
    if state.state == EXPIRED:
        text = f"the waiver of {waiver.scope} expired on {waiver.until}; its reason was: {waiver.reason}"
        return Problem(WARNING, "waiver.expired", text, "", waiver.scope, "remove it from bulkhead_waivers, or write a later date")
    text = f"the waiver of {waiver.scope} until {waiver.until} matches no finding; its reason is: {waiver.reason}"
    return Problem(WARNING, "waiver.unused", text, "", waiver.scope, "remove it from bulkhead_waivers, or correct its patterns")


def _find_host_problems(host: HostState) -> Iterator[Problem]:
    judgement = host.judgement or Judgement()
    if host.condition not in (VERIFIED, FAILING):
        yield Problem(NOTE if host.condition == "gone" else ERROR, f"host.{host.condition}", host.why, host.name)
    for text in host.attack["unmet"] if host.attack else ():
        yield Problem(ERROR, f"attack.{text.partition(' ')[0]}", text, host.name)
    for finding in host.findings:
        yield _convert_finding(ERROR, finding, host.name, judgement)
    for change in host.drift or ():
        remedy = "run harden.yml, or change the inventory"
        yield Problem(WARNING, f"drift.{change['layer']}", change["summary"], host.name, change["layer"], remedy)
    for name, layer in host.layers.items():
        if layer["status"] in (ENFORCED, NOT_APPLICABLE):
            continue
        level = ERROR if layer["requirement"] == REQUIRED else WARNING if layer["requirement"] == "optional" else NOTE
        reasons = [finding for finding in layer["findings"] if finding["status"]]
        text = f"{controls.get_layer_title(name)} is {layer['status']}; expected: {layer['expected']}"
        for finding in reasons or [{"id": get_default_finding(layer), "text": text, "remedy": ""}]:
            yield _convert_finding(level, finding, host.name, judgement, layer)
    for granted in judgement.granted:
        if granted.state != LISTED:
            yield _convert_granted(granted, host.name)
    for control in judgement.controls:
        if problem := _convert_control(control, host.name, judgement):
            yield problem
    for container in host.containers:
        yield from _find_container_problems(host.name, container, judgement)


def _convert_control(control: Mapping[str, Any], host: str, judgement: Judgement) -> Problem | None:
    """Return a control as a problem if it is required and not met, or fails by more than findings of layers and exposures; otherwise None."""
    name, required = control["control"], control["control"] in judgement.policy.required
    unmet = required and control["status"] in requirement.FAILING
    own = control["status"] in (FAIL, WAIVED) and any(not part["finding"] for part in control["findings"])
    if not unmet and not own:
        return None
    evidence = tuple((str(piece["source"]), piece["value"]) for piece in control["evidence"])
    level, text = ERROR if unmet else NOTE, f"{control['title']}: {control['reason']}"
    return Problem(level, f"control.{name}", text, host, "", control["remedy"], ("", ""), evidence, (name,), control.get("accepted", ""))


def _convert_granted(granted: Granted, host: str) -> Problem:
    """Return the exposures of one kind that a container has as one problem."""
    level = ERROR if granted.state in (EXPOSED, NOT_READ) else NOTE if granted.state == ALLOWED or granted.severity == LOW else WARNING
    accepted = (
        granted.waiver.describe()
        if granted.waiver
        else "allowed by allow_exposures of hardened_container_list"
        if granted.state == ALLOWED
        else ""
    )
    evidence = tuple((str(entry["source"]), entry["value"]) for entry in granted.entries)
    cited = tuple(controls.list_finding_controls(granted.finding))
    return Problem(
        level, granted.finding, granted.text, host, "", granted.remedy, (granted.container, granted.id), evidence, cited, accepted
    )


def _find_container_problems(host: str, container: Mapping[str, Any], judgement: Judgement) -> Iterator[Problem]:
    name = (container["name"], container["id"])
    exposures = {UNKNOWN_FINDING, *(get_finding_id(kind) for kind in KINDS)}
    for setting in container["settings"]:
        if setting["status"] != ENFORCED:
            text = f"{setting['setting']} is {render_value(setting.get('seen'))} and not {render_value(setting.get('expected'))}"
            evidence = ((setting["source"], setting.get("seen")),)
            identifier = f"demand.{setting['setting']}"
            waiver = judgement.get_waiver(identifier, container["name"])
            accepted = waiver.describe() if waiver else ""
            yield Problem(ERROR, identifier, text, host, container=name, evidence=evidence, accepted=accepted)
    for finding in container["findings"]:
        if finding["id"] not in exposures:
            # Without a status it only informs, such as a limit that the container has reached.
            yield _convert_finding(WARNING if finding.get("status") else NOTE, finding, host, judgement, container=name)
    for layer in container["layers"]:
        # Settings that each service decides are shown on the page, without a warning per container.
        if layer["layer"] not in PER_SERVICE:
            for finding in layer["findings"]:
                if finding["status"]:
                    yield _convert_finding(WARNING, finding, host, judgement, layer, name)


def _convert_finding(
    level: str,
    finding: Mapping[str, Any],
    host: str,
    judgement: Judgement,
    layer: Mapping[str, Any] | None = None,
    container: tuple[str, str] = ("", ""),
) -> Problem:
    waiver = judgement.get_waiver(finding["id"], container[0])
    return Problem(
        level,
        finding["id"],
        finding["text"],
        host,
        layer["layer"] if layer else "",
        finding["remedy"],
        container,
        tuple((piece["source"], piece["value"]) for piece in (layer["evidence"] if layer else ())),
        tuple(controls.list_finding_controls(finding["id"])),
        waiver.describe() if waiver else "",
    )
