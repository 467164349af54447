#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_preflight
short_description: Show in one table what a rollout will do to which hosts
version_added: 0.1.0
description:
  - Reads the decisions that M(bulkhead.docker.rollout_decision) wrote in this run and prints one table. Identical hosts share one row, so the table is as
    long for 500 identical hosts as for one. Details of each row follow, namely changes, effects on running containers, warnings, notices and blockers.
  - Runs on the control node; no host is visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  batch_size:
    description: Size of the batches of the fleet, for display.
    type: str
    default: 25%
  hosts:
    description: The hosts of the rollout.
    type: list
    elements: str
    required: true
  report_dir:
    description: Folder of the plans on the control node.
    type: str
    default: reports
attributes:
  check_mode:
    description: Shows the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.rollout_decision
  - module: bulkhead.docker.rollout_batch
"""

EXAMPLES = r"""
- name: Show the plan of all hosts
  bulkhead.docker.rollout_preflight:
    hosts: "{{ ansible_play_hosts_all }}"
  register: preflight
  run_once: true
"""

RETURN = r"""
excluded:
  description: The hosts that are blocked or unreachable.
  returned: success
  type: list
  elements: str
stops:
  description: The hosts that stop the rollout before any host is changed.
  returned: success
  type: list
  elements: str
"""
