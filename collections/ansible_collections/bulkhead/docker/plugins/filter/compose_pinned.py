# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: compose_pinned
short_description: A compose file with other images for some services
version_added: 0.1.0
description: For a compose project that is put back as it was, when the name of an image stands for another one now.
author: Bulkhead maintainers (@bulkhead)
positional: images
options:
  _input:
    description: The file's text.
    type: str
    required: true
  images:
    description: By service, the image to run.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Put the compose file back
  ansible.builtin.copy:
    content: "{{ planned.compose | bulkhead.docker.compose_pinned(planned.moved) }}"
    dest: /etc/bulkhead/compose.yml
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The file's text; the same to the byte where no image is another.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose import text


def _pinned(given: str, images: Mapping[str, str]) -> str:
    if not images:
        return given
    content = yaml.safe_load(given)
    for name in images.keys() & content["services"].keys():
        content["services"][name]["image"] = images[name]
    return text(content)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"compose_pinned": _pinned}
