#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan_containers
short_description: Compare the hardened containers of a host with the desired ones
version_added: 0.1.0
description:
  - Compares the containers that role P(bulkhead.docker.hardened_container#role) describes with those that the engine has, all in one run. Uses the engine's
    API and the Python standard library only.
  - Changes nothing. P(community.docker.docker_compose_v2#module) or P(community.docker.docker_container#module) then run what differs.
  - Fails for a container of the same name that the role did not create, and on a host that lacks what those modules need.
  - Fails if this host would reject a container that is to start, and names each obstacle. These are more CPUs than the engine has, a network or an AppArmor
    profile that does not exist, and a port that another process or container has.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  containers:
    description: The complete list of containers, C(hardened_container_list) of RV(bulkhead.docker.plan_layers#module:desired).
    type: list
    elements: dict
    required: true
  run_by:
    description: Whether a compose project runs the containers, or each container is run on its own.
    type: str
    choices: [compose, container]
    default: compose
  project:
    description: Name of the compose project.
    type: str
    default: bulkhead
  compose_file:
    description: Path of the project's file on the host.
    type: path
    default: /etc/bulkhead/compose.yml
  seccomp_directory:
    description: Folder of the seccomp profiles on the host.
    type: path
    default: /etc/docker/seccomp
  user:
    description: The user in whose rootless engine the containers run. Empty or left out for the rootful engine.
    type: str
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Shows the action for each container.
    support: full
seealso:
  - module: bulkhead.docker.verify_layers
  - module: community.docker.docker_compose_v2
  - module: community.docker.docker_container
"""

EXAMPLES = r"""
- name: Resolve the desired state
  bulkhead.docker.plan_layers:
    observe: false
  register: plan

- name: Plan the containers
  bulkhead.docker.plan_containers:
    containers: "{{ plan.desired.hardened_container_list }}"
  register: containers_plan
"""

RETURN = r"""
actions:
  description: The action for each container that differs, by its name. C(create), C(replace), C(start) or C(remove).
  returned: success
  type: dict
  sample: {"shop": "create"}
fingerprints:
  description: The desired value of each container's label C(io.bulkhead.hardened), a digest of its settings, by the container's name.
  returned: success
  type: dict
options:
  description: Options of P(community.docker.docker_container#module) for each container with an action, by its name.
  returned: with O(run_by=container)
  type: dict
moved:
  description: For each container whose image name now means another image, by its name, the ID of the image that it runs.
  returned: success
  type: dict
missing:
  description: Images of containers to create or replace that the engine does not have.
  returned: success
  type: list
  elements: str
compose:
  description: The text of the present compose file; empty if there is none.
  returned: success
  type: str
docker_host:
  description: The address of the engine for a client.
  returned: success
  type: str
  sample: unix:///var/run/docker.sock
"""

from ..module_utils.engine.api import EngineError
from ..module_utils.engine.client import open_engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.hardened.plan import CannotRun, find_missing_tool, plan_containers
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
        module.fail_json(
            msg=f"user: {instance.user} does not exist on this host; harden the host first, or write the user who runs its engine"
        )
    engine = open_engine(host, instance, params["timeout"], params["socket"])
    try:
        planned = plan_containers(host, engine, params["containers"], params["seccomp_directory"], params["run_by"], params["project"])
        problem = find_missing_tool(params["run_by"]) if planned.actions else ""
        if problem:
            raise CannotRun(problem)
        compose = host.read(params["compose_file"]) if params["run_by"] == COMPOSE else ""
    except (CannotRun, EngineError, OSError) as error:
        module.fail_json(msg=str(error))
    for text in planned.warnings:
        module.warn(text)
    module.exit_json(
        changed=False,
        actions=planned.actions,
        fingerprints=planned.fingerprints,
        moved=planned.moved,
        missing=planned.missing,
        compose=compose or "",
        docker_host=f"unix://{engine.socket}",
        diff={"before": "", "after": "".join(f"{name}: {action}\n" for name, action in planned.actions.items())},
        **({"options": planned.options} if params["run_by"] == CONTAINER else {}),
    )


if __name__ == "__main__":
    main()
