#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: record_containers
short_description: Record what the containers of a host do, collect it, or stop recording
version_added: 0.1.0
description:
  - Installs C(bulkhead-recorder.service) and starts it. It records system calls by eBPF programs, accesses by AppArmor rules with C(audit), and events of the
    engine. The profiles of containers deny what they denied before.
  - No container is restarted, no package is installed, and the engine's configuration is not touched. Recording goes on after a reboot.
  - Each later run collects what was recorded so far. What may be missing is listed as a gap.
  - Records the rootful engine, and the rootless engines of O(users).
author:
  - Bulkhead maintainers (@bulkhead)
options:
  state:
    description:
      - V(recording) installs and starts the recorder if it does not run with these settings, and collects.
      - V(collected) collects what is recorded, and changes nothing. A recorder that is not installed stays so.
      - V(stopped) collects once more. Then it restores AppArmor profiles and the audit backlog limit, and removes programs, unit and files.
    type: str
    choices: [recording, collected, stopped]
    default: recording
  calls:
    description: Whether to record system calls. The kernel needs BTF, and containers need a seccomp filter, such as the engine's default.
    type: bool
    default: true
  access:
    description: Whether to record accesses by AppArmor. Containers need a profile, such as C(docker-default).
    type: bool
    default: true
  users:
    description: Users whose rootless engines are recorded too.
    type: list
    elements: str
    default: []
  socket:
    description: Path of the rootful engine's unix socket.
    type: path
    default: /var/run/docker.sock
  timeout:
    description: Seconds in which the recorder has to answer.
    type: int
    default: 120
attributes:
  check_mode:
    description: Returns in RV(would) what would be done, and collects if the recorder runs.
    support: full
  diff_mode:
    description: Shows no files.
    support: none
seealso:
  - module: bulkhead.docker.seccomp_profile
  - module: bulkhead.docker.apparmor_profile
"""

EXAMPLES = r"""
- name: Record containers, and collect what is recorded so far
  bulkhead.docker.record_containers:
  register: recording

- name: Record the engine of user ci too, but only its system calls
  bulkhead.docker.record_containers:
    users: [ci]
    access: false

- name: Stop recording
  bulkhead.docker.record_containers:
    state: stopped
"""

RETURN = r"""
recorded:
  description:
    - What is recorded, with C(format), C(recorder), C(host), C(sources), C(gaps) and C(instances). Times are seconds since the epoch.
    - C(sources) has C(status) and C(reason) of C(calls) and C(access). C(status) is C(recording), C(unavailable) or C(off).
    - Each of C(gaps) has C(kind), C(source), C(from), C(to), C(instance), C(profile), C(lost) and C(text).
    - Each of C(instances) describes a container, with its C(events), C(peaks), C(calls), C(denied_calls), C(access) and C(written) paths.
    - Null if nothing is recorded.
  returned: success
  type: dict
armed:
  description: Whether the recorder runs at the end of the task.
  returned: success
  type: bool
would:
  description: Messages on what would be done.
  returned: in check mode
  type: list
  elements: str
  sample: [install bulkhead-recorder.service]
removed:
  description: What was removed or restored, one entry per file, pin, unit, profile and limit.
  returned: O(state=stopped)
  type: list
  elements: str
problems:
  description: What could not be restored. The task then fails.
  returned: failure
  type: list
  elements: str
"""

from typing import Any

from ..module_utils.engine.systemctl import ServiceError
from ..module_utils.host.root import Host
from ..module_utils.host.state import lock_host
from ..module_utils.module import Module
from ..module_utils.recorder import install
from ..module_utils.recorder.folders import RecorderNotRunning, read_recorded, request_flush


def main() -> None:
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["recording", "collected", "stopped"], "default": "recording"},
            "calls": {"type": "bool", "default": True},
            "access": {"type": "bool", "default": True},
            "users": {"type": "list", "elements": "str", "default": []},
            "socket": {"type": "path", "default": "/var/run/docker.sock"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params, host = module.params, Host()
    if params["timeout"] < 1:
        module.fail_json(msg=f"timeout: {params['timeout']} is too few; write 1 or more")
    if problem := install.explain_settings(host, params):
        module.fail_json(msg=problem)
    try:
        if params["state"] != "recording":
            stop(module, host)
        record(module, host)
    except (OSError, ValueError, ServiceError, RecorderNotRunning) as error:
        module.fail_json(msg=str(error))


def record(module: Module, host: Host) -> None:
    """Install or update the recorder if necessary, and collect."""
    params = module.params
    program, version = install.build_program_file()
    settings = {key: params[key] for key in ("calls", "access", "users", "socket")} | {"version": version}
    would = install.find_changes(host, settings)
    answer: dict[str, Any] = {"changed": bool(would)}
    if module.check_mode:
        answer |= {"would": would, "armed": install.is_active()}
        if answer["armed"]:
            request_flush(host, params["timeout"])
    else:
        if would:
            with lock_host(host):
                install.install_recorder(host, settings, program)
        request_flush(host, params["timeout"])
        answer["armed"] = True
    recorded = read_recorded(host)
    for source, state in ((recorded or {}).get("sources") or {}).items():
        if state["status"] == "unavailable":
            module.warn(
                f"{source} are not recorded: {state['reason']}" if source == "calls" else f"{source} is not recorded: {state['reason']}"
            )
    module.exit_json(recorded=recorded, **answer)


def stop(module: Module, host: Host) -> None:
    """Collect once more, and remove the recorder unless it is only collected."""
    if not install.is_installed(host):
        module.exit_json(changed=False, recorded=None, removed=[], armed=False, **({"would": []} if module.check_mode else {}))
    recorded = None
    try:
        if install.is_active():
            request_flush(host, module.params["timeout"])
        recorded = read_recorded(host)
    except (OSError, ValueError, RecorderNotRunning) as error:  # a recorder that is broken has to be removable
        module.warn(f"what was recorded last could not be collected: {error}")
    if module.params["state"] == "collected":
        module.exit_json(changed=False, recorded=recorded, armed=install.is_active())
    if module.check_mode:
        module.exit_json(changed=True, recorded=recorded, would=install.list_removals(host), removed=[], armed=install.is_active())
    with lock_host(host):
        removed, problems = install.remove_recorder(host, install.build_program_file()[0])
    if problems:
        module.fail_json(msg="; ".join(problems), recorded=recorded, removed=removed, problems=problems)
    module.exit_json(changed=True, recorded=recorded, removed=removed, armed=False)


if __name__ == "__main__":
    main()
