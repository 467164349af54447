#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write the report of a fleet from the reports of its hosts
version_added: 0.1.0
description:
  - Reads every C(verify-HOST.json), C(attack-HOST.json) and C(denials-HOST.json) in a folder of the control node.
  - Reads C(recordings.json) there, which M(bulkhead.docker.report_recordings) writes.
  - Writes into the same folder C(fleet.html) (one self-contained page), C(fleet.junit.xml) (JUnit), C(fleet.sarif) (SARIF 2.1.0), C(fleet.prom)
    (Prometheus' text format) and C(fleet.json) (input of the next report).
  - A host is C(verified) if a recent report shows that every layer the inventory requires is enforced. All other conditions need attention, and are reported
    by name, for example C(unreachable), C(never) or C(stale).
  - Fails only if the report cannot be written. M(bulkhead.docker.require_layers) fails hosts that do not meet the requirements.
  - Runs on the control node; no host is visited. Run it once per play (C(run_once)).
  - Sets the statistic C(bulkhead_fleet), as M(ansible.builtin.set_stats) does. ansible-runner and AWX keep it as an artifact of the job, and the next job of a
    workflow gets it as a variable.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  hosts:
    description:
      - The hosts that must have a report. A listed host without a report is C(never). A host that has a report and is not in the inventory is C(gone).
      - If left out, the fleet consists of the reports in the folder.
    type: list
    elements: str
  events:
    description:
      - Runs whose events are read first. Each is an artifact folder of ansible-runner (with C(job_events) in it) or a JSON file of events (one event, a list,
        or a page of C(/api/v2/jobs/ID/job_events/) of AWX).
      - Their reports are written to O(report_dir), with the times of the runs. Newer reports in the folder are kept. So the slices of a sliced job, each with
        its own file system, share one report.
    type: list
    elements: path
  metrics_file:
    description: Also write the metrics to this file, such as one in the folder of node_exporter's textfile collector.
    type: path
  report_dir:
    description: Folder on the control node. Created if it does not exist; relative to the working directory.
    type: str
    default: reports
  show:
    description: Print a summary.
    type: bool
    default: true
  stale_hours:
    description: Maximum age, in hours, of a report that counts.
    type: float
    default: 48.0
attributes:
  check_mode:
    description: Writes the report in check mode too. Hosts are not affected.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.report_layers
  - module: bulkhead.docker.require_layers
"""

EXAMPLES = r"""
- name: Write the fleet report
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
    metrics_file: /var/lib/prometheus/node-exporter/bulkhead.prom
  run_once: true

- name: Write one report for two slices of a job
  bulkhead.docker.fleet_report:
    hosts: "{{ groups.docker_hosts }}"
    events: [/srv/jobs/17/artifacts, /srv/jobs/18/artifacts]
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
  sample: [reports/fleet.html, reports/fleet.junit.xml, reports/fleet.sarif, reports/fleet.prom, reports/fleet.json]
hosts:
  description: The hosts by condition (C(failing), C(unreachable), C(unverified), C(never), C(stale), C(gone), C(verified)).
  returned: success
  type: dict
verified:
  description: Whether every host that is not C(gone) is C(verified), and every file in the folder is valid.
  returned: success
  type: bool
exposed:
  description: The names of containers with forbidden exposures, by host. A host can be C(verified) and have exposed containers.
  returned: success
  type: dict
waivers:
  description: The number of waivers by state (C(used), C(unused), C(expired), C(unchecked)).
  returned: success
  type: dict
ansible_stats:
  description:
    - The statistic. C(data.bulkhead_fleet) contains C(verified), C(exposed) and C(waivers) (as here), C(hosts) (their number by condition) and
      C(not_verified) (the names of the other hosts, by condition).
  returned: success
  type: dict
problems:
  description: One message per file that is not a report, or does not contain events.
  returned: success
  type: list
  elements: str
"""
