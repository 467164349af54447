#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: network_attacks
short_description: Run attacks over the network from containers, with and without the egress rules
version_added: 0.1.0
description:
  - Runs the attacks C(metadata_service), C(host_service), C(other_network), C(lateral_container), C(raw_spoof) and C(dns_tunnel) in one container per column,
    one after the other. The image is put together on the host from the host's own Python.
  - The containers of the columns C(none) and C(egress) differ in one thing only. That of C(none) is in a network whose bridge the rules of layer
    C(egress) do not match.
  - The rules stop an attack if it succeeds in C(none), fails in C(egress), and the kernel counted its packets before the rules and none after them.
  - The targets are processes of the module in a network namespace, on the host's own addresses of these networks, and in a container. If the host reaches a
    metadata service, containers connect to that one instead, and send nothing. C(dns_tunnel) asks the nameserver for a name below C(invalid).
  - Networks, containers, image, devices, routes and the table that counts are always removed. What a killed run leaves is removed by the next run of this
    module.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  hardened:
    description: Settings of the column C(stacked), as in M(bulkhead.docker.attack_matrix).
    type: dict
    default: {}
  configurations:
    description: Which of the columns C(host) and C(stacked) to run besides C(none) and C(egress); by default both. Other names are ignored.
    type: list
    elements: str
  user:
    description: The user of a rootless engine. No attack is run there, because the egress rules apply to everything that this user sends.
    type: str
  timeout:
    description: Maximum seconds per answer of the engine and per container.
    type: int
    default: 240
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: No attack runs in check mode.
    support: full
  diff_mode:
    description: Nothing that outlives the task is changed.
    support: none
seealso:
  - module: bulkhead.docker.attack_matrix
  - module: bulkhead.docker.report_attacks
"""

EXAMPLES = r"""
- name: Run the attacks over the network
  bulkhead.docker.network_attacks:
  register: network
"""

RETURN = r"""
configurations:
  description: The columns, as in M(bulkhead.docker.attack_matrix).
  returned: when the attacks ran
  type: list
  elements: dict
attacks:
  description: The rows, as in M(bulkhead.docker.attack_matrix). C(trace) of a cell is what the kernel logged.
  returned: when the attacks ran
  type: list
  elements: dict
seconds:
  description: Duration in seconds.
  returned: when the attacks ran
  type: float
"""

from ..module_utils.attack.network_matrix import run_network_attacks
from ..module_utils.attack.network_rows import build_inapplicable
from ..module_utils.engine.api import EngineError
from ..module_utils.engine.client import open_engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "hardened": {"type": "dict", "default": {}},
            "configurations": {"type": "list", "elements": "str"},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 240},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="no attack runs in check mode")
    if params["user"]:
        module.exit_json(changed=False, **build_inapplicable(params["user"]))
    host = Host()
    engine = open_engine(host, find_instance(host, None), params["timeout"], params["socket"])
    try:
        found = run_network_attacks(host, engine, params["hardened"], params["configurations"])
    except (EngineError, OSError, ValueError) as error:
        module.fail_json(msg=f"the attacks over the network did not run: {error}")
    finally:
        engine.close()
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
