#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: verify_layers
short_description: Prove from the kernel's evidence which hardening layers of a Docker host hold
version_added: 0.1.0
description:
  - Starts one short-lived probe container without any security option, from an image put together on the host from the host's own binaries and
    without network, so that what the kernel does to it is what the host does by default. Reads the kernel's view of the probe and of every running
    container, judges each layer, and removes probe and image whatever happens.
  - Evidence comes from C(/proc), cgroupfs, securityfs and the seccomp program that the kernel holds, each with the source that a reader can repeat.
    What could not be seen is C(unknown), never C(enforced).
  - The task does not fail because a layer does not hold; M(bulkhead.docker.report_layers) does.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  expect:
    description:
      - What each layer is expected to do, by layer, as M(bulkhead.docker.plan_layers) returns it under C(expect).
      - A layer left out is judged by what can be said without an expectation, and counts as not required.
    type: dict
    default: {}
  layers:
    description: Judge these layers only; all when left out.
    type: list
    elements: str
  probe:
    description: Whether to start a probe. Without one, what only a probe can show is C(unknown).
    type: bool
    default: true
  deep:
    description:
      - Also read the seccomp filter of every running container. Each is stopped by ptrace for some milliseconds, which can make a blocking system
        call return C(EINTR).
    type: bool
    default: false
  user:
    description:
      - The user whose rootless engine is judged, by a probe that is started through that user's socket. By default the one that O(expect) names under
        C(rootless), and without one the rootful engine.
    type: str
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 120
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: In check mode no probe is started.
    support: full
  diff_mode:
    description: Nothing that outlives the task is changed.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.report_layers
"""

EXAMPLES = r"""
- name: Say what the inventory wants
  bulkhead.docker.plan_layers:
    observe: false
  register: desired

- name: Prove what holds
  bulkhead.docker.verify_layers:
    expect: "{{ desired.expect }}"
  register: verification

- name: Show it, write the report, and fail when a required layer does not hold
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
"""

RETURN = r"""
layers:
  description: The defaults of the judged engine, a layer each, in order of effort.
  returned: success
  type: list
  elements: dict
  contains:
    layer:
      description: Name of the layer.
      type: str
      sample: userns
    status:
      description: One of C(enforced), C(degraded), C(absent), C(not_applicable), C(unknown).
      type: str
      sample: enforced
    requirement:
      description: One of C(required), C(optional), C(disabled).
      type: str
      sample: required
    expected:
      description: What would be C(enforced), in words.
      type: str
    evidence:
      description: What was read, and where.
      type: list
      elements: dict
      contains:
        source:
          description: The file, or the command that repeats it.
          type: str
          sample: /proc/4711/uid_map
        value:
          description: What stood there.
          type: raw
    findings:
      description: What is wrong or worth knowing, each with C(id), C(text), C(status) and C(remedy).
      type: list
      elements: dict
containers:
  description: One entry a running container, with the same a layer.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
    layers:
      description: As above, and C(opted_out) and C(disagreements).
      type: list
      elements: dict
    opted_out:
      description: Layers that the container asked to be without.
      type: list
      elements: str
    disagreements:
      description: Where the engine's word (C(docker inspect)) and the kernel's differ.
      type: list
      elements: str
    findings:
      description: What it was given that undoes more than one layer.
      type: list
      elements: dict
findings:
  description: What concerns no single layer, such as an engine that does not answer.
  returned: success
  type: list
  elements: dict
engines:
  description: Every Docker engine that runs on the host, the judged one among them.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: C(rootful), or C(rootless) where dockerd lives in a user namespace.
      type: str
      sample: rootless
    user:
      description: Name of the user who owns the process; the ID as text where it has no name.
      type: str
    uid:
      description: ID of that user on the host.
      type: int
    pid:
      description: The process dockerd.
      type: int
    uid_map:
      description: Its C(/proc/PID/uid_map), rows of first ID inside, first ID outside, count.
      type: list
      elements: list
    socket:
      description: Its usual socket with C(path), C(uid), C(gid) and C(mode) (octal), null where there is none.
      type: dict
    judged:
      description: Whether RV(layers) and RV(containers) are about this one.
      type: bool
    layers:
      description: >-
        Of another one that could be asked: what it does to its containers by default (C(pids_limit), C(no_new_privileges), C(seccomp), C(apparmor),
        C(capabilities)), by a probe of its own, as under RV(layers). Nothing is demanded of it.
      type: list
      elements: dict
    containers:
      description: The running containers of another one, as under RV(containers).
      type: list
      elements: dict
host:
  description: Kernel, distribution and engine, for the report.
  returned: success
  type: dict
at:
  description: When it was verified, in seconds since the epoch, by the host's clock.
  returned: success
  type: float
probe:
  description: Whether the evidence is that of a probe.
  returned: success
  type: bool
"""

from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find
from ..module_utils.host.root import Host
from ..module_utils.layers.evidence import gather_evidence
from ..module_utils.layers.verification import expected_user, judge_host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "expect": {"type": "dict", "default": {}},
            "layers": {"type": "list", "elements": "str"},
            "probe": {"type": "bool", "default": True},
            "deep": {"type": "bool", "default": False},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = Host()
    instance = find(host, params["user"] or expected_user(params["expect"]))
    engine = Engine.of(instance, params["timeout"], params["socket"])
    only = set(params["layers"]) if params["layers"] is not None else None
    try:
        evidence = gather_evidence(host, engine, params["expect"], params["probe"] and not module.check_mode, params["deep"], instance)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    observed = evidence["observed"]
    module.exit_json(
        changed=False,
        at=observed["at"],
        probe=evidence["probe"] is not None,
        host={
            **{key: observed["system"][key] for key in ("kernel", "machine", "distribution_name")},
            **{key: observed["engine"].get(key) for key in ("version", "package", "remapped", "cgroup_driver", "storage_driver")},
        },
        **judge_host(evidence, params["expect"], only),
    )


if __name__ == "__main__":
    main()
