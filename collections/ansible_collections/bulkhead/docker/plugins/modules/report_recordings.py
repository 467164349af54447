#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report_recordings
short_description: Merge what hosts recorded of their containers, and generate profiles
version_added: 0.1.0
description:
  - Merges what all hosts of the play recorded (M(bulkhead.docker.record_containers), registered by role container_recorder) into one file per service,
    C(SERVICE.yml) in O(folder).
  - From it, generates C(SERVICE.generated.yml) with entries for C(seccomp_profiles_list), C(apparmor_profiles_list) and C(hardened_container_list), and
    C(SERVICE.compose.override.yml). The plugin P(bulkhead.docker.recorded#lookup) reads the entries.
  - Prints, for each service, its coverage, its stage, what is missing before C(enforce) is reasonable, and what changed in the generated profiles, with
    reasons.
  - Fails if the stage of a service is C(enforce), its gate is not passed, and the inventory gives no reason. Its files then stay as they are. With a reason,
    the file C(SERVICE.generated.yml) contains it.
  - A new image, runtime or kernel begins the days of the gate anew. A service that was enforced before with the same profiles then stays enforced, with a
    warning. If its profiles would change too, the module fails, and the former ones stay.
  - A service that is in stage C(log) or C(enforce) and for which no host of the play has an entry keeps its files. If a host of the play recorded it, the
    module fails. To end a stage, write C(stage=record).
  - If C(container_recorder_services) names a service that was not recorded, only recordings are written. The name may be misspelt, and a recorded
    service would then lose its profiles.
  - If nothing can be generated of one kind (calls or access), the other is generated, and a note says why.
  - Hosts without a result are skipped; the others are merged.
  - In check mode, writes nothing.
  - Runs on the control node, once per play; no host is visited.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  check:
    description:
      - Only check what is known before a host is visited, that is, the entries of the inventory, the recordings, and that both folders can be written.
    type: bool
    default: false
  folder:
    description: Folder on the control node for the recordings. Created if it does not exist; relative to the working directory.
    type: path
    default: recordings
  keep:
    description:
      - Whether the caller removes the recorders next. Writes all that can be written, prints nothing, and fails only if a part of what was recorded could not
        be written. A closed gate is not a failure then.
    type: bool
    default: false
  report_dir:
    description: Folder on the control node for C(recordings.json), from which the page of the fleet shows each service.
    type: path
    default: reports
  show:
    description: V(all) prints all services, V(failing) only what is missing. V(auto) is V(all) for up to 20 services and V(failing) for more.
    type: str
    choices: [auto, all, failing]
    default: auto
attributes:
  check_mode:
    description: Shows what would be written.
    support: full
  diff_mode:
    description: Shows how each file changes.
    support: full
seealso:
  - module: bulkhead.docker.record_containers
  - plugin: bulkhead.docker.recorded
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Merge and report the recordings
  bulkhead.docker.report_recordings:
    folder: recordings
  run_once: true
"""

RETURN = r"""
services:
  description: One entry per service that has a recording.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      type: str
      sample: shop-web
    stage:
      description: C(record), C(log) or C(enforce).
      type: str
    passed:
      description: Whether the gate is passed.
      type: bool
    missing:
      description: What is missing before C(enforce) is reasonable, one message each.
      type: list
      elements: str
    calls:
      description: Number of different system calls that were recorded.
      type: int
    files:
      description: Files that were written, or would be in check mode.
      type: list
      elements: str
problems:
  description: Hosts and recordings that could not be used, one message each.
  returned: always
  type: list
  elements: str
"""
