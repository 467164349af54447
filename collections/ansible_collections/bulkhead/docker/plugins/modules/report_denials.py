#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_denials
short_description: Show and write the denials of a host
version_added: 0.1.0
description:
  - Prints one line per denial and per log gap, and writes C(denials-HOST.json) on the control node, which M(bulkhead.docker.fleet_report) reads. Denials and
    log gaps do not fail the task.
  - Marks denials that are new for their service. The file also keeps when each denial was seen, so learning begins anew if it is deleted.
  - If the host was not reached, or M(bulkhead.docker.denials_info) failed, the report says so and replaces the one of an earlier run.
    M(bulkhead.docker.require_layers) can fail such a host later.
  - Runs on the control node; the host is not visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  denials:
    description: Result of M(bulkhead.docker.denials_info), or the failure of its task.
    type: dict
    required: true
  report_dir:
    description: Folder on the control node for the report. Created if it does not exist; relative to the working directory.
    type: str
    default: reports
  show:
    description: V(all) prints the denials, V(failing) does not. V(auto) is V(all) for a play of up to 20 hosts and V(failing) for more.
    type: str
    choices: [auto, all, failing]
    default: auto
  usual_days:
    description:
      - Number of days. What a service is denied in its first days is usual. A later denial is new for the same number of days after its first report. The
        service is the image without tag and digest, on this host.
    type: float
    default: 7
attributes:
  check_mode:
    description: Writes the report in check mode too. The host is not affected.
    support: full
  diff_mode:
    description: Changes nothing on a host.
    support: none
seealso:
  - module: bulkhead.docker.denials_info
  - module: bulkhead.docker.fleet_report
"""

EXAMPLES = r"""
- name: Report denials
  bulkhead.docker.report_denials:
    denials: "{{ denials }}"
"""

RETURN = r"""
report:
  description:
    - Path of the file that was written on the control node. It contains C(host), C(written) (ISO 8601) and C(denials_info) (the result of
      M(bulkhead.docker.denials_info), each denial with C(new)). Without a result, C(denials_info) is empty, and C(error) and C(unreachable) give the reason.
  returned: always
  type: str
  sample: reports/denials-web1.json
new:
  description: Number of denied operations that are new for their service.
  returned: always
  type: int
problem:
  description: Why the denials of the host are unknown, one message; empty if they are known.
  returned: always
  type: str
unreached:
  description: Whether the host was not reached.
  returned: always
  type: bool
"""
