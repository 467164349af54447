#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_config
short_description: Change a Docker engine's configuration as one transaction
version_added: 0.1.0
description:
  - Merges keys into C(daemon.json) and sets the default PIDs limit of containers by a systemd drop-in, in one transaction.
  - Copies the files, lets the engine validate the new text without side effects, and writes it. The engine is then reloaded or restarted, as the changed
    keys need, and it and its containers are checked. If a step fails, everything is restored, and the task fails with the engine's own message.
  - Unmanaged keys of C(daemon.json) stay unchanged. Managed keys are remembered in C(/var/lib/bulkhead), and removed when they are no longer given. Their
    previous value is restored; a value that was edited since stays.
  - An interrupted run leaves an open journal in C(/var/lib/bulkhead/transactions). The next run undoes that change first.
  - A stopped engine is configured and stays stopped, unless O(start) is set.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  options:
    description:
      - The keys of C(daemon.json) to manage, with their values. A mapping is merged member by member into an existing one.
      - Keys of earlier runs that are missing here are removed.
    type: dict
    default: {}
  keep:
    description: Managed keys that this run leaves unchanged.
    type: list
    elements: str
    default: []
  pids_limit:
    description:
      - The default PIDs limit of containers without their own, in C(/etc/systemd/system/docker-.scope.d/10-bulkhead-pids.conf).
      - V(0) removes that drop-in. If left out, it stays unchanged.
    type: int
  user:
    description:
      - The user who owns the rootless engine to configure; if left out, it is the rootful engine.
      - Its C(daemon.json) is in the user's home and is written with the user's rights. The drop-in is in C(/etc/systemd/user/docker-.scope.d), and the
        engine is C(docker.service) of the user's manager.
    type: str
  start:
    description: Start a stopped engine and check that it answers.
    type: bool
    default: false
  path:
    description:
      - The file that the engine reads, by default C(/etc/docker/daemon.json), or C(.config/docker/daemon.json) in the home of O(user).
    type: path
  restart:
    description:
      - V(needed) restarts the engine when a changed key needs it, or when its seccomp profile is newer than the engine.
      - V(always) always restarts it, V(never) never does.
      - If C(live-restore) is set and not on yet, a reload switches it on before the restart, so that containers keep running.
    type: str
    choices: [needed, always, never]
    default: needed
  stop_containers:
    description:
      - Allow stopping all containers when the engine switches to another data root (C(userns-remap), C(data-root), C(storage-driver)). They stay in the
        previous one. Without this, such a change fails while containers run.
    type: bool
    default: false
  migrate:
    description:
      - Migrate the engine's data when C(userns-remap) is switched on - images, containers with their files, volumes and networks - with mapped owners. The
        copy is compared with the original byte by byte before the engine uses it.
      - The previous root stays unchanged until module M(bulkhead.docker.data_root_cleanup) removes it.
    type: bool
    default: false
  migrate_accept:
    description:
      - Names of containers that do not start under C(userns-remap), such as with C(--privileged). They are migrated and stay stopped. Any other such
        container that runs is an error.
    type: list
    elements: str
    default: []
  containers_worse:
    description:
      - What to do if containers that ran before got worse. For each one, it is compared whether it runs, keeps being restarted, and passes its own
        health check.
      - V(report) warns. V(fail) fails, and the change stays. V(undo) undoes the change and fails.
      - A container that cannot be started again undoes the change in any case.
    type: str
    choices: [report, fail, undo]
    default: report
  containers_wait:
    description: Maximum seconds to wait for new health check results of containers that were healthy.
    type: int
    default: 90
  uid_map:
    description:
      - With O(migrate), the map with which the engine will start, as in C(/proc/PID/uid_map). If it starts with another one, the change is undone.
    type: list
    elements: list
  gid_map:
    description: The same for groups.
    type: list
    elements: list
  recover:
    description: Undo or finish the change of an interrupted run, and do nothing else. Only O(timeout) and O(socket) are used.
    type: bool
    default: false
  revert:
    description:
      - Restore the files from before the last change, as a new change; a second run reverts the change before that. O(options), O(keep) and
        O(pids_limit) are not used.
      - Fails if one of the files has been changed since, or if the engine would get another data root without O(stop_containers).
    type: bool
    default: false
  own_checks:
    description:
      - Check what C(dockerd --validate) misses, such as a missing seccomp profile, unknown log options or an unknown storage driver.
    type: bool
    default: true
  command:
    description:
      - The command line of the next start, dockerd and its arguments. They must not set a key of O(options). By default that of the running process.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that one step may take, such as the engine's start.
    type: int
    default: 120
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Merges and validates, and writes nothing.
    support: full
  diff_mode:
    description: Shows the files before and after; passwords in URLs are masked.
    support: full
seealso:
  - module: bulkhead.docker.plan_layers
  - module: bulkhead.docker.data_root_cleanup
"""

EXAMPLES = r"""
- name: Set no-new-privileges, isolate containers of the default bridge, and limit each to 100 PIDs
  bulkhead.docker.daemon_config:
    options:
      no-new-privileges: true
      icc: false
      live-restore: true
      log-opts:
        max-size: 10m
    pids_limit: 100

- name: Revert the last change
  bulkhead.docker.daemon_config:
    revert: true

- name: Remove all managed settings
  bulkhead.docker.daemon_config:
    options: {}
    pids_limit: 0
"""

RETURN = r"""
started:
  description: Whether a stopped engine was started and works with the new configuration.
  returned: always
  type: bool
restarted:
  description: Whether the engine was restarted and works with the new configuration.
  returned: always
  type: bool
reloaded:
  description: Whether the engine applied the change by a reload, without a restart.
  returned: always
  type: bool
keys_changed:
  description: The keys of C(daemon.json) that changed.
  returned: always
  type: list
  elements: str
downtime:
  description: Seconds from the restart to the engine's answer.
  returned: always
  type: float
containers_restarted:
  description: Names of the containers that ran before and had to be started again.
  returned: always
  type: list
  elements: str
containers_worse:
  description: Containers that ran before and got worse, each with C(name), and its condition C(before) and C(after).
  returned: always
  type: list
  elements: dict
transaction:
  description: Name of the folder in C(/var/lib/bulkhead/transactions) with the previous files.
  returned: when a change was started
  type: str
recovered:
  description: Transactions of interrupted runs that were undone or finished first.
  returned: always
  type: list
  elements: str
rolled_back:
  description: Whether the change failed and was undone.
  returned: always
  type: bool
engine_message:
  description: The engine's error message.
  returned: when the engine did not start
  type: str
notices:
  description: Messages on unmanaged values that were replaced, restored or kept.
  returned: always
  type: list
  elements: str
"""

from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.engine_config import daemon_merge
from ..module_utils.engine_config.change import ALWAYS, NEEDED, NEVER, ConfigFailed, ConfigOutcome, ConfigRequest, change_config
from ..module_utils.engine_config.comparison import FAIL, REPORT, UNDO
from ..module_utils.host.root import Host
from ..module_utils.migration.ids import IdMaps
from ..module_utils.migration.migrate import DataRootMigration
from ..module_utils.module import Module


def build_result(outcome: ConfigOutcome) -> dict[str, object]:
    """Return an outcome as the module returns it."""
    return {
        "changed": outcome.changed,
        "started": outcome.started,
        "restarted": outcome.restarted,
        "reloaded": outcome.reloaded,
        "keys_changed": outcome.keys_changed,
        "downtime": outcome.downtime,
        "containers_restarted": outcome.containers_restarted,
        "containers_worse": outcome.containers_worse,
        "transaction": outcome.transaction,
        "recovered": outcome.recovered,
        "rolled_back": outcome.rolled_back,
        "engine_message": outcome.engine_message,
        "notices": outcome.notices,
        "diff": [
            {
                "before_header": path,
                "after_header": path,
                "before": daemon_merge.mask_passwords(before),
                "after": daemon_merge.mask_passwords(after),
            }
            for path, (before, after) in outcome.diff.items()
        ],
    }


def main() -> None:
    module = Module(
        argument_spec={
            "options": {"type": "dict", "default": {}},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "pids_limit": {"type": "int"},
            "user": {"type": "str"},
            "path": {"type": "path"},
            "restart": {"type": "str", "choices": [NEEDED, ALWAYS, NEVER], "default": NEEDED},
            "start": {"type": "bool", "default": False},
            "stop_containers": {"type": "bool", "default": False},
            "migrate": {"type": "bool", "default": False},
            "migrate_accept": {"type": "list", "elements": "str", "default": []},
            "containers_worse": {"type": "str", "choices": [REPORT, FAIL, UNDO], "default": REPORT},
            "containers_wait": {"type": "int", "default": 90},
            "uid_map": {"type": "list", "elements": "list"},
            "gid_map": {"type": "list", "elements": "list"},
            "recover": {"type": "bool", "default": False},
            "revert": {"type": "bool", "default": False},
            "own_checks": {"type": "bool", "default": True},
            "command": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
        },
        required_if=[("migrate", True, ("uid_map", "gid_map"))],
        supports_check_mode=True,
    )
    options = module.params
    host = Host()
    instance = find_instance(host, options["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: {instance.user!r} does not exist on this host; create the user, or write another one")
    migration = None
    if options["migrate"] and not module.check_mode and not options["recover"]:
        migration = DataRootMigration(host, IdMaps(options["uid_map"], options["gid_map"]), frozenset(options["migrate_accept"]))
    request = ConfigRequest(
        options=options["options"],
        keep=frozenset(options["keep"]),
        pids_limit=options["pids_limit"],
        instance=instance,
        path=options["path"] or "",
        restart=options["restart"],
        start=options["start"],
        stop_containers=options["stop_containers"],
        migration=migration,
        own_checks=options["own_checks"],
        timeout=options["timeout"],
        check=module.check_mode,
        containers_worse=options["containers_worse"],
        containers_wait=options["containers_wait"],
        recover=options["recover"],
        revert=options["revert"],
        command=tuple(options["command"]),
    )
    if request.pids_limit is not None and request.pids_limit < 0:
        module.fail_json(msg=f"pids_limit: {request.pids_limit} is not a limit; write 1 or more, or 0 to remove the default")
    failure = None
    try:
        outcome = change_config(host, Engine.for_instance(instance, options["timeout"], options["socket"]), request)
    except ConfigFailed as failed:
        failure, outcome = str(failed), failed.outcome
    for warning in outcome.warnings:
        module.warn(warning)
    if failure:
        module.fail_json(msg=failure, **build_result(outcome))
    module.exit_json(**build_result(outcome))


if __name__ == "__main__":
    main()
