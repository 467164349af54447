#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hardened_container
short_description: Run containers with every hardening layer stacked
version_added: 0.1.0
description:
  - Creates, starts, replaces and removes the containers that role P(bulkhead.docker.hardened_container#role) describes, all in one run, over the engine's
    API and with the Python standard library alone.
  - A container whose settings or image have changed is replaced; should its successor not start, the old one comes back. One of the same name that
    somebody else made is refused, never replaced.
  - An image that the engine does not have is pulled, without credentials.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  containers:
    description: The containers, complete, as M(bulkhead.docker.plan_layers) returns them under C(wanted.hardened_container_list).
    type: list
    elements: dict
    required: true
  seccomp_directory:
    description: Where the seccomp profiles lie on the host, as NAME.json.
    type: path
    default: /etc/docker/seccomp
  user:
    description: The user in whose rootless engine they run; the rootful engine when left out or empty.
    type: str
  socket:
    description: Path of the unix socket that the engine listens on, by default C(/var/run/docker.sock), or C(docker.sock) in the runtime folder of O(user).
    type: path
  timeout:
    description: Seconds that one answer of the engine may take, the pulling of an image included.
    type: int
    default: 300
attributes:
  check_mode:
    description: Says what would be created, replaced, started or removed.
    support: full
  diff_mode:
    description: Shows what would be done, by container.
    support: full
seealso:
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Say what the inventory wants
  bulkhead.docker.plan_layers:
    observe: false
  register: wanted

- name: Run the containers
  bulkhead.docker.hardened_container:
    containers: "{{ wanted.wanted.hardened_container_list }}"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, by container.
  returned: success
  type: dict
  sample: {"shop": "create"}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.engine.api import Engine, EngineError
from ..module_utils.engine.instance import find
from ..module_utils.hardened.run import CannotRun, apply, plan
from ..module_utils.host.root import Host


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "containers": {"type": "list", "elements": "dict", "required": True},
            "seccomp_directory": {"type": "path", "default": "/etc/docker/seccomp"},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = Host()
    instance = find(host, params["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: there is no {instance.user} on this host; harden it first, or name the user who runs its engine")
    engine = Engine(params["socket"] or instance.socket, params["timeout"])
    try:
        steps = plan(host, engine, params["containers"], params["seccomp_directory"])
        actions = {step.name: step.action for step in steps if step.action}
        if not module.check_mode:
            for step in steps:
                apply(engine, step)
    except (CannotRun, EngineError, OSError) as error:
        module.fail_json(msg=str(error))
    diff = {"before": "", "after": "".join(f"{name}: {action}\n" for name, action in actions.items())}
    module.exit_json(changed=bool(actions), actions=actions, diff=diff)


if __name__ == "__main__":
    main()
