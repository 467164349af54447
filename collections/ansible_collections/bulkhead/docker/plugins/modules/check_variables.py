#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Fail if an extra variable has a former or an unknown name, or the policy is wrong
version_added: 0.1.0
description:
  - Checks the extra variables of this run (C(-e), C(--extra-vars)) before any host is contacted.
  - Fails for a former name of a playbook variable, such as C(target), and names the present one, C(bulkhead_target).
  - Fails for an unknown variable that begins with C(bulkhead_), and names the closest known one.
  - With O(policy), also checks C(bulkhead_containers_forbid), C(bulkhead_waivers), C(bulkhead_deep) and others of every host of the play.
  - Does not check the rest of the inventory. M(bulkhead.docker.rollout_decision) and M(bulkhead.docker.plan_layers) check its variables.
  - Runs on the control node. No host is contacted. Run it once per play (C(run_once)).
author:
  - Bulkhead maintainers (@bulkhead)
options:
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
