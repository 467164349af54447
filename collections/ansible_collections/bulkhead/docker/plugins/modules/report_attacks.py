#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_attacks
short_description: Show and write the attack matrix of a host, and fail if fewer layers than required stop an attack
version_added: 0.1.0
description:
  - Prints the matrix, one line per attack and one sign per configuration, and writes C(attack-HOST.json) on the control node.
  - Fails if fewer layers than O(required) stop an attack, each on its own. An attack that is inconclusive on this host, or was not run, does not meet a
    requirement.
  - If no attack was run on the host, the report says so and replaces the one of an earlier run.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  matrix:
    description: Result of M(bulkhead.docker.attack_matrix), or the failure of its task.
    type: dict
    required: true
  network:
    description: Result of M(bulkhead.docker.network_attacks), or the failure of its task. Its attacks and its column become part of the matrix.
    type: dict
    default: {}
  required:
    description: The number of layers that must stop an attack, each on its own, by the name of the attack.
    type: dict
    default: {}
  fail:
    description: Fail if a requirement is not met or no attack was run. A host that was not reached becomes unreachable.
    type: bool
    default: true
  report_dir:
    description: Folder on the control node for the report. Created if it does not exist; relative to the working directory.
    type: str
    default: reports
  show:
    description: Print the matrix.
    type: bool
    default: true
attributes:
  check_mode:
    description: Writes no report in check mode, in which no attack is run.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.attack_matrix
  - module: bulkhead.docker.network_attacks
"""

EXAMPLES = r"""
- name: Report the attack matrix
  bulkhead.docker.report_attacks:
    matrix: "{{ matrix }}"
    required:
      kexec_load: 3
      host_disk: 3
"""

RETURN = r"""
report:
  description:
    - Path of the file that was written on the control node. It contains C(host), C(written) (ISO 8601), C(required) and C(unmet) (as here), C(met) (whether
      C(unmet) is empty), and C(matrix) (the result of M(bulkhead.docker.attack_matrix), with that of O(network)).
    - If no attack was run, C(matrix) is empty, C(met) is false, and C(error) and C(unreachable) give the reason.
  returned: always
  type: str
  sample: reports/attack-web1.json
required:
  description: The option O(required).
  returned: success
  type: dict
unmet:
  description: The requirements that are not met, one message each.
  returned: always
  type: list
  elements: str
problem:
  description: What is wrong on the host, one message; empty if nothing is.
  returned: always
  type: str
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
