#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_denials
short_description: Show and write down who was refused what on a host
version_added: 0.1.0
description:
  - Prints a line for each denial and each gap, and writes C(denials-HOST.json) on the control node, of which M(bulkhead.docker.fleet_report) makes the
    report of the fleet. Refusals and gaps fail nothing.
  - A host that was not reached, or on which M(bulkhead.docker.denials_info) failed, gets a report that says so in place of the one of an earlier run, and
    M(bulkhead.docker.require_layers) can fail by it later.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  denials:
    description: What M(bulkhead.docker.denials_info) returned.
    type: dict
    required: true
  report_dir:
    description: Folder on the control node for the report, made when missing; relative to where the playbook was started.
    type: str
    default: reports
  show:
    description: Whether to print them, V(all), or not, V(failing). V(auto) is V(all) for a play of up to 20 hosts and V(failing) for one of more.
    type: str
    choices: [auto, all, failing]
    default: auto
attributes:
  check_mode:
    description: Writes the report in check mode too; nothing on the host is concerned.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.denials_info
  - module: bulkhead.docker.fleet_report
"""

EXAMPLES = r"""
- name: Show it and write it down
  bulkhead.docker.report_denials:
    denials: "{{ denials }}"
"""

RETURN = r"""
report:
  description:
    - Path of the file that was written on the control node. It holds C(host), C(written) (ISO 8601) and C(heard) (the return value of
      M(bulkhead.docker.denials_info)), or C(error) and C(unreachable).
  returned: always
  type: str
  sample: reports/denials-web1.json
problem:
  description: Why nothing is known of the host, in one sentence; empty when something is.
  returned: always
  type: str
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
