# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists everything that is wrong in a fleet, for SARIF and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.layers.registry import PER_SERVICE
from ...module_utils.layers.verdict import ENFORCED, NOT_APPLICABLE, REQUIRED
from . import controls
from .fleet import FAILING, VERIFIED, Fleet, HostState
from .text import render_value

ERROR = "error"  # a requirement is not met, or unknown
WARNING = "warning"  # a container, or a layer that is not required
NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong on one host. container: its name and ID; `("", "")` for a problem of the host."""

    level: str
    id: str
    text: str
    host: str
    layer: str = ""
    remedy: str = ""
    container: tuple[str, str] = ("", "")
    evidence: tuple[tuple[str, Any], ...] = ()
    controls: tuple[str, ...] = field(default=())


def list_problems(fleet: Fleet) -> list[Problem]:
    """Return all problems, in the order of the hosts."""
    return [problem for host in fleet.hosts for problem in _find_host_problems(host)]


def _find_host_problems(host: HostState) -> Iterator[Problem]:
    if host.condition not in (VERIFIED, FAILING):
        yield Problem(NOTE if host.condition == "gone" else ERROR, f"host.{host.condition}", host.why, host.name)
    for text in host.attack["unmet"] if host.attack else ():
        yield Problem(ERROR, f"attack.{text.partition(' ')[0]}", text, host.name)
    for finding in host.findings:
        yield _convert_finding(ERROR, finding, host.name)
    for change in host.drift or ():
        remedy = "run harden.yml, or change the inventory"
        yield Problem(WARNING, f"drift.{change['layer']}", change["summary"], host.name, change["layer"], remedy)
    for name, layer in host.layers.items():
        if layer["status"] in (ENFORCED, NOT_APPLICABLE):
            continue
        level = ERROR if layer["requirement"] == REQUIRED else WARNING if layer["requirement"] == "optional" else NOTE
        reasons = [finding for finding in layer["findings"] if finding["status"]]
        text = f"{controls.get_layer_title(name)} is {layer['status']}; expected: {layer['expected']}"
        for finding in reasons or [{"id": f"{name}.{layer['status']}", "text": text, "remedy": ""}]:
            yield _convert_finding(level, finding, host.name, layer)
    for container in host.containers:
        yield from _find_container_problems(host.name, container)


def _find_container_problems(host: str, container: Mapping[str, Any]) -> Iterator[Problem]:
    name = (container["name"], container["id"])
    for setting in container["settings"]:
        if setting["status"] != ENFORCED:
            text = f"{setting['setting']} is {render_value(setting.get('seen'))} and not {render_value(setting.get('expected'))}"
            evidence = ((setting["source"], setting.get("seen")),)
            yield Problem(ERROR, f"demand.{setting['setting']}", text, host, container=name, evidence=evidence)
    for finding in container["findings"]:
        yield _convert_finding(WARNING, finding, host, container=name)
    for layer in container["layers"]:
        # Settings that each service decides are shown on the page, without a warning per container.
        if layer["layer"] not in PER_SERVICE:
            for finding in layer["findings"]:
                if finding["status"]:
                    yield _convert_finding(WARNING, finding, host, layer, name)


def _convert_finding(
    level: str, finding: Mapping[str, Any], host: str, layer: Mapping[str, Any] | None = None, container: tuple[str, str] = ("", "")
) -> Problem:
    return Problem(
        level,
        finding["id"],
        finding["text"],
        host,
        layer["layer"] if layer else "",
        finding["remedy"],
        container,
        tuple((piece["source"], piece["value"]) for piece in (layer["evidence"] if layer else ())),
        tuple(controls.list_finding_controls(finding["id"], finding["text"])),
    )
