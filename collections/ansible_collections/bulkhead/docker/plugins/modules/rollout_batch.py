#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_batch
short_description: Report the result of a batch of a rollout, and whether the next may begin
version_added: 0.1.0
description:
  - Prints one line if every host that this run has started to change is verified. Otherwise it prints each host that stopped the rollout, with the failed task,
    the layers that are not enforced, their evidence and its file. It also lists the hosts that were not completed, verified before, or not changed.
  - A host that became unreachable during its change, and that Ansible dropped from the play, gets a report that says so.
  - A rollout checks this before each batch (O(gate)), because ansible-core continues after a batch in which a host became unreachable, even if every error is
    fatal. It compares the number of hosts with the sum of failed and unreachable hosts, and such a host counts twice (2.19,
    C(executor/playbook_executor.py)).
  - Runs on the control node; no host is visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  batch:
    description: Name of the batch.
    type: str
    required: true
  gate:
    description: Check at the beginning of a batch, and print nothing that was printed already.
    type: bool
    default: false
  hosts:
    description: The hosts of the fleet.
    type: list
    elements: str
    required: true
  report_dir:
    description: Folder of the plans and reports on the control node.
    type: str
    default: reports
  stale_hours:
    description: Maximum age, in hours, of a report that counts.
    type: float
    default: 48
attributes:
  check_mode:
    description: Behaves the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.rollout_preflight
  - module: bulkhead.docker.report_layers
"""

EXAMPLES = r"""
- name: Check earlier batches
  bulkhead.docker.rollout_batch:
    batch: canary
    hosts: "{{ groups.docker_hosts }}"
    gate: true
  register: earlier
  run_once: true

- name: Stop after a failed batch
  ansible.builtin.meta: end_play
  when: earlier.stopped

- name: Report the result of the batch
  bulkhead.docker.rollout_batch:
    batch: canary
    hosts: "{{ groups.docker_hosts }}"
  run_once: true
"""

RETURN = r"""
verified:
  description: Hosts that this run has changed and verified.
  returned: success
  type: list
  elements: str
not_verified:
  description: Hosts on which a task failed, or a required layer is not enforced.
  returned: success
  type: list
  elements: str
stopped:
  description: Whether the rollout must stop.
  returned: success
  type: bool
incomplete:
  description: Hosts that were not completed because another host of their batch failed.
  returned: success
  type: list
  elements: str
lost:
  description: Hosts that became unreachable during their change.
  returned: success
  type: list
  elements: str
untouched:
  description: Hosts that this run has not started to change.
  returned: success
  type: list
  elements: str
"""
