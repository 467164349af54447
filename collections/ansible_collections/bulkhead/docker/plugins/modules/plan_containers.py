#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan_containers
short_description: Say what the hardened containers of a host need
version_added: 0.1.0
description:
  - Compares the containers that role P(bulkhead.docker.hardened_container#role) describes with those that the engine has, all in one run, over the engine's
    API and with the Python standard library alone. It changes nothing; P(community.docker.docker_compose_v2#module) or
    P(community.docker.docker_container#module) then run what differs.
  - Refuses a container of the same name that somebody else made, and a host on which those modules can't run what differs.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  containers:
    description: The containers, complete, as M(bulkhead.docker.plan_layers) returns them under C(desired.hardened_container_list).
    type: list
    elements: dict
    required: true
  run_by:
    description: Whether a compose project runs them, or each is run by itself.
    type: str
    choices: [compose, container]
    default: compose
  project:
    description: Name of the compose project.
    type: str
    default: bulkhead
  compose_file:
    description: Where the project's file lies on the host.
    type: path
    default: /etc/bulkhead/compose.yml
  seccomp_directory:
    description: Where the seccomp profiles lie on the host, as NAME.json.
    type: path
    default: /etc/docker/seccomp
  user:
    description: The user in whose rootless engine they run; the rootful engine when left out or empty.
    type: str
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: It only looks.
    support: full
  diff_mode:
    description: Shows what is to be done, by container.
    support: full
seealso:
  - module: bulkhead.docker.verify_layers
  - module: community.docker.docker_compose_v2
  - module: community.docker.docker_container
"""

EXAMPLES = r"""
- name: Say what the inventory wants
  bulkhead.docker.plan_layers:
    observe: false
  register: desired

- name: See what differs
  bulkhead.docker.plan_containers:
    containers: "{{ desired.desired.hardened_container_list }}"
  register: planned
"""

RETURN = r"""
actions:
  description: What is to be done, by container; nothing where nothing is. Any of C(create), C(replace), C(start) and C(remove).
  returned: success
  type: dict
  sample: {"shop": "create"}
fingerprints:
  description: By container, what its label C(io.bulkhead.hardened) shall say. It stands for all of its settings.
  returned: success
  type: dict
options:
  description: By container that needs anything, options of P(community.docker.docker_container#module).
  returned: with O(run_by=container)
  type: dict
moved:
  description: By container, the ID of the image that it has, where the name of its image stands for another one now.
  returned: success
  type: dict
compose:
  description: The compose file as it is; empty where there is none.
  returned: success
  type: str
docker_host:
  description: How a client reaches the engine.
  returned: success
  type: str
  sample: unix:///var/run/docker.sock
"""

from ..module_utils.engine.api import Engine, EngineError
from ..module_utils.engine.instance import find_instance
from ..module_utils.hardened.plan import CannotRun, lacking, plan
from ..module_utils.hardened.settings import COMPOSE, CONTAINER
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "containers": {"type": "list", "elements": "dict", "required": True},
            "run_by": {"type": "str", "choices": [COMPOSE, CONTAINER], "default": COMPOSE},
            "project": {"type": "str", "default": "bulkhead"},
            "compose_file": {"type": "path", "default": "/etc/bulkhead/compose.yml"},
            "seccomp_directory": {"type": "path", "default": "/etc/docker/seccomp"},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = Host()
    instance = find_instance(host, params["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: there is no {instance.user} on this host; harden it first, or name the user who runs its engine")
    socket = params["socket"] or instance.socket
    try:
        engine = Engine.for_instance(instance, params["timeout"], socket)
        planned = plan(host, engine, params["containers"], params["seccomp_directory"], params["run_by"], params["project"])
        problem = lacking(params["run_by"]) if planned.actions else ""
        if problem:
            raise CannotRun(problem)
        compose = host.read(params["compose_file"]) if params["run_by"] == COMPOSE else ""
    except (CannotRun, EngineError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        actions=planned.actions,
        fingerprints=planned.fingerprints,
        moved=planned.moved,
        compose=compose or "",
        docker_host=f"unix://{socket}",
        diff={"before": "", "after": "".join(f"{name}: {action}\n" for name, action in planned.actions.items())},
        **({"options": planned.options} if params["run_by"] == CONTAINER else {}),
    )


if __name__ == "__main__":
    main()
