#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Fail if a variable or a tag of this run is unknown, or a value is wrong
version_added: 0.1.0
description:
  - Checks the extra variables of this run (C(-e), C(--extra-vars)) before any host is contacted.
  - Fails for a former name of a playbook variable, such as C(target), and names the present one, C(bulkhead_target).
  - Fails for an unknown variable that begins with C(bulkhead_), and names the closest known one.
  - Fails for values that the playbooks cannot use, for example C(bulkhead_batch=many).
  - Fails for C(--tags) that would select nothing, so that no run succeeds without having done its work.
  - With O(policy), also checks C(bulkhead_containers_forbid), C(bulkhead_waivers), C(bulkhead_deep) and others of every host of the play.
  - With O(inventory), also fails for unknown variables of hosts that begin with C(bulkhead_).
  - Does not check the rest of the inventory. M(bulkhead.docker.rollout_decision) and M(bulkhead.docker.plan_layers) check its variables.
  - Runs on the control node. No host is contacted. Run it once per play (C(run_once)).
author:
  - Bulkhead maintainers (@bulkhead)
options:
  layers:
    description: Whether layers are tags of this playbook. If so, any other tag is an error. If not, every tag is an error.
    type: bool
    default: false
  inventory:
    description: Whether to check the names of the hosts' variables that begin with C(bulkhead_).
    type: bool
    default: false
  policy:
    description: Check the kinds of exposure that the inventory forbids, its waivers, and how deep the verification is.
    type: bool
    default: false
attributes:
  check_mode:
    description: Checks the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
"""

EXAMPLES = r"""
- name: Check the extra variables
  bulkhead.docker.check_variables:
  run_once: true
  tags: [always]

- name: Check the variables of a play that verifies
  bulkhead.docker.check_variables:
    policy: true
  run_once: true
  tags: [always]
"""

RETURN = r"""
problems:
  description: One message per variable.
  returned: failure
  type: list
  elements: str
  sample: ["target: was renamed; write -e bulkhead_target=…"]
"""
