# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders JUnit XML for CI: one suite per host, one case per layer and per forbidden kind of exposure.

Uses the standard library only, so the control node needs nothing but Ansible.
"""

from __future__ import annotations

from xml.etree import ElementTree

from ...module_utils.exposures.kinds import KINDS, get_finding_id
from ...module_utils.formatting import format_names
from ...module_utils.layers.usage import OBSERVED
from ...module_utils.layers.verdict import NOT_APPLICABLE, REQUIRED
from ..controls import requirement
from ..controls.catalog import load_controls
from ..controls.verdict import PASS
from . import controls
from .fleet import FAILING, GONE, VERIFIED, Fleet, HostState
from .policy import EXPOSED, NOT_READ, UNKNOWN_FINDING, WAIVED, Judgement, group_granted
from .text import render_value


def render(fleet: Fleet) -> str:
    """Return the XML. A host that is not verified fails: in its layers, or in its case `verification` if there is no recent result."""
    root = ElementTree.Element("testsuites", name="bulkhead")
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for host in fleet.hosts:
        suite = _add_suite(root, host, fleet)
        for key in total:
            total[key] += int(suite.get(key, "0"))
    for key, number in total.items():
        root.set(key, str(number))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(root: ElementTree.Element, host: HostState, fleet: Fleet) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=host.name)
    if host.written:
        suite.set("timestamp", host.written.partition("+")[0])
    verification = _add_case(suite, host, "verification")
    if host.condition == GONE:
        _add_outcome(verification, "skipped", host.why)
    elif host.condition not in (VERIFIED, FAILING):
        _add_outcome(verification, "error", host.why, host.condition)
    for name in fleet.layers:
        if name in host.layers:
            _fill_layer_case(_add_case(suite, host, name), host, name)
    if host.judgement:
        _add_exposure_cases(suite, host, host.judgement)
        _add_waived_cases(suite, host, host.judgement)
        _add_observed_cases(suite, host)
        _add_control_cases(suite, host, host.judgement)
    if host.attack:
        case = _add_case(suite, host, "attacks")
        if host.attack["unmet"]:
            _add_outcome(case, "failure", "; ".join(host.attack["unmet"]), "attacks.unmet")
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _add_exposure_cases(suite: ElementTree.Element, host: HostState, judgement: Judgement) -> None:
    """Add a case per kind that is forbidden or waived: it fails, is skipped if all its containers are waived, or passes."""
    found = group_granted([granted for granted in judgement.granted if granted.state in (EXPOSED, WAIVED)])
    for kind in dict.fromkeys([*judgement.policy.forbid, *(first.kind for first, unused in found)]):
        identifier = get_finding_id(kind) if kind in KINDS else UNKNOWN_FINDING
        case = _add_case(suite, host, identifier)
        texts: dict[str, list[str]] = {EXPOSED: [], WAIVED: []}
        for first, names in found:
            if first.kind == kind:
                texts[first.state].append(f"containers {format_names(names)}{': ' + first.waiver.describe() if first.waiver else ''}")
        granted = [entry for entry in judgement.granted if entry.kind == kind]
        if texts[EXPOSED]:
            evidence = [f"{entry.text}" for entry in granted if entry.state == EXPOSED]
            cited = [controls.cite_control(control) for control in controls.list_finding_controls(identifier)]
            message = f"{texts[EXPOSED][0]}: {KINDS[kind].meaning}" if kind in KINDS else texts[EXPOSED][0]
            _add_outcome(case, "failure", message, identifier, "\n".join([*evidence, *texts[WAIVED], *cited]))
        elif texts[WAIVED]:
            _add_outcome(case, "skipped", "; ".join(texts[WAIVED]))
    unread = [granted for granted in judgement.granted if granted.state == NOT_READ]
    if unread:
        shown = format_names([granted.container for granted in unread])
        details = "\n".join(granted.text for granted in unread)
        _add_outcome(_add_case(suite, host, UNKNOWN_FINDING), "error", f"containers {shown}: unknown exposures", UNKNOWN_FINDING, details)


def _add_control_cases(suite: ElementTree.Element, host: HostState, judgement: Judgement) -> None:
    """Add a case per control: it passes if the control does, fails if a required control fails or is unknown, and is skipped otherwise."""
    for control in judgement.controls:
        case = _add_case(suite, host, control["control"])
        text = f"{control['status']}: {control['reason']}"
        if control["control"] in judgement.policy.required and control["status"] in requirement.FAILING:
            evidence = "\n".join(f"{piece['source']}: {render_value(piece['value'])}" for piece in control["evidence"])
            _add_outcome(
                case, "failure", text, control["control"], f"{controls.cite_control(control['control'])}\n{evidence}\n{control['remedy']}"
            )
        elif control["status"] != PASS:
            _add_outcome(case, "skipped", control.get("accepted") or text)


def _add_waived_cases(suite: ElementTree.Element, host: HostState, judgement: Judgement) -> None:
    """Add a skipped case per waived finding of a container that is not an exposure. Those of the host are in the cases of its layers."""
    granted = {(entry.container, entry.finding) for entry in judgement.granted}
    for (container, identifier), waiver in judgement.waived.items():
        of_layer = not container and identifier.partition(".")[0] in host.layers
        of_control = identifier in load_controls()  # it has a case of its own
        if (container, identifier) not in granted and not of_layer and not of_control:
            name = f"{identifier} of container {container}" if container else identifier
            _add_outcome(_add_case(suite, host, name), "skipped", waiver.describe())


def _add_observed_cases(suite: ElementTree.Element, host: HostState) -> None:
    """Add a passed case per kind of limit that containers reached, with the texts as its output: reaching a limit fails nothing."""
    texts: dict[str, list[str]] = {}
    for container in host.containers:
        for finding in container["findings"]:
            if finding["id"] in OBSERVED:
                texts.setdefault(finding["id"], []).append(finding["text"])
    for identifier, found in texts.items():
        ElementTree.SubElement(_add_case(suite, host, identifier), "system-out").text = "\n".join(found)


def _fill_layer_case(case: ElementTree.Element, host: HostState, name: str) -> None:
    layer = host.layers[name]
    evidence = "\n".join(f"{piece['source']}: {render_value(piece['value'])}" for piece in layer["evidence"])
    cited = "\n".join(controls.cite_control(control) for control in controls.list_layer_controls(name))
    if host.condition in (VERIFIED, FAILING) and not host.is_satisfied(name):
        reasons = "; ".join(finding["text"] for finding in layer["findings"] if finding["status"])
        message = f"{layer['status']}: {reasons or 'expected: ' + layer['expected']}"
        _add_outcome(case, "failure", message, f"{name}.{layer['status']}", f"expected: {layer['expected']}\n{evidence}\n{cited}")
    elif host.condition not in (VERIFIED, FAILING):
        _add_outcome(case, "skipped", f"{layer['status']}, but the host is {host.condition}")
    elif host.is_waived(name):
        _add_outcome(case, "skipped", f"{layer['status']}, {_describe_waivers(host, name)}")
    elif layer["requirement"] != REQUIRED or layer["status"] == NOT_APPLICABLE:
        _add_outcome(case, "skipped", f"{layer['status']}, not required")
    if evidence:
        ElementTree.SubElement(case, "system-out").text = evidence


def _describe_waivers(host: HostState, name: str) -> str:
    """Return the waivers of a layer's findings."""
    waived = host.judgement.waived.items() if host.judgement else ()
    found = [f"{identifier} {waiver.describe()}" for (container, identifier), waiver in waived if not container]
    return "; ".join(text for text in found if text.startswith(f"{name}."))


def _add_case(suite: ElementTree.Element, host: HostState, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"bulkhead.{host.name}", name=name, time="0")


def _add_outcome(case: ElementTree.Element, tag: str, message: str, kind: str = "", text: str = "") -> None:
    outcome = ElementTree.SubElement(case, tag, message=message)
    if kind:
        outcome.set("type", kind)
    if text:
        outcome.text = text
