#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_batch
short_description: Say how a batch of a rollout ended, and whether the next may begin
version_added: 0.1.0
description:
  - Prints one line when every host of this run that was begun is verified. Otherwise it prints what stopped the rollout, namely each host with the task that
    failed, the layers that do not hold, what the kernel showed of them and the file with the evidence; then who was stopped with them, who was verified
    before, and who was not touched.
  - A host that was begun, and that Ansible dropped from the play because it was no longer reached, gets a report that says so.
  - A rollout asks before each batch (O(gate)), as ansible-core goes on after a batch in which a host was no longer reached, even where every error is
    fatal; it compares the number of hosts with those that failed and those that were not reached, and such a host is both (2.19,
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
    description: Ask at the beginning of a batch, and print nothing that has been said already.
    type: bool
    default: false
  hosts:
    description: The hosts of the fleet.
    type: list
    elements: str
    required: true
  report_dir:
    description: Folder on the control node that plans and reports are in.
    type: str
    default: reports
  stale_hours:
    description: As of M(bulkhead.docker.fleet_report).
    type: float
    default: 48
attributes:
  check_mode:
    description: Says the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.rollout_preflight
  - module: bulkhead.docker.report_layers
"""

EXAMPLES = r"""
- name: See whether all before went well
  bulkhead.docker.rollout_batch:
    batch: canary
    hosts: "{{ groups.docker_hosts }}"
    gate: true
  register: before
  run_once: true

- name: End it otherwise
  ansible.builtin.meta: end_play
  when: before.stopped

- name: Say how the batch ended
  bulkhead.docker.rollout_batch:
    batch: canary
    hosts: "{{ groups.docker_hosts }}"
  run_once: true
"""

RETURN = r"""
verified:
  description: Hosts that this run has begun, and that are verified.
  returned: success
  type: list
  elements: str
not_verified:
  description: Hosts on which something failed, or on which a required layer does not hold.
  returned: success
  type: list
  elements: str
stopped:
  description: Whether the rollout must not go on.
  returned: success
  type: bool
beside:
  description: Hosts that were stopped because another one of their batch failed.
  returned: success
  type: list
  elements: str
lost:
  description: Hosts that were begun, and then no longer reached.
  returned: success
  type: list
  elements: str
untouched:
  description: Hosts that this run has not begun.
  returned: success
  type: list
  elements: str
"""
