#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write the report of a whole fleet from the reports of its hosts
version_added: 0.1.0
description:
  - Reads every C(verify-HOST.json), C(attack-HOST.json) and C(denials-HOST.json) in a folder of the control node and writes there C(fleet.html) (one
    self-contained page),
    C(fleet.junit.xml) (JUnit), C(fleet.sarif) (SARIF 2.1.0), C(fleet.prom) (Prometheus' text format) and C(fleet.json) (what the next report compares
    with).
  - A host counts as good only when it is C(verified), that is when a recent report shows that every layer the inventory requires is enforced. A host that
    was not reached, was never verified, was verified too long ago or is no longer in the inventory is reported as just that.
  - Fails only when the report can't be written. Whether a host holds is said by M(bulkhead.docker.require_layers).
  - Runs on the control node; no host is visited. Run it once a play (C(run_once)).
  - Leaves C(bulkhead_fleet) among the play's statistics (as M(ansible.builtin.set_stats) does), where ansible-runner and AWX find it as an artifact of the
    job, and a workflow's next job as a variable.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  hosts:
    description:
      - The hosts that ought to be there. One of them without a report is C(never) verified; a report of any other host is C(gone).
      - When left out, the reports in the folder are all there is.
    type: list
    elements: str
  events:
    description:
      - Runs whose events are to be read before anything else, each an artifact folder of ansible-runner (one with C(job_events) in it) or a JSON file of events
        (one event, a list of them, or a page of C(/api/v2/jobs/ID/job_events/) of AWX).
      - The reports of their hosts are written to O(report_dir) as if the run had written them there, with the time at which it did; one in the folder that
        is newer stays. So the slices of a sliced job, each with a file system of its own, make one report.
    type: list
    elements: path
  metrics_file:
    description: Also write the metrics to this file, such as one in the folder of node_exporter's textfile collector.
    type: path
  report_dir:
    description: Folder on the control node, made when missing; relative to where the playbook was started.
    type: str
    default: reports
  show:
    description: Print a summary.
    type: bool
    default: true
  stale_hours:
    description: How old, in hours, the report of a host may be for the host to count as verified.
    type: float
    default: 48.0
attributes:
  check_mode:
    description: Writes the report in check mode too; nothing on a host is concerned.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.report_layers
  - module: bulkhead.docker.require_layers
"""

EXAMPLES = r"""
- name: Write the report of the fleet
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
    metrics_file: /var/lib/prometheus/node-exporter/bulkhead.prom
  run_once: true

- name: Write one report of the two slices of a job
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
    events: [/srv/jobs/17/artifacts, /srv/jobs/18/artifacts]
  run_once: true
"""

RETURN = r"""
files:
  description: What was written.
  returned: success
  type: list
  elements: str
  sample: [reports/fleet.html, reports/fleet.junit.xml, reports/fleet.sarif, reports/fleet.prom, reports/fleet.json]
hosts:
  description: The hosts by condition (C(failing), C(unreachable), C(unproven), C(never), C(stale), C(gone), C(verified)).
  returned: success
  type: dict
verified:
  description: Whether every host is C(verified), but for those that are C(gone), and every file in the folder could be read.
  returned: success
  type: bool
ansible_stats:
  description:
    - What is left among the play's statistics. Its C(data.bulkhead_fleet) holds C(verified) (as here), C(hosts) (how many there are by condition) and
      C(not_verified) (the names of those that are not, by condition).
  returned: success
  type: dict
problems:
  description: A sentence for each file that is no report, or holds no event.
  returned: success
  type: list
  elements: str
"""
