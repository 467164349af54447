# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compose
short_description: A compose file of hardened containers
version_added: 0.1.0
description: The containers that role P(bulkhead.docker.hardened_container#role) would run, as a compose file with the same settings.
author: Bulkhead maintainers (@bulkhead)
positional: seccomp_directory
options:
  _input:
    description: Complete entries, as M(bulkhead.docker.plan_layers) returns them under C(wanted.hardened_container_list).
    type: list
    elements: dict
    required: true
  seccomp_directory:
    description: Where the seccomp profiles lie on the host, as NAME.json.
    type: path
    default: /etc/docker/seccomp
"""

EXAMPLES = r"""
- name: Show the compose file
  ansible.builtin.debug:
    msg: "{{ wanted.wanted.hardened_container_list | bulkhead.docker.compose }}"
"""

RETURN = r"""
_value:
  description: The content of the file.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.settings import compose


def _compose(entries: list[dict[str, Any]], seccomp_directory: str = "/etc/docker/seccomp") -> dict[str, Any]:
    return compose(entries, seccomp_directory)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"compose": _compose}
