#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan_layers
short_description: Compare a Docker host with what the inventory wants of it
version_added: 0.1.0
description:
  - Reads the variables of all roles of this collection from the inventory, checks them (types, choices, misspelt names, files that are named), and
    compares them with what M(bulkhead.docker.observe_layers) saw. Says what is refused, what deserves a warning, and what would change, by layer.
  - Runs on the control node. The host is visited only when it has not been observed in the last 15 minutes of the same run of the playbook.
  - Fails with all blockers at once, before anything is touched. In check mode it reports C(changed) and, with C(--diff), the differences.
  - Tags that are names of layers narrow the plan to these layers.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  layers:
    description: Plan these layers only; all when left out.
    type: list
    elements: str
  observe:
    description: Whether to compare with the host at all. Without it the host is not looked at, and only the checked variables and C(expect) are returned.
    type: bool
    default: true
  observed:
    description: What M(bulkhead.docker.observe_layers) returned, instead of what this run remembers.
    type: dict
  refresh:
    description: Observe the host anew, because a task has changed what was seen before.
    type: bool
    default: false
  show:
    description: Print the table of what will happen on this host.
    type: bool
    default: false
attributes:
  check_mode:
    description: Plans in both; only in check mode are changes reported as such, since outside it other tasks make them.
    support: full
  diff_mode:
    description: Shows the differences in check mode.
    support: full
seealso:
  - module: bulkhead.docker.observe_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Plan user namespaces
  bulkhead.docker.plan_layers:
    layers: [userns]
  register: plan
"""

RETURN = r"""
layers:
  description:
    - For each planned layer, and for C(engine_config), the change of the engine's configuration, what is to do.
  returned: when the host was compared
  type: dict
observed:
  description: What M(bulkhead.docker.observe_layers) returned of the host, now or up to 15 minutes ago.
  returned: when the host was compared
  type: dict
expect:
  description: What verification shall demand, by layer; the option O(bulkhead.docker.verify_layers#module:expect).
  returned: always
  type: dict
selected:
  description: Names of the layers that this run is about.
  returned: always
  type: list
  elements: str
desired:
  description: Every variable of the roles with its value or default.
  returned: always
  type: dict
blockers:
  description: What stands in the way, a sentence each. The task fails when there is one.
  returned: when the host was compared
  type: list
  elements: str
warnings:
  description: What wants attention.
  returned: when the host was compared
  type: list
  elements: str
notices:
  description: How something in the inventory was understood.
  returned: when the host was compared
  type: list
  elements: str
effects:
  description: What running containers will feel.
  returned: when the host was compared
  type: list
  elements: str
"""
