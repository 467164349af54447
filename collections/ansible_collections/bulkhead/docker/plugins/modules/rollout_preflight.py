#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_preflight
short_description: Show in one table what a rollout will do where
version_added: 0.1.0
description:
  - Reads what M(bulkhead.docker.rollout_decision) wrote in this run and prints one table. Hosts of which the same can be said are one row, so that it is as
    long for 500 equal hosts as for one; below it stands for each row what is done, what containers feel, and what is refused or worth knowing.
  - Runs on the control node; no host is visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  batch_size:
    description: How many hosts of the fleet go at a time, to be shown.
    type: str
    default: 25%
  hosts:
    description: The hosts that the rollout is about.
    type: list
    elements: str
    required: true
  report_dir:
    description: Folder on the control node that the plans are in.
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
- name: Show what will happen where
  bulkhead.docker.rollout_preflight:
    hosts: "{{ ansible_play_hosts_all }}"
  register: preflight
  run_once: true
"""

RETURN = r"""
not_taken:
  description: The hosts that are refused or were not reached.
  returned: success
  type: list
  elements: str
stops:
  description: The hosts because of which no host may be touched.
  returned: success
  type: list
  elements: str
"""
