# SPDX-License-Identifier: GPL-3.0-or-later
"""Which controls of which catalog a finding belongs to, and how a person repeats a layer's verification: read from controls.yml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load


@cache
def known() -> Mapping[str, Any]:
    """What controls.yml says."""
    return dict(yaml_load(Path(__file__).with_name("controls.yml").read_text(encoding="utf-8")))


def of_layer(layer: str) -> list[str]:
    """IDs of the controls that a layer answers, such as `CIS-5.29`; none for a layer that controls.yml does not know."""
    return list(known()["layers"].get(layer, {}).get("controls", ()))


def of_finding(identifier: str, text: str) -> list[str]:
    """IDs of the controls that a finding belongs to: its own, otherwise those of the layer that its ID begins with."""
    own = known()["findings"].get(identifier)
    if own is None:
        return of_layer(identifier.partition(".")[0])
    if isinstance(own, Mapping):
        return [control for words, controls in own.items() if words in text for control in controls]
    return list(own)


def title(layer: str) -> str:
    return str(known()["layers"].get(layer, {}).get("title", layer))


def named(control: str) -> str:
    """`CIS-5.29` as people cite it: `CIS Docker Benchmark 1.8.0, 5.29: a PIDs limit`."""
    catalog, number = control.split("-", 1)
    about = known()["catalogs"][catalog]
    return f"{about['name']} ({about['version']}), {number}: {known()['controls'][control]}"


def by_hand(layer: str, container: str | None = None) -> str:
    """The commands that repeat a layer's verification on the host, for a container that asks for nothing, or for a running one by its ID."""
    repeat = known()["layers"].get(layer, {}).get("repeat")
    if not repeat:
        return ""
    if "$pid" not in repeat:
        return str(repeat)
    prepare = known()["prepare_container"].replace("CONTAINER", container) if container else known()["prepare"]
    return f"{prepare}\n{repeat}"
