# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong in a fleet, as one flat list: what SARIF and the page's list of findings are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.layers.verdict import ENFORCED, NOT_APPLICABLE, REQUIRED
from . import controls
from .fleet import FAILING, VERIFIED, Fleet, HostState
from .text import words

ERROR = "error"  # a required layer does not hold, or nobody knows
WARNING = "warning"  # a container, or a layer that is not required
NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong on one host. container: the container's name and ID, `("", "")` where it is about the host."""

    level: str
    id: str
    text: str
    host: str
    layer: str = ""
    remedy: str = ""
    container: tuple[str, str] = ("", "")
    evidence: tuple[tuple[str, Any], ...] = ()
    controls: tuple[str, ...] = field(default=())


def problems(fleet: Fleet) -> list[Problem]:
    return [problem for host in fleet.hosts for problem in _of(host)]


def _of(host: HostState) -> Iterator[Problem]:
    if host.condition not in (VERIFIED, FAILING):
        yield Problem(NOTE if host.condition == "gone" else ERROR, f"host.{host.condition}", host.why, host.name)
    for sentence in host.attack["unmet"] if host.attack else ():
        yield Problem(ERROR, f"attack.{sentence.partition(' ')[0]}", sentence, host.name)
    for finding in host.findings:
        yield _found(ERROR, finding, host.name)
    for change in host.drift or ():
        yield Problem(
            WARNING, f"drift.{change['layer']}", change["summary"], host.name, change["layer"], "run harden.yml, or change the inventory"
        )
    for name, layer in host.layers.items():
        if layer["status"] in (ENFORCED, NOT_APPLICABLE):
            continue
        level = ERROR if layer["requirement"] == REQUIRED else WARNING if layer["requirement"] == "optional" else NOTE
        said = [finding for finding in layer["findings"] if finding["status"]]
        text = f"{controls.get_layer_title(name)} is {layer['status']}; expected: {layer['expected']}"
        for finding in said or [{"id": f"{name}.{layer['status']}", "text": text, "remedy": ""}]:
            yield _found(level, finding, host.name, layer)
    for container in host.containers:
        who = (container["name"], container["id"])
        for demand in container["settings"]:
            if demand["status"] != ENFORCED:
                text = f"{demand['setting']} is {words(demand.get('seen'))} and not {words(demand.get('expected'))}"
                seen = ((demand["source"], demand.get("seen")),)
                yield Problem(ERROR, f"demand.{demand['setting']}", text, host.name, container=who, evidence=seen)
        for finding in container["findings"]:
            yield _found(WARNING, finding, host.name, container=who)
        for layer in container["layers"]:
            # What no engine has a default for is the service's own matter; the page shows it, and nobody is warned of every container.
            if layer["layer"] not in ("read_only_root", "non_root_user"):
                for finding in layer["findings"]:
                    if finding["status"]:
                        yield _found(WARNING, finding, host.name, layer, who)


def _found(
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
