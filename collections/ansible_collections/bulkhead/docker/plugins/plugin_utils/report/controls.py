# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks up the controls of a finding and the commands that repeat the verification of a layer (registry of layers)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from ...module_utils.exposures.kinds import KINDS
from ...module_utils.layers.audit_rules import rules as audit_rules
from ...module_utils.layers.files import rules as files
from ...module_utils.layers.registry import BY_NAME
from ..controls import catalog

# What NIST SP 800-190 says of settings of containers, and of secrets in images.
_OF_RUNTIME, _OF_IMAGE = ("NIST-4.4.3",), ("NIST-4.1.4",)


@cache
def load_controls() -> Mapping[str, Any]:
    """Return the content of controls.yml. Its `controls`, ID -> title, also has those of the catalog of CIS."""
    content = dict(yaml_load(Path(__file__).with_name("controls.yml").read_text(encoding="utf-8")))
    titles = {identifier: control.title for identifier, control in catalog.load_controls().items()}
    return {**content, "controls": {**titles, **content["controls"]}}


def list_layer_controls(layer: str) -> list[str]:
    """Return the IDs of the controls that a layer covers, such as `CIS-5.29`; none for an unknown layer."""
    return list(BY_NAME[layer].controls) if layer in BY_NAME else []


def list_finding_controls(identifier: str) -> list[str]:
    """Return the IDs of the controls of a finding: those of the layer or the kind of exposure in its ID."""
    owner, unused, name = identifier.partition(".")
    if identifier in catalog.load_controls():
        return [identifier]
    if owner == files.LAYER:  # one control per kind of file, and not all of the section
        return [*files.list_finding_controls(name), *(control for control in list_layer_controls(owner) if control.startswith("NIST-"))]
    if owner == audit_rules.LAYER:
        return audit_rules.list_finding_controls(name) or list_layer_controls(owner)
    return list_kind_controls(name) if owner == "container" else list_layer_controls(owner)


def list_kind_controls(kind: str) -> list[str]:
    """Return the IDs of the controls of a kind of exposure; none for an unknown kind."""
    if kind not in KINDS:
        return []
    own = list(KINDS[kind].controls)
    about_image = any(control.startswith("CIS-4.") for control in own)
    return [*own, *(control for control in (_OF_IMAGE if about_image else _OF_RUNTIME) if control not in own)]


def get_layer_title(layer: str) -> str:
    """Return the title of a layer for headings; its name if it is unknown."""
    return BY_NAME[layer].title if layer in BY_NAME else layer


def cite_control(control: str) -> str:
    """Return `CIS-5.29` as people cite it: `CIS Docker Benchmark 1.8.0, 5.29: a PIDs limit`."""
    catalog, number = control.split("-", 1)
    about = load_controls()["catalogs"][catalog]
    return f"{about['name']} ({about['version']}), {number}: {load_controls()['controls'][control]}"


def render_commands(layer: str, container: str | None = None) -> str:
    """Return the commands that repeat a layer's verification on the host. container: ID of a running container; None for a new plain one."""
    repeat = BY_NAME[layer].repeat if layer in BY_NAME else ""
    if "$pid" not in repeat:
        return repeat
    content = load_controls()
    prepare = content["prepare_container"].replace("CONTAINER", container) if container else content["prepare"]
    return f"{prepare}\n{repeat}"
