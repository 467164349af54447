# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders JUnit XML for CI: one suite per host, one case per layer. Uses the standard library only, so the control node needs nothing but Ansible."""

from __future__ import annotations

from xml.etree import ElementTree

from ...module_utils.layers.verdict import NOT_APPLICABLE, REQUIRED
from . import controls
from .fleet import FAILING, GONE, VERIFIED, Fleet, HostState
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
    if host.attack:
        case = _add_case(suite, host, "attacks")
        if host.attack["unmet"]:
            _add_outcome(case, "failure", "; ".join(host.attack["unmet"]), "attacks.unmet")
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


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
    elif layer["requirement"] != REQUIRED or layer["status"] == NOT_APPLICABLE:
        _add_outcome(case, "skipped", f"{layer['status']}, not required")
    if evidence:
        ElementTree.SubElement(case, "system-out").text = evidence


def _add_case(suite: ElementTree.Element, host: HostState, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"bulkhead.{host.name}", name=name, time="0")


def _add_outcome(case: ElementTree.Element, tag: str, message: str, kind: str = "", text: str = "") -> None:
    outcome = ElementTree.SubElement(case, tag, message=message)
    if kind:
        outcome.set("type", kind)
    if text:
        outcome.text = text
