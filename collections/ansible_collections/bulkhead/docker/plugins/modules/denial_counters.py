#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: denial_counters
short_description: Make the kernel count what it denies to containers
version_added: 0.1.0
description:
  - Loads eBPF programs that count denied system calls per container, call, error and cause. Most of these denials are in no log.
  - A denied call ends with EPERM, EACCES or EROFS, or with any error that a seccomp filter answers. EAGAIN counts for calls that start a task.
  - The cause is read where the kernel denies the call, in seccomp's filter, AppArmor, the check of capabilities, the device list, the PIDs limit or a
    read-only mount. Otherwise, it is derived from the task's user.
  - A program that is executed under no-new-privileges counts if it would have given another user, another group or a capability to the process.
  - The programs stay in the kernel, without a process. The unit C(bulkhead-denials.service) loads them at boot. Counts end with the boot.
  - M(bulkhead.docker.denials_info) reads the counts. No container is restarted, and the engine's configuration does not change.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description:
      - V(present) loads the programs and installs the unit. V(absent) removes both, with all counts.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Returns RV(would), and changes nothing.
    support: full
  diff_mode:
    description: What changes is in the kernel. RV(would) names it.
    support: none
seealso:
  - module: bulkhead.docker.denials_info
  - module: bulkhead.docker.record_containers
"""

EXAMPLES = r"""
- name: Count denials
  bulkhead.docker.denial_counters:

- name: Stop counting, and remove what was installed
  bulkhead.docker.denial_counters:
    state: absent
"""

RETURN = r"""
would:
  description: Messages on what was done, or in check mode on what would be done.
  returned: success
  type: list
  elements: str
  sample: [load the programs that count denials]
armed:
  description: Whether the kernel counts at the end of the task.
  returned: success
  type: bool
"""

from ..module_utils.denial_counters.install import START, find_changes, install_counters, list_removals, remove_counters
from ..module_utils.denial_counters.kernel import find_counting_obstacle, is_counting
from ..module_utils.denial_counters.pins import CountersError
from ..module_utils.engine.systemctl import ServiceError
from ..module_utils.host.archive import build_archive
from ..module_utils.host.root import Host
from ..module_utils.host.state import lock_host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}},
        supports_check_mode=True,
    )
    host, present = Host(), module.params["state"] == "present"
    if present and not host.path("/run/systemd/system").is_dir():
        module.fail_json(msg="this host does not run systemd, and a unit of systemd loads the counters at boot; use hosts with systemd")
    if present and (obstacle := find_counting_obstacle(host)):
        module.fail_json(msg=obstacle)
    program, version = build_archive(START)
    try:
        would = find_changes(host, version) if present else list_removals(host)
        if would and not module.check_mode:
            with lock_host(host):
                install_counters(host, version, program) if present else remove_counters(host)
    except (OSError, ServiceError, CountersError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(would), would=would, armed=is_counting())


if __name__ == "__main__":
    main()
