#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_layers
short_description: Show and write the verification of a host, and fail if a requirement is not met
version_added: 0.1.0
description:
  - Prints a compact table of the layers and one line per finding, and writes C(verify-HOST.json) on the control node.
  - Fails if a layer that the inventory requires is not C(enforced). C(unknown) is accepted in check mode, where no probe container runs.
  - Fails if a running container has a forbidden exposure (O(forbid)) that is neither allowed nor waived.
  - If the host was not reached, or M(bulkhead.docker.verify_layers) failed, the report says so and replaces the one of an earlier run.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  started:
    description:
      - Replace an earlier report by one that says that a run has started to change this host. Nothing else is done.
      - A host on which the run is interrupted then does not count as verified.
    type: bool
    default: false
  required_layers:
    description:
      - Names of the layers that can fail this host, such as RV(bulkhead.docker.plan_layers#module:selected). The report contains the status of all layers.
      - If left out, all layers that the inventory requires, and the settings of its containers.
    type: list
    elements: str
  expect:
    description:
      - The expectations of the verification, RV(bulkhead.docker.plan_layers#module:expect). The report keeps a digest, which shows a later run whether the
        desired state has changed since.
    type: dict
  failure:
    description:
      - The failure that ended the run on this host before its verification, C(task) and C(msg). The host then does not count as verified, whatever its status.
      - If C(task) is empty, the run was stopped on this host because another host failed.
    type: dict
  forbid:
    description:
      - Kinds of exposure that fail the host, C(bulkhead_containers_forbid). With an empty list, all are only reported.
      - If left out, V(privileged), V(engine_socket), V(host_system_writable), V(host_pid), V(host_mount), V(block_device) and V(memory_device).
    type: raw
  required_controls:
    description:
      - Controls that fail the host if they fail or are unknown, C(bulkhead_controls_required). Each entry is a number such as C(CIS-2.8), a section such as
        C('5'), V(level1), or V(level2), which includes level 1.
      - If left out, controls are only reported.
    type: raw
  waivers:
    description:
      - Findings that are accepted until a date, C(bulkhead_waivers). Each is a mapping with C(finding), C(reason) and C(until), and may have the patterns
        C(host) and C(container).
      - If left out, nothing is waived.
    type: raw
  fail:
    description: Fail if a requirement is not met. If V(false), M(bulkhead.docker.require_layers) can do so later.
    type: bool
    default: true
  plan:
    description:
      - Result of M(bulkhead.docker.plan_layers), for a host that is watched. Its changes are drift. Drift is written into the report and RV(problem), and
        fails the task like a layer that is not enforced.
    type: dict
  verification:
    description: Result of M(bulkhead.docker.verify_layers). Not needed with O(started).
    type: dict
  report_dir:
    description: Folder on the control node. Created if it does not exist; relative to the working directory.
    type: str
    default: reports
  show:
    description:
      - V(all) prints the table of every host, V(failing) only the message of a failing host.
      - V(auto) is V(all) for a play of up to 20 hosts and V(failing) for more.
    type: str
    choices: [auto, all, failing]
    default: auto
attributes:
  check_mode:
    description: Writes the report in check mode too. The host is not affected.
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
- name: Report the verification
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
    forbid: [privileged, engine_socket, host_pid]
    waivers:
      - finding: container.engine_socket
        container: portainer
        reason: it manages this host
        until: 2027-03-31
    report_dir: /srv/reports
"""

RETURN = r"""
report:
  description: Path of the report on the control node.
  returned: always
  type: str
  sample: reports/verify-web1.json
unmet_controls:
  description: The required controls that fail or are unknown, each with its status.
  returned: when the host was verified
  type: list
  elements: str
not_enforced:
  description: The required layers that are not enforced, each with its status.
  returned: always
  type: list
  elements: str
  sample: ["userns (absent)"]
problem:
  description: What is wrong on the host, one message; empty if nothing is.
  returned: always
  type: str
exposed:
  description:
    - The containers with forbidden exposures. Each entry has C(container), C(kind), C(finding) and C(exposures), the IDs of the exposures.
    - They are not part of RV(problem).
  returned: always
  type: list
  elements: dict
exposed_problem:
  description: The same as one message; empty if there are none.
  returned: always
  type: str
waived:
  description: The findings that a waiver accepts, each with C(container), C(finding), C(reason) and C(until). C(container) is empty for a finding of the host.
  returned: always
  type: list
  elements: dict
policy:
  description: The policy by which the host was judged, C(forbid), C(waivers) and C(allow), as the report keeps it.
  returned: when the host was verified
  type: dict
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
