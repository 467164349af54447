#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan_layers
short_description: Compare a Docker host with the desired state
version_added: 0.1.0
description:
  - Reads the variables of all roles of this collection, checks them (types, choices, misspelt names, named files), and compares them with the result of
    M(bulkhead.docker.observe_layers). Returns blockers, warnings and changes by layer.
  - Runs on the control node. Observes the host only if the same run has not done so in the last 15 minutes.
  - Fails with all blockers at once, before anything is changed. In check mode it reports C(changed) and, with C(--diff), the differences.
  - Tags that are names of layers select these layers.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  layers:
    description: Plan these layers only; all if left out.
    type: list
    elements: str
  observe:
    description: Whether to compare with the host. If V(false), only the checked variables and C(expect) are returned.
    type: bool
    default: true
  observed:
    description: Result of M(bulkhead.docker.observe_layers), instead of the observation of this run.
    type: dict
  refresh:
    description: Observe the host again, because a task has changed it.
    type: bool
    default: false
  show:
    description: Print the table of planned changes.
    type: bool
    default: false
attributes:
  check_mode:
    description: Plans in both modes. Reports changes in check mode only, because outside it other tasks make them.
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
    - The plan of each layer, and of C(engine_config), the change of the engine's configuration.
  returned: when the host was compared
  type: dict
observed:
  description: Result of M(bulkhead.docker.observe_layers), up to 15 minutes old.
  returned: when the host was compared
  type: dict
expect:
  description: The expectations of the verification, by layer; the option O(bulkhead.docker.verify_layers#module:expect).
  returned: always
  type: dict
selected:
  description: Names of the layers that this run selects.
  returned: always
  type: list
  elements: str
socket:
  description: Path of the rootful engine's socket that the inventory sets; empty if it sets none, and for a rootless engine.
  returned: always
  type: str
desired:
  description: Every variable of the roles with its value or default.
  returned: always
  type: dict
has_changes:
  description: Whether the plan of a layer has changes, the engine is to be installed, or an interrupted run is to be undone.
  returned: when the host was compared
  type: bool
blockers:
  description: Why the plan cannot proceed, one message each. The task fails if there is one.
  returned: when the host was compared
  type: list
  elements: str
warnings:
  description: What needs attention.
  returned: when the host was compared
  type: list
  elements: str
notices:
  description: How values of the inventory are interpreted.
  returned: when the host was compared
  type: list
  elements: str
effects:
  description: Effects on running containers.
  returned: when the host was compared
  type: list
  elements: str
affected:
  description: The effects as data.
  returned: when the host was compared
  type: list
  elements: dict
  contains:
    text:
      description: The effect without names.
      type: str
    containers:
      description: Names of the containers concerned; empty if it is none in particular.
      type: list
      elements: str
    details:
      description: Details on some of these containers, by name, such as their published ports.
      type: dict
"""
