#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: observe_layers
short_description: Collect the state of every hardening layer of a Docker host
version_added: 0.1.0
description:
  - Reads in one visit what planning needs, namely the machine (kernel, LSMs, cgroup version), the engine (version, drivers, what C(/info) says, what
    runs and what data there is), C(daemon.json) and the unit's flags, subordinate ID files, AppArmor profiles on disk and in the kernel, seccomp
    profiles, and what this collection remembers as its own.
  - Changes nothing, starts nothing.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  user:
    description: The user whose rootless engine is desired on this host. Left out, it is the rootful engine that everything is about.
    type: str
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Reads only, in check mode as outside it.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: See what there is
  bulkhead.docker.observe_layers:
  register: host
"""

RETURN = r"""
observed:
  description: The host, as C(docs/architecture.md) describes it. An engine that does not answer is described by C(engine.running) and C(engine.error).
  returned: success
  type: dict
  contains:
    at:
      description: When it was observed, in seconds since the epoch, by the host's clock.
      type: float
    system:
      description: Kernel release, machine, distribution, LSMs, cgroup version, whether systemd is the running init.
      type: dict
    pending:
      description: What waits for a restart (C(reboot), C(modules), C(replaced)), and the C(room) that the engine has on its disk.
      type: dict
    instance:
      description: Which engine that is. C(user) is empty for the rootful one.
      type: dict
    engine:
      description: The desired engine, its containers in brief, and what data it holds.
      type: dict
    daemon_json:
      description: The engine's configuration file.
      type: dict
    layers:
      description: For each layer with a state of its own, that state.
      type: dict
"""

from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find
from ..module_utils.host.root import Host
from ..module_utils.layers.observation import observe_host, shorten_for_planning
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={"user": {"type": "str"}, "socket": {"type": "path"}, "timeout": {"type": "int", "default": 60}},
        supports_check_mode=True,
    )
    instance = find(Host(), module.params["user"])
    engine = Engine.of(instance, module.params["timeout"], module.params["socket"])
    try:
        observed = observe_host(Host(), engine, instance)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, observed=shorten_for_planning(observed))


if __name__ == "__main__":
    main()
