# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compose_pinned
short_description: Set the images of some services in a compose file
version_added: 0.1.0
description: Restores a compose project with its previous images, if the name of an image now means another one.
author: Bulkhead maintainers (@bulkhead)
positional: images
options:
  _input:
    description: The text of the file.
    type: str
    required: true
  images:
    description: The image to run, by the name of the service; RV(bulkhead.docker.plan_containers#module:moved).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Restore the compose file
  ansible.builtin.copy:
    content: "{{ containers_plan.compose | bulkhead.docker.compose_pinned(containers_plan.moved) }}"
    dest: /etc/bulkhead/compose.yml
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The text of the file; unchanged, byte for byte, without images.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose import format_compose


def _pin_images(text: str, images: Mapping[str, str]) -> str:
    if not images:
        return text
    content = yaml.safe_load(text)
    for name in images.keys() & content["services"].keys():
        content["services"][name]["image"] = images[name]
    return format_compose(content)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"compose_pinned": _pin_images}
