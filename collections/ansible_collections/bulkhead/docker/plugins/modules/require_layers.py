#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: require_layers
short_description: Fail a host on which a required layer does not hold, after all reports are written
version_added: 0.1.0
description:
  - M(bulkhead.docker.report_layers) with O(bulkhead.docker.report_layers#module:fail=false) lets a play go on, so that the report of the whole fleet can
    be written; this says what the host's report says. A host that was not reached becomes unreachable here, so that Ansible counts it as such.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  report:
    description: What M(bulkhead.docker.report_layers) returned, or M(bulkhead.docker.rollout_decision).
    type: dict
    required: true
attributes:
  check_mode:
    description: Says the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.report_layers
  - module: bulkhead.docker.fleet_report
"""

EXAMPLES = r"""
- name: Show it and write the report
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
    fail: false
  register: report

- name: Write the report of the fleet
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
  run_once: true

- name: Fail where a required layer does not hold
  bulkhead.docker.require_layers:
    report: "{{ report }}"
"""

RETURN = r"""
msg:
  description: What is wrong on the host, and where the evidence is.
  returned: failure
  type: str
  sample: "required and not enforced on web1: userns (absent); evidence in reports/verify-web1.json"
"""
