#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_layers
short_description: Show and write down what was proven of a host, and fail when a required layer does not hold
version_added: 0.1.0
description:
  - Prints a compact table of the layers and a line for each finding, and writes C(verify-HOST.json) on the control node.
  - Fails when a layer that the inventory requires is anything but C(enforced). In check mode, where no canary runs, C(unknown) is shown and forgiven.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  proof:
    description: What M(bulkhead.docker.verify_layers) returned.
    type: dict
    required: true
  report_dir:
    description: Folder on the control node for the report, made when missing; relative to where the playbook was started.
    type: str
    default: reports
  show:
    description: Print the table.
    type: bool
    default: true
attributes:
  check_mode:
    description: Writes the report in check mode too; nothing on the host is concerned.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Show what was proven
  bulkhead.docker.report_layers:
    proof: "{{ proof }}"
    report_dir: /srv/reports
"""

RETURN = r"""
report:
  description: Path of the file that was written on the control node.
  returned: when something was proven
  type: str
  sample: reports/verify-web1.json
not_enforced:
  description: The required layers that do not hold, each with its status.
  returned: when something was proven
  type: list
  elements: str
  sample: ["userns (absent)"]
"""
