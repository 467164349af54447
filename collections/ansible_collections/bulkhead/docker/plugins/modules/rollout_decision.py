#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_decision
short_description: Decide from a host's plan what a rollout does with the host
version_added: 0.1.0
description:
  - The decision is C(included), C(skipped), C(blocked) (the plan has blockers) or C(unreachable).
  - A host is C(skipped) if its plan has no change and no warning, and its C(verify-HOST.json) shows every required layer enforced. The report must be
    about the same settings, and be younger than O(resume_minutes) and than the engine's start.
  - Writes C(plan-HOST.json) on the control node. A host that was not reached, or that is blocked and left out, gets a C(verify-HOST.json) that says so.
  - Reads the variables C(bulkhead_blocked) and C(bulkhead_unreachable) of the host, C(stop) or C(leave_out) each. A host with any other variable that begins
    with C(bulkhead_), except those of the playbooks, is C(blocked).
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  plan:
    description: Result of M(bulkhead.docker.plan_layers), or the failure of its task.
    type: dict
    required: true
  report_dir:
    description: Folder on the control node for plans and reports; relative to the working directory.
    type: str
    default: reports
  resume:
    description: Whether a host may be C(skipped) because of an earlier report.
    type: bool
    default: true
  resume_minutes:
    description: Maximum age of that report, in minutes.
    type: float
    default: 60
attributes:
  check_mode:
    description: Writes the plan in check mode too, and no report.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.rollout_preflight
"""

EXAMPLES = r"""
- name: Plan the changes
  bulkhead.docker.plan_layers:
  register: plan
  ignore_unreachable: true
  failed_when: false

- name: Assign a decision to each host
  bulkhead.docker.rollout_decision:
    plan: "{{ plan }}"
  register: decision
"""

RETURN = r"""
batch:
  description: The batch of an included host, C(validation), C(canary) or C(fleet); otherwise empty.
  returned: success
  type: str
decision:
  description: C(included), C(skipped), C(blocked) or C(unreachable).
  returned: success
  type: str
group:
  description: Name of a group for the batch, for M(ansible.builtin.group_by).
  returned: success
  type: str
  sample: bulkhead_batch_canary
problem:
  description: Why the host is blocked or unreachable; otherwise empty.
  returned: success
  type: str
blockers:
  description: Why the plan cannot proceed, one message each.
  returned: success
  type: list
  elements: str
unreached:
  description: Whether the host was not reached.
  returned: success
  type: bool
"""
