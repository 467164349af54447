#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: attack_matrix
short_description: Run harmless stand-ins of known container escapes, and show which layers stop them
version_added: 0.1.0
description:
  - Runs each attack inside containers, one container per configuration. The image is built on the host from the host's own Python.
  - Each attack is harmless by construction (files are opened and not written, the kernel rejects the arguments after its permission checks, stand-ins
    replace secrets) and runs in a process of its own. Containers have no network and bounded memory, CPU and tasks.
  - A layer stops an attack if the attack succeeds without any layer (the baseline) and fails with that layer alone. An attack that fails in the
    baseline too is inconclusive, and its C(reason) says why.
  - In a rootless engine every container has the user namespace. The baseline is then that layer alone, and every other layer is tested with it.
  - Each configuration is verified from the kernel's evidence (C(/proc/self/status) and others) inside its container. If a layer could not be switched off, the
    column is C(unknown).
  - Denials are read from the kernel's audit messages while the attacks run, and from the denial counters (M(bulkhead.docker.denial_counters)) where they are
    loaded. They are matched to attacks by process name.
  - Containers, image, stand-ins and kernel modules that an attack made the kernel load are always removed; after a killed run, the next run of this module
    or of M(bulkhead.docker.verify_layers) removes them.
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
        description: Capabilities that are kept.
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
    description: Name of a container of the host; the attacks then run in a container with the same settings instead of the host's defaults.
    type: str
    default: ""
  attacks:
    description: Names of the attacks to run; by default all.
    type: list
    elements: str
  configurations:
    description: Names of the configurations to run besides the baseline; by default all.
    type: list
    elements: str
  user:
    description: The user in whose rootless engine the attacks run; by default or if empty, the rootful engine.
    type: str
  tasks:
    description: Maximum number of tasks (threads) of the fork bomb. It must exceed the default PIDs limit.
    type: int
    default: 640
  at_once:
    description: How many containers run at the same time.
    type: int
    default: 2
  background:
    description:
      - Name of a job. The module then answers at once and continues in the background. It writes its progress and answer to C(/run/bulkhead-attack-NAME).
      - Used by the action plugin of the same name, which shows the progress.
    type: str
  attack_timeout:
    description: Seconds after which one attack is ended, and its result C(unknown).
    type: int
    default: 60
  timeout:
    description: Maximum seconds per answer of the engine and per container; a container that takes longer is removed.
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
  - module: bulkhead.docker.report_attacks
  - module: bulkhead.docker.verify_layers
"""

EXAMPLES = r"""
- name: Run the attacks against the host's defaults
  bulkhead.docker.attack_matrix:
    hardened:
      seccomp_profile: /etc/docker/seccomp/bulkhead-web.json
      apparmor_profile: bulkhead-web
  register: matrix

- name: Show the matrix, and fail if fewer layers than required stop an attack
  bulkhead.docker.report_attacks:
    matrix: "{{ matrix }}"
    required:
      host_disk: 3

- name: Run the attacks in the rootless engine of one user
  bulkhead.docker.attack_matrix:
    user: rootless

- name: Run the attacks with the settings of a container
  bulkhead.docker.attack_matrix:
    container: shop
"""

RETURN = r"""
configurations:
  description: The columns, in order.
  returned: when the attacks ran
  type: list
  elements: dict
  contains:
    name:
      description:
        - C(none), the name of a layer (that layer alone), C(engine), C(host) or C(stacked); with O(container), C(container) instead of these three.
        - In a rootless engine C(none) does not exist. C(userns) is the baseline, and a layer's name means this layer with the user namespace.
      type: str
      sample: seccomp
    title:
      description: Title of the column.
      type: str
    kind:
      description: C(baseline), C(alone) or C(together).
      type: str
    layers:
      description: The layers that should be on; in the baseline those that cannot be switched off.
      type: list
      elements: str
    confinement:
      description: The kernel's evidence of the runner's confinement in this container; none if it did not start.
      type: dict
    problem:
      description: Why this column has no result; empty if it has one.
      type: str
    seconds:
      description: Duration in seconds.
      type: float
attacks:
  description: The rows, in order.
  returned: when the attacks ran
  type: list
  elements: dict
  contains:
    name:
      description: Name of the attack.
      type: str
      sample: host_disk
    family:
      description: Group of attacks, such as those on devices.
      type: str
      sample: devices
    about:
      description: What the attacker does.
      type: str
    foothold:
      description: What the container gets for the attack that a careful operator would not grant; empty if nothing.
      type: str
    conclusive:
      description: Whether the attack succeeds in the baseline.
      type: bool
    reason:
      description: Why the attack is inconclusive; empty if it is conclusive.
      type: str
    stopped_by:
      description: The layers that stop it, each by itself.
      type: list
      elements: str
      sample: [apparmor, userns]
    layers:
      description: Number of these layers.
      type: int
    cells:
      description: One entry per configuration, by name.
      type: dict
      contains:
        outcome:
          description: C(blocked), C(succeeded), C(inconclusive) or C(unknown).
          type: str
        errno:
          description: The error of the attack; none if it got no error, but had no effect either.
          type: str
          sample: EPERM
        step:
          description: The step at which it was stopped.
          type: str
          sample: mknod
        detail:
          description: More about the result.
          type: str
        by:
          description:
            - The layers of this configuration that stop it alone. Empty if none does with the host's defaults, for example because only the
              settings of C(stacked) do.
          type: list
          elements: str
        logged:
          description: Whether the kernel logged its denial; none if the log could not be read.
          type: bool
        log:
          description: What the kernel logged, shortened.
          type: list
          elements: str
        silent:
          description: Why the kernel logged nothing.
          type: str
        trace:
          description: The last denial of the attack that the kernel counted, with C(container), C(layer), C(operation) and C(detail); none without one.
          type: dict
          sample: {"container": "c0ffee123456", "layer": "capabilities", "operation": "mount", "detail": "errno=EPERM capability=SYS_ADMIN"}
        traced:
          description:
            - Whether RV(attacks[].cells.trace) names a layer of the configuration; none if the attack was not stopped, or if the kernel does not count
              (M(bulkhead.docker.denial_counters)).
          type: bool
subject:
  description: What was tested, C(host), C(container NAME) or C(the rootless engine of USER).
  returned: when the attacks ran
  type: str
  sample: host
log:
  description: The source of the kernel's messages (C(source)), and why not all could be read (C(error), empty if all were read).
  returned: when the attacks ran
  type: dict
counters:
  description: Why the denials that the kernel counts could not be read (C(error)); empty if they were.
  returned: when the attacks ran
  type: dict
host:
  description: Kernel, distribution and engine, for the report.
  returned: when the attacks ran
  type: dict
at:
  description: When the attacks ran, in seconds since the epoch, by the host's clock.
  returned: when the attacks ran
  type: float
seconds:
  description: Duration in seconds.
  returned: when the attacks ran
  type: float
"""

import time
from collections.abc import Callable
from typing import Any

from ..module_utils.attack.background import BackgroundRun
from ..module_utils.attack.catalog import NAMES
from ..module_utils.attack.matrix import AttackError, run_matrix
from ..module_utils.engine.api import Engine, EngineError
from ..module_utils.engine.client import open_engine
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
            "tasks": {"type": "int", "default": 640},
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
        module.fail_json(msg=f"attacks: {unknown[0]!r} is not an attack; write any of {', '.join(NAMES)}")
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="no attack runs in check mode")
    host = Host()
    limits = {"attack": params["attack_timeout"], "at_once": params["at_once"], "tasks": params["tasks"]}
    order = [name for name in NAMES if name in attacks]
    if not params["background"]:
        answer = _build_answer(host, params, order, limits, lambda text: None)
        module.fail_json(**answer) if answer.get("failed") else module.exit_json(**answer)
    try:
        job = BackgroundRun(host, params["background"])
        job.start(lambda: module.exit_json(changed=False, background=params["background"]))
    except OSError as error:
        module.fail_json(msg=f"the attacks did not run: {error}")
    job.finish(_build_answer(host, params, order, limits, job.add_progress))


def _build_answer(
    host: Host, params: dict[str, Any], attacks: list[str], limits: dict[str, float], report: Callable[[str], None]
) -> dict[str, Any]:
    """Run the attacks and return the module's answer."""
    instance = find_instance(host, params["user"])
    if instance.uid is None:
        text = f"user: {instance.user} does not exist on this host; harden the host first, or write the user who runs its engine"
        return {"failed": True, "msg": f"the attacks did not run: {text}"}
    socket = open_engine(host, instance, params["timeout"], params["socket"]).socket
    try:
        matrix = run_matrix(
            host,
            instance,
            lambda: Engine.for_instance(instance, params["timeout"], socket),
            params["hardened"],
            params["container"],
            params["configurations"],
            attacks,
            limits,
            report,
        )
    except (AttackError, EngineError, OSError) as error:
        return {"failed": True, "msg": f"the attacks did not run: {error}"}
    system = observe_system(host)
    about = {key: system[key] for key in ("kernel", "machine", "distribution_name")}
    return {"changed": False, "at": time.time(), "host": {**about, "version": matrix.pop("engine")}, **matrix}


if __name__ == "__main__":
    main()
