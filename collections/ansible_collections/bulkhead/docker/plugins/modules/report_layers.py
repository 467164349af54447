#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_layers
short_description: Show and write down what was verified of a host, and fail when a required layer does not hold
version_added: 0.1.0
description:
  - Prints a compact table of the layers and a line for each finding, and writes C(verify-HOST.json) on the control node.
  - Fails when a layer that the inventory requires is anything but C(enforced). In check mode, where no probe runs, C(unknown) is shown and forgiven.
  - A host of which nothing was verified, because it was not reached or M(bulkhead.docker.verify_layers) failed, gets a report that says so in place of the
    one of an earlier run.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  started:
    description:
      - Write that a run is about to change this host and that nothing has been verified since, in place of an earlier report. Nothing else is done.
      - A host that a run leaves in the middle, whatever ends it, is then no good one.
    type: bool
    default: false
  required_layers:
    description:
      - The layers that have to hold, by name, such as RV(bulkhead.docker.plan_layers#module:selected). The report says of all of them what holds.
      - Left out, all layers that the inventory requires, and the containers that it describes.
    type: list
    elements: str
  expect:
    description:
      - What verification demanded, RV(bulkhead.docker.plan_layers#module:expect). A digest of it is kept in the report, so that a later run sees
        whether the host was held against what is desired then.
    type: dict
  failure:
    description:
      - What ended the run on this host before its verification, C(task) and C(msg). The host is then no good one, whatever the verification says.
      - With an empty C(task) it was stopped because another host failed.
    type: dict
  fail:
    description: Fail when a required layer does not hold. If V(false), M(bulkhead.docker.require_layers) can do so later.
    type: bool
    default: true
  plan:
    description:
      - What M(bulkhead.docker.plan_layers) returned, for a host that is only watched. What it would change is drift; it is written into the report, named in
        RV(problem), and fails as a layer does that does not hold.
    type: dict
  verification:
    description: What M(bulkhead.docker.verify_layers) returned. Not needed with O(started).
    type: dict
  report_dir:
    description: Folder on the control node for the report, made when missing; relative to where the playbook was started.
    type: str
    default: reports
  show:
    description:
      - Whether to print the table of the host, V(all), or to leave it to the failure to say what does not hold, V(failing).
      - V(auto) is V(all) for a play of up to 20 hosts and V(failing) for one of more.
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
  - module: bulkhead.docker.verify_layers
  - module: bulkhead.docker.require_layers
  - module: bulkhead.docker.fleet_report
"""

EXAMPLES = r"""
- name: Show what was verified
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
    report_dir: /srv/reports
"""

RETURN = r"""
report:
  description: Path of the file that was written on the control node.
  returned: always
  type: str
  sample: reports/verify-web1.json
not_enforced:
  description: The required layers that do not hold, each with its status.
  returned: always
  type: list
  elements: str
  sample: ["userns (absent)"]
problem:
  description: What is wrong on the host, in one sentence; empty when nothing is.
  returned: always
  type: str
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
