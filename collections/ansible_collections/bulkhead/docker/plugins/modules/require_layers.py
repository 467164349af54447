#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: require_layers
short_description: Fail a host on which a requirement is not met, after all reports are written
version_added: 0.1.0
description:
  - With O(bulkhead.docker.report_layers#module:fail=false), M(bulkhead.docker.report_layers) does not fail, so that the play can write the fleet report. This
    module then fails with the problem of the host's report. A host that was not reached becomes unreachable, so that Ansible counts it as such.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  exposures:
    description:
      - Also fail for containers with forbidden exposures, RV(bulkhead.docker.report_layers#module:exposed).
      - A rollout sets it to V(false), because no change of the host removes what a container was granted.
    type: bool
    default: true
  report:
    description: Result of M(bulkhead.docker.report_layers) or M(bulkhead.docker.rollout_decision).
    type: dict
    required: true
attributes:
  check_mode:
    description: Behaves the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.report_layers
  - module: bulkhead.docker.fleet_report
"""

EXAMPLES = r"""
- name: Report the verification
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
    fail: false
  register: report

- name: Write the fleet report
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
  run_once: true

- name: Fail if a required layer is not enforced
  bulkhead.docker.require_layers:
    report: "{{ report }}"
"""

RETURN = r"""
msg:
  description: What is wrong on the host, and the file with the evidence.
  returned: failure
  type: str
  sample: "required and not enforced on web1: userns (absent); evidence in reports/verify-web1.json"
"""
