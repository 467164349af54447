# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compose
short_description: Render the compose file of hardened containers
version_added: 0.1.0
description: Returns the compose project with which role P(bulkhead.docker.hardened_container#role) runs containers.
author: Bulkhead maintainers (@bulkhead)
positional: labels
options:
  _input:
    description: Complete entries, as M(bulkhead.docker.plan_layers) returns them under C(desired.hardened_container_list).
    type: list
    elements: dict
    required: true
  labels:
    description: The fingerprint of each container's settings, by the container's name; RV(bulkhead.docker.plan_containers#module:fingerprints).
    type: dict
    required: true
  seccomp_directory:
    description: Folder of the seccomp profiles on the host.
    type: path
    default: /etc/docker/seccomp
  project:
    description: Name of the compose project.
    type: str
    default: bulkhead
"""

EXAMPLES = r"""
- name: Show the compose file
  ansible.builtin.debug:
    msg: "{{ plan.desired.hardened_container_list | bulkhead.docker.compose(containers_plan.fingerprints) }}"
"""

RETURN = r"""
_value:
  description: The text of the file; empty if no container is desired.
  type: str
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.settings import build_compose

_HEAD = "# Written by Ansible from hardened_container_list.\n"


class _Dumper(yaml.SafeDumper):
    """Writes each text in double quotes: compose (go-yaml, YAML 1.2) reads 1e3 or 0o17 as numbers, which PyYAML writes without."""


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _render_compose(
    entries: list[dict[str, Any]], labels: Mapping[str, str], seccomp_directory: str = "/etc/docker/seccomp", project: str = "bulkhead"
) -> str:
    content = build_compose(entries, seccomp_directory, labels, project)
    return format_compose(content) if content["services"] else ""


def format_compose(content: Mapping[str, Any]) -> str:
    """Return the content as YAML below a comment that names its source."""
    # Through JSON, because PyYAML rejects Ansible's own types, which record where a value was written.
    return _HEAD + yaml.dump(json.loads(json.dumps(content)), Dumper=_Dumper, sort_keys=False, width=1000)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"compose": _render_compose}
