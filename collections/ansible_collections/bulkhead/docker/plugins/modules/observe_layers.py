#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: observe_layers
short_description: Collect the state of every hardening layer of a Docker host
version_added: 0.1.0
description:
  - Reads in one visit what planning needs of the machine, the engine and its files, subordinate IDs and profiles. Changes nothing.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  user:
    description: The user whose rootless engine is observed. Without it, the rootful engine is.
    type: str
  remap_user:
    description: The desired value of C(userns-remap).
    type: str
    default: ""
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Collect the state of the host
  bulkhead.docker.observe_layers:
  register: host
"""

RETURN = r"""
observed:
  description: The host, as C(docs/architecture.md) describes it. C(engine.running) and C(engine.error) describe an engine that does not answer.
  returned: success
  type: dict
"""

from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.layers.planning_observation import observe_for_planning
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "user": {"type": "str"},
            "remap_user": {"type": "str", "default": ""},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    instance = find_instance(Host(), module.params["user"])
    engine = Engine.for_instance(instance, module.params["timeout"], module.params["socket"])
    try:
        observed = observe_for_planning(Host(), engine, instance, module.params["remap_user"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, observed=observed)


if __name__ == "__main__":
    main()
