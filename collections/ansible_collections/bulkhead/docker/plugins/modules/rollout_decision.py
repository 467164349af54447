#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_decision
short_description: Say what becomes of a host in a rollout, from its plan
version_added: 0.1.0
description:
  - Reads what M(bulkhead.docker.plan_layers) found of a host and decides whether the rollout goes to it (C(take)), need not (C(verified)), must not
    (C(refused)) or can't (C(unreachable)).
  - A host is C(verified) when its plan has nothing to do and warns of nothing, and C(verify-HOST.json) shows every layer that is desired enforced, held against
    the same settings, by a verification that is younger than O(resume_minutes) and than the engine's start.
  - Writes C(plan-HOST.json) on the control node. A host that was not reached, or is left out because it is refused, gets a C(verify-HOST.json) that says so.
  - Reads the variables C(bulkhead_blocked) and C(bulkhead_unreachable) of the host, C(stop) or C(leave_out).
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  plan:
    description: What M(bulkhead.docker.plan_layers) returned, or the failure of its task.
    type: dict
    required: true
  report_dir:
    description: Folder on the control node for plans and reports; relative to where the playbook was started.
    type: str
    default: reports
  resume:
    description: Whether a host may be C(verified) by an earlier report.
    type: bool
    default: true
  resume_minutes:
    description: How old that report may be.
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
- name: Plan what will happen
  bulkhead.docker.plan_layers:
  register: plan
  ignore_unreachable: true
  failed_when: false

- name: Note what becomes of each host
  bulkhead.docker.rollout_decision:
    plan: "{{ plan }}"
  register: note
"""

RETURN = r"""
batch:
  description: The batch that the host goes with, C(validation), C(canary) or C(fleet); empty when it goes with none.
  returned: success
  type: str
fate:
  description: C(take), C(verified), C(refused) or C(unreachable).
  returned: success
  type: str
group:
  description: Name of a group for the batch, for M(ansible.builtin.group_by).
  returned: success
  type: str
  sample: bulkhead_batch_canary
problem:
  description: Why the host can't be taken; empty when it can, or need not.
  returned: success
  type: str
refused:
  description: What stands in the way, a sentence each.
  returned: success
  type: list
  elements: str
unreached:
  description: Whether the host was not reached.
  returned: success
  type: bool
"""
