#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: attack_matrix
short_description: Play harmless stand-ins of known container escapes against every layer alone, all together and none
version_added: 0.1.0
description:
  - Plays an intruder with code execution in a container, in one container a configuration, from an image put together on the host from the host's own
    Python. Each attack is harmless by construction (opened and not written, arguments that the kernel refuses behind its permission checks, stand-ins
    instead of secrets) and runs in a process of its own. Containers have no network and bounded memory, CPU and tasks.
  - An attack counts as stopped by a layer when it gets through without any layer (the control) and fails with that layer alone. One that fails in the
    control as well proves nothing, and the reason is told.
  - In a rootless engine no container can be without the user namespace. The control is then that layer alone, and every other one is looked at beside it.
    What fails there as well is stopped by the user namespace or by the kernel itself. Which of both can't be shown, and of the other layers it proves
    nothing.
  - That a configuration is what it is meant to be is read from the kernel (C(/proc/self/status) and others) inside each container; where a layer could not be
    switched off, the column is C(unknown).
  - Denials are read from the kernel's audit messages while the attacks run, and matched to them by process name.
  - Containers, image, stand-ins and kernel modules that an attack made the kernel load are removed whatever happens; what a killed run leaves is removed
    by the next run of this module or of M(bulkhead.docker.verify_layers).
author:
  - Bulkhead maintainers (@bulkhead)
options:
  hardened:
    description:
      - Settings of the configuration C(stacked), as role P(bulkhead.docker.hardened_container#role) gives them to containers.
    type: dict
    default: {}
    suboptions:
      user:
        description: User and group inside of the container.
        type: str
        default: 65534:65534
      read_only:
        description: Whether the root file system is read-only.
        type: bool
        default: true
      capabilities:
        description: Capabilities that are not dropped.
        type: list
        elements: str
        default: []
      seccomp_profile:
        description: Path of the seccomp profile on the host; empty for the host's default.
        type: str
        default: ""
      apparmor_profile:
        description: Name of the AppArmor profile; empty for the host's default.
        type: str
        default: ""
      pids_limit:
        description: Number of tasks; 0 for the host's default.
        type: int
        default: 0
  container:
    description: Name of a container of the host; the layers are then those of a sibling with its settings, and not of the host's defaults.
    type: str
    default: ""
  attacks:
    description: Names of the attacks to play; all when left out.
    type: list
    elements: str
  configurations:
    description: Names of the configurations to play besides the control; all when left out.
    type: list
    elements: str
  user:
    description: The user in whose rootless engine to play; the rootful engine when left out or empty.
    type: str
  tasks:
    description: How many processes the fork bomb starts at most. It must be more than the default PIDs limit, or the limit is never reached.
    type: int
    default: 128
  at_once:
    description: How many containers run side by side.
    type: int
    default: 2
  background:
    description:
      - Name of a job. The module then answers at once and plays on; what it does and its answer are written to C(/run/bulkhead-attack-NAME) on the host.
      - Left to the action plugin of the same name, which shows how far it is.
    type: str
  attack_timeout:
    description: Seconds after which one attack is ended, and its result C(unknown).
    type: int
    default: 60
  timeout:
    description: Seconds that one answer of the engine may take, the end of a container included; one that takes longer is removed.
    type: int
    default: 240
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: In check mode nothing is played.
    support: full
  diff_mode:
    description: Nothing that outlives the task is changed.
    support: none
seealso:
  - module: bulkhead.docker.report_attacks
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Play the attacks against the host's defaults
  bulkhead.docker.attack_matrix:
    hardened:
      seccomp_profile: /etc/docker/seccomp/bulkhead-web.json
      apparmor_profile: bulkhead-web
  register: matrix

- name: Show the matrix, and fail where an attack is stopped by fewer layers than the inventory says
  bulkhead.docker.report_attacks:
    matrix: "{{ matrix }}"
    required:
      host_disk: 3

- name: Play them in the rootless engine of one user
  bulkhead.docker.attack_matrix:
    user: rootless

- name: Play them in a sibling of one container
  bulkhead.docker.attack_matrix:
    container: shop
"""

RETURN = r"""
configurations:
  description: The columns, in order.
  returned: when played
  type: list
  elements: dict
  contains:
    name:
      description:
        - C(none), the name of a layer (that layer alone), C(engine), C(host) or C(stacked); with O(container), C(container) instead of these three.
        - In a rootless engine there is no C(none). C(userns) is the control, and a layer's name stands for it beside the user namespace.
      type: str
      sample: seccomp
    title:
      description: The same in words.
      type: str
    kind:
      description: C(control), C(alone) or C(together).
      type: str
    layers:
      description: The layers that are meant to be on; of the control those that can't be switched off.
      type: list
      elements: str
    confinement:
      description: What the kernel said of the player in this container; none where it did not start.
      type: dict
    trouble:
      description: Why this column shows nothing; empty when it does.
      type: str
    seconds:
      description: How long it took.
      type: float
attacks:
  description: The rows, in order.
  returned: when played
  type: list
  elements: dict
  contains:
    name:
      description: Name of the attack.
      type: str
      sample: host_disk
    family:
      description: What it belongs to.
      type: str
      sample: devices
    about:
      description: What the intruder does, in words.
      type: str
    foothold:
      description: What the container was given for it that a careful operator would not give; empty when nothing.
      type: str
    provable:
      description: Whether it gets through in the control.
      type: bool
    reason:
      description: Why it proves nothing; empty when it does.
      type: str
    stopped_by:
      description: The layers that stop it, each by itself.
      type: list
      elements: str
      sample: [apparmor, userns]
    layers:
      description: Their number.
      type: int
    cells:
      description: One entry a configuration, by its name.
      type: dict
      contains:
        outcome:
          description: C(blocked), C(succeeded), C(inconclusive) or C(unknown).
          type: str
        errno:
          description: The error that the attack got; none where it got no error, but no effect either.
          type: str
          sample: EPERM
        step:
          description: At which step it was stopped.
          type: str
          sample: mknod
        detail:
          description: More in words.
          type: str
        by:
          description:
            - The layers of this configuration that stop it by themselves. Empty for a refusal when none does as the host's defaults have it, for example
              because C(stacked) has stricter settings than these.
          type: list
          elements: str
        logged:
          description: Whether the kernel logged a refusal of it; none where the log could not be read.
          type: bool
        log:
          description: What the kernel logged, shortened.
          type: list
          elements: str
        silent:
          description: Why the kernel logged nothing, where it did not.
          type: str
subject:
  description: Whose layers were looked at, C(host), C(container NAME) or C(the rootless engine of USER).
  returned: when played
  type: str
  sample: host
log:
  description: Where the kernel's messages were read (C(source)), and why not or not all (C(error), empty when all).
  returned: when played
  type: dict
host:
  description: Kernel, distribution and engine, for the report.
  returned: when played
  type: dict
at:
  description: When it was played, in seconds since the epoch, by the host's clock.
  returned: when played
  type: float
seconds:
  description: How long it took.
  returned: when played
  type: float
"""

import time
from collections.abc import Callable
from typing import Any

from ..module_utils.attack.background import Job
from ..module_utils.attack.catalog import NAMES
from ..module_utils.attack.matrix import CannotPlay, play
from ..module_utils.engine.api import Engine, EngineError
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.host.system import observe_system
from ..module_utils.module import Module

HARDENED: dict[str, Any] = {
    "user": {"type": "str", "default": "65534:65534"},
    "read_only": {"type": "bool", "default": True},
    "capabilities": {"type": "list", "elements": "str", "default": []},
    "seccomp_profile": {"type": "str", "default": ""},
    "apparmor_profile": {"type": "str", "default": ""},
    "pids_limit": {"type": "int", "default": 0},
}


def main() -> None:
    module = Module(
        argument_spec={
            "hardened": {"type": "dict", "default": {}, "options": HARDENED, "apply_defaults": True},
            "container": {"type": "str", "default": ""},
            "attacks": {"type": "list", "elements": "str"},
            "configurations": {"type": "list", "elements": "str"},
            "tasks": {"type": "int", "default": 128},
            "at_once": {"type": "int", "default": 2},
            "background": {"type": "str"},
            "attack_timeout": {"type": "int", "default": 60},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 240},
        },
        supports_check_mode=True,
    )
    params = module.params
    attacks = NAMES if params["attacks"] is None else params["attacks"]
    unknown = sorted(set(attacks) - set(NAMES))
    if unknown:
        module.fail_json(msg=f"attacks: there is no attack called {unknown[0]!r}; write any of {', '.join(NAMES)}")
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="nothing is played in check mode")
    host = Host()
    limits = {"attack": params["attack_timeout"], "at_once": params["at_once"], "tasks": params["tasks"]}
    order = [name for name in NAMES if name in attacks]
    if not params["background"]:
        answer = _play(host, params, order, limits, lambda text: None)
        module.fail_json(**answer) if answer.get("failed") else module.exit_json(**answer)
    try:
        job = Job(host, params["background"])
        job.begin(lambda: module.exit_json(changed=False, background=params["background"]))
    except OSError as error:
        module.fail_json(msg=f"the attacks were not played: {error}")
    job.end(_play(host, params, order, limits, job.told))


def _play(host: Host, params: dict[str, Any], attacks: list[str], limits: dict[str, float], told: Callable[[str], None]) -> dict[str, Any]:
    """The module's answer."""
    instance = find_instance(host, params["user"])
    if instance.uid is None:
        text = f"user: there is no {instance.user} on this host; harden it first, or name the user who runs its engine"
        return {"failed": True, "msg": f"the attacks were not played: {text}"}
    try:
        matrix = play(
            host,
            instance,
            lambda: Engine.for_instance(instance, params["timeout"], params["socket"]),
            params["hardened"],
            params["container"],
            params["configurations"],
            attacks,
            limits,
            told,
        )
    except (CannotPlay, EngineError, OSError) as error:
        return {"failed": True, "msg": f"the attacks were not played: {error}"}
    system = observe_system(host)
    about = {key: system[key] for key in ("kernel", "machine", "distribution_name")}
    return {"changed": False, "at": time.time(), "host": {**about, "version": matrix.pop("engine")}, **matrix}


if __name__ == "__main__":
    main()
