#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_attacks
short_description: Show and write down a matrix of attacks, and fail when it does not show what the inventory demands
version_added: 0.1.0
description:
  - Prints the matrix, a line an attack and a sign a configuration, and writes C(attack-HOST.json) on the control node.
  - Fails when an attack is stopped by fewer layers than O(required) says, each of them by itself. An attack that proves nothing on this host, or was not
    played, does not meet a demand.
  - A host on which nothing was played gets a report that says so, in the place of an earlier one.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  matrix:
    description: What M(bulkhead.docker.attack_matrix) returned.
    type: dict
    required: true
  required:
    description: Attack → number of layers that have to stop it, each by itself.
    type: dict
    default: {}
  fail:
    description: Fail when a demand is not met or nothing was played, and count a host that was not reached as unreachable.
    type: bool
    default: true
  report_dir:
    description: Folder on the control node for the report, made when missing; relative to where the playbook was started.
    type: str
    default: reports
  show:
    description: Print the matrix.
    type: bool
    default: true
attributes:
  check_mode:
    description: Nothing on the host is concerned.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.attack_matrix
"""

EXAMPLES = r"""
- name: Show the matrix, and fail where an attack is stopped by fewer layers than demanded
  bulkhead.docker.report_attacks:
    matrix: "{{ matrix }}"
    required:
      kexec_load: 3
      host_disk: 3
"""

RETURN = r"""
report:
  description:
    - Path of the file that was written on the control node. It holds C(host), C(written) (ISO 8601), C(required) and C(unmet) (as here), C(met) (whether
      C(unmet) is empty), and C(matrix) (the return value of M(bulkhead.docker.attack_matrix)). Where nothing was played, C(matrix) is empty, C(met) is
      false, and C(error) and C(unreachable) say why.
  returned: always
  type: str
  sample: reports/attack-web1.json
required:
  description: What was demanded, as it was given.
  returned: when a matrix was played
  type: dict
unmet:
  description: What the inventory demands and the matrix does not show, a sentence each.
  returned: always
  type: list
  elements: str
problem:
  description: What is wrong, in one sentence; empty when nothing is.
  returned: always
  type: str
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
