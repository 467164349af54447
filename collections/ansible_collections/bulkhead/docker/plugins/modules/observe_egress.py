#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: observe_egress
short_description: Collect the rules for what containers may reach, and what they depend on
version_added: 0.1.0
description:
  - Reads the kernel's table, Bulkhead's file of rules, the networks of the engine, bridges, nameservers and present connections. Resolves names.
  - Also loads the file into an empty network namespace that ends at once, so that nft prints its rules in the same form as those of the table.
  - M(bulkhead.docker.plan_layers) and M(bulkhead.docker.verify_layers) run it on hosts that configure the layer C(egress).
  - Changes nothing on the host that outlives the module.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  names:
    description: Names that the host resolves.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
  user:
    description: The user of a rootless engine. Its networks are in a namespace of the user, so that only its published ports are read.
    type: str
  probe:
    description:
      - Addresses to which the module connects, as containers do, from bridges of the engine or as the user of a rootless engine.
      - Its own processes listen there, in a network namespace. They, and all devices and routes, end with the module.
    type: list
    elements: str
    default: []
  listed_networks:
    description: Names of networks with rules of their own, of which O(probe) tries one.
    type: list
    elements: str
    default: []
  listed_projects:
    description: Compose projects with rules of their own, of whose networks O(probe) tries one.
    type: list
    elements: str
    default: []
  socket:
    description: The engine's API socket. The default is where its process listens.
    type: path
attributes:
  check_mode:
    description: Reads only. Nothing is probed in check mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.egress_rules
"""

EXAMPLES = r"""
- name: Collect the rules for what containers may reach
  bulkhead.docker.observe_egress:
    names: [registry.example.com]
  register: egress
"""

RETURN = r"""
egress:
  description: What was found.
  returned: success
  type: dict
  contains:
    nft:
      description: Path of nft; null if it is not installed.
      type: str
    table:
      description: Objects of the kernel's table without counts and handles; null without a table.
      type: list
      elements: dict
    form:
      description: The same for the file of rules.
      type: list
      elements: dict
    counters:
      description: Preset -> denied packets since the rules were loaded.
      type: dict
    names:
      description: Name -> C(addresses) and C(error).
      type: dict
    probe:
      description:
        - C(reached), bridge -> address -> whether it was reached, C(problems), bridge -> why it could not be tried, and C(error), why nothing could be tried.
        - Null without O(probe). The name of the bridge is empty for a rootless engine.
      type: dict
    networks:
      description: Networks of the engine, with C(name), C(driver), C(bridge), C(project) and C(internal).
      type: list
      elements: dict
    connections:
      description: Connections that containers began, with C(container), C(destination), C(protocol) and C(port).
      type: list
      elements: dict
"""

from typing import Any

from ..module_utils.engine.client import open_engine
from ..module_utils.engine.instance import Instance, find_instance
from ..module_utils.host.egress import observe_rules, read_nameservers, resolve_names
from ..module_utils.host.egress_networks import list_own_addresses, observe_networks
from ..module_utils.host.egress_probe import run_probe
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "names": {"type": "list", "elements": "str", "default": []},
            **{name: {"type": "list", "elements": "str", "default": []} for name in ("probe", "listed_networks", "listed_projects")},
            "timeout": {"type": "int", "default": 60},
            "socket": {"type": "path"},
            "user": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        found = observe_egress(Host(), {**module.params, "probe": [] if module.check_mode else module.params["probe"]})
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"the egress rules cannot be read: {error}")
    module.exit_json(changed=False, egress=found)


def observe_egress(host: Host, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the module returns as `egress`. Raises OSError, ValueError."""
    instance = find_instance(host, options["user"])
    engine = open_engine(host, instance, options["timeout"], options["socket"])
    networks = observe_networks(host, engine)
    if instance.rootless:
        networks |= {
            "networks": [],
            "containers": [],
            "connections": [],
            "connections_error": "connections of a rootless engine cannot be attributed to containers",
        }
    return {
        **observe_rules(host),
        **networks,
        "probe": _probe(host, options, networks, instance),
        "addresses": list_own_addresses(host),
        "names": resolve_names(options["names"]),
        "nameservers": read_nameservers(host),
    }


def _probe(host: Host, options: dict[str, Any], networks: dict[str, Any], instance: Instance) -> dict[str, Any] | None:
    """Return what was reached from where, and why nothing could be tried; None without addresses to try."""
    if not options["probe"]:
        return None
    listed = {"networks": options["listed_networks"], "projects": options["listed_projects"]}
    taken = {address for each in networks["containers"] for address in each["addresses"]}
    uid = instance.uid if instance.rootless else None
    try:
        return {**run_probe(host, options["probe"], networks["networks"], listed, taken, uid), "error": ""}
    except (OSError, ValueError) as error:
        return {"reached": {}, "problems": {}, "error": str(error)}


if __name__ == "__main__":
    main()
