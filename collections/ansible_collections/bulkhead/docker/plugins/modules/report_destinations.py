#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_destinations
short_description: Propose what containers should be allowed to reach
version_added: 0.1.0
description:
  - Reads what the egress rules recorded in the stage C(log), which a task of M(bulkhead.docker.plan_layers) collected and registered as
    C(__bulkhead_egress_plan) on each host of the play.
  - Writes C(destinations-HOST.json) on the control node. Later runs add to it, so that nothing is lost when the rules are loaded again or a host restarts.
  - Writes C(destinations.yml), the variables of role C(container_egress) of all hosts of the play with the missing destinations added. Prints the latter.
  - What preset C(metadata) denies is printed and not proposed.
  - Runs on the control node; no host is visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  report_dir:
    description: Folder on the control node for the files. Created if it does not exist; relative to the working directory.
    type: str
    default: reports
attributes:
  check_mode:
    description: Writes the files in check mode too. No host is affected.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.observe_egress
"""

EXAMPLES = r"""
- name: Propose what containers should be allowed to reach
  bulkhead.docker.report_destinations:
  run_once: true
"""

RETURN = r"""
file:
  description: Path of the file with the variables; empty if they miss nothing.
  returned: always
  type: str
  sample: reports/destinations.yml
missing:
  description: Host -> destinations that its variables do not allow, each with C(label) (the network or project), C(address), C(protocol), C(port) and C(first).
  returned: always
  type: dict
hosts:
  description: Host -> C(problem), why its destinations are not known, and C(unreached). M(bulkhead.docker.require_layers) reads it.
  returned: always
  type: dict
"""
