# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit XML for CI: a suite a host, a case a layer. Written with the standard library, so that the control node needs nothing beside Ansible."""

from __future__ import annotations

from xml.etree import ElementTree

from ...module_utils.layers.verdict import NOT_APPLICABLE, REQUIRED
from . import controls
from .fleet import FAILING, GONE, VERIFIED, Fleet, HostState
from .text import words


def render(fleet: Fleet) -> str:
    """A host that is not verified fails: by the layers that do not hold, or by its case `verification` where nothing recent says that they do."""
    root = ElementTree.Element("testsuites", name="bulkhead")
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for host in fleet.hosts:
        suite = _suite(root, host, fleet)
        for key in total:
            total[key] += int(suite.get(key, "0"))
    for key, number in total.items():
        root.set(key, str(number))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, host: HostState, fleet: Fleet) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=host.name)
    if host.written:
        suite.set("timestamp", host.written.partition("+")[0])
    verification = _case(suite, host, "verification")
    if host.condition == GONE:
        _outcome(verification, "skipped", host.why)
    elif host.condition not in (VERIFIED, FAILING):
        _outcome(verification, "error", host.why, host.condition)
    for name in fleet.layers:
        if name in host.layers:
            _layer(_case(suite, host, name), host, name)
    if host.attack:
        case = _case(suite, host, "attacks")
        if host.attack["unmet"]:
            _outcome(case, "failure", "; ".join(host.attack["unmet"]), "attacks.unmet")
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _layer(case: ElementTree.Element, host: HostState, name: str) -> None:
    layer = host.layers[name]
    seen = "\n".join(f"{piece['source']}: {words(piece['value'])}" for piece in layer["evidence"])
    cited = "\n".join(controls.cite_control(control) for control in controls.list_layer_controls(name))
    if host.condition in (VERIFIED, FAILING) and not host.holds(name):
        said = "; ".join(finding["text"] for finding in layer["findings"] if finding["status"])
        message = f"{layer['status']}: {said or 'expected was ' + layer['expected']}"
        _outcome(case, "failure", message, f"{name}.{layer['status']}", f"expected: {layer['expected']}\n{seen}\n{cited}")
    elif host.condition not in (VERIFIED, FAILING):
        _outcome(case, "skipped", f"{layer['status']}, of a host that is {host.condition}")
    elif layer["requirement"] != REQUIRED or layer["status"] == NOT_APPLICABLE:
        _outcome(case, "skipped", f"{layer['status']}, not required")
    if seen:
        ElementTree.SubElement(case, "system-out").text = seen


def _case(suite: ElementTree.Element, host: HostState, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"bulkhead.{host.name}", name=name, time="0")


def _outcome(case: ElementTree.Element, tag: str, message: str, kind: str = "", text: str = "") -> None:
    outcome = ElementTree.SubElement(case, tag, message=message)
    if kind:
        outcome.set("type", kind)
    if text:
        outcome.text = text
