#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: verify_layers
short_description: Verify from kernel evidence which hardening layers of a Docker host are enforced
version_added: 0.1.0
description:
  - Starts one short-lived probe container without any security option and without network, in which a program of this collection sleeps.
    What the kernel does to it is the host's default. Reads the kernel's view of the probe and of every running container, and always
    removes probe and image. The control node judges the evidence.
  - Evidence comes from C(/proc), cgroupfs, securityfs and the seccomp program in the kernel, each piece with a source that a reader can repeat.
    A layer without evidence is C(unknown), never C(enforced).
  - The task does not fail for a layer that is not enforced; M(bulkhead.docker.report_layers) does.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  expect:
    description:
      - The expectation of each layer, as M(bulkhead.docker.plan_layers) returns it under C(expect).
      - A layer without an expectation is judged by its evidence alone, and is not required.
    type: dict
    default: {}
  layers:
    description: Judge these layers only; all when left out.
    type: list
    elements: str
  probe:
    description: Whether to start a probe container. Without one, what only a probe shows is C(unknown).
    type: bool
    default: true
  deep:
    description:
      - The running containers whose seccomp filters are read from the kernel too. Each process that is read is stopped by ptrace for some milliseconds,
        which can make a blocking system call return C(EINTR).
      - V(none) stops no process, except those of containers with required settings.
      - The other values also start a second probe container with the engine's built-in seccomp profile, and report what the daemon-wide profile allows
        and the built-in one denies. Engine 23.0 or later is needed.
      - V(profiles) reads one container for each profile and set of capabilities. The evidence names the containers that it covers.
      - V(all) reads each container, and one more process for each other number of filters that its processes have.
      - A process that is frozen, has ended or stays in uninterruptible sleep for a second is skipped, and named with that reason.
      - For a rootless engine, only processes below the user's own manager are read, in a user namespace without the host's root.
    type: str
    choices: [none, profiles, all]
    default: none
  search_images:
    description:
      - Whether to search the files of all images for setuid and setgid programs, which takes up to ten minutes.
      - Without it, control C(CIS-4.8) is V(manual). Only storage driver overlay2 shows the files.
    type: bool
    default: false
  user:
    description:
      - The user whose rootless engine is judged, through that user's socket. The default is the user that O(expect) names under C(rootless), and without
        one the rootful engine.
    type: str
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 120
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: In check mode no probe container is started.
    support: full
  diff_mode:
    description: Changes nothing that outlives the task.
    support: none
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.report_layers
"""

EXAMPLES = r"""
- name: Resolve the desired state
  bulkhead.docker.plan_layers:
    observe: false
  register: desired

- name: Verify the layers
  bulkhead.docker.verify_layers:
    expect: "{{ desired.expect }}"
  register: verification

- name: Report the layers, and fail when a required one is not enforced
  bulkhead.docker.report_layers:
    verification: "{{ verification }}"
"""

RETURN = r"""
layers:
  description: The defaults of the judged engine, one entry per layer.
  returned: success
  type: list
  elements: dict
  contains:
    layer:
      description: Name of the layer.
      type: str
    status:
      description: One of C(enforced), C(degraded), C(absent), C(not_applicable), C(unknown).
      type: str
    requirement:
      description: One of C(required), C(optional), C(disabled).
      type: str
    expected:
      description: The state that is C(enforced), in words.
      type: str
    evidence:
      description: What was read, and where.
      type: list
      elements: dict
      contains:
        source:
          description: The file, or the command that repeats it.
          type: str
        value:
          description: What it contained.
          type: raw
    findings:
      description: What is wrong or worth knowing, each with C(id), C(text), C(status) and C(remedy).
      type: list
      elements: dict
containers:
  description: One entry per running container.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
    layers:
      description: As above, with C(opted_out) and C(disagreements).
      type: list
      elements: dict
    opted_out:
      description: Layers that the container's settings switch off.
      type: list
      elements: str
    disagreements:
      description: Where the engine's report (C(docker inspect)) and the kernel's evidence differ.
      type: list
      elements: str
    findings:
      description: Exposures, which weaken more than one layer.
      type: list
      elements: dict
controls:
  description:
    - The controls of the CIS Docker Benchmark on the judged engine, in the order of their numbers. They fail nothing by themselves;
      M(bulkhead.docker.report_layers) requires those of its option O(bulkhead.docker.report_layers#module:required_controls).
  returned: success
  type: list
  elements: dict
  contains:
    control:
      description: The number with its catalog, such as C(CIS-2.2).
      type: str
    level:
      description: The level of the benchmark, 1 or 2.
      type: int
    title:
      description: What the control asks for.
      type: str
    status:
      description: One of C(pass), C(fail), C(manual), C(not_applicable), C(unknown). Reports add C(waived).
      type: str
    reason:
      description: Why it has this status.
      type: str
    remedy:
      description: One instruction.
      type: str
    evidence:
      description: What was read, and where.
      type: list
      elements: dict
    findings:
      description: What fails, each with C(container), which is empty for the host, and C(finding), the ID of a finding or the control.
      type: list
      elements: dict
findings:
  description: Findings on the host itself, such as an engine that does not answer.
  returned: success
  type: list
  elements: dict
engines:
  description:
    - Every Docker engine that runs on the host, the judged one (C(judged)) included. C(kind) is C(rootful) or C(rootless); C(user), C(uid) and C(pid) describe
      the process, C(uid_map) has its rows of first ID inside, first ID outside, count; C(socket) is its usual socket with C(path), C(uid), C(gid) and C(mode).
    - Other engines have C(layers), what they give containers by default, and C(containers), as above. Nothing is required of them.
  returned: success
  type: list
  elements: dict
host:
  description: Kernel, distribution and engine, for the report.
  returned: success
  type: dict
versions:
  description: Versions of C(engine), C(containerd), C(runc) or C(crun), C(libseccomp), C(apparmor), C(kernel) and C(systemd), as far as they can be read.
  returned: success
  type: dict
untried:
  description: A message for each of these versions that is older or newer than any on which this collection was tried.
  returned: success
  type: list
  elements: str
at:
  description: Time of the verification in seconds since the epoch, by the host's clock.
  returned: success
  type: float
probe:
  description: Whether a probe container gave the evidence.
  returned: success
  type: bool
"""

import json

from ..module_utils.controls.gather import gather_controls
from ..module_utils.engine.api import Engine, EngineError, EngineUnreachable
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.host.versions import read_versions
from ..module_utils.layers.evidence import gather_evidence
from ..module_utils.layers.expectation import expected_user
from ..module_utils.layers.seccomp.deep import DEEP, NONE
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "expect": {"type": "dict", "default": {}},
            "layers": {"type": "list", "elements": "str"},
            "probe": {"type": "bool", "default": True},
            "deep": {"type": "str", "choices": list(DEEP), "default": NONE},
            "search_images": {"type": "bool", "default": False},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = Host()
    instance = find_instance(host, params["user"] or expected_user(params["expect"]))
    engine = Engine.for_instance(instance, params["timeout"], params["socket"])
    try:
        evidence = gather_evidence(host, engine, params["expect"], params["probe"] and not module.check_mode, params["deep"], instance)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    observed = evidence["observed"]
    evidence["controls"] = gather_controls(host, engine, observed, params["search_images"])
    try:
        evidence["versions"] = read_versions(engine.get("/version") if observed["engine"]["running"] else {})
    except (EngineError, EngineUnreachable):
        evidence["versions"] = read_versions({})
    module.exit_json(
        changed=False,
        at=observed["at"],
        probe=evidence["probe"] is not None,
        host={
            **{key: observed["system"][key] for key in ("kernel", "machine", "distribution_name")},
            **{key: observed["engine"].get(key) for key in ("version", "package", "remapped", "cgroup_driver", "storage_driver")},
        },
        evidence=json.dumps(evidence),  # as one text, because AnsibleModule looks for secrets in each value of a result
    )


if __name__ == "__main__":
    main()
