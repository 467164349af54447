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
  - The files are copied; the new text is validated by the engine itself without side effects, written, and taken over by a reload or a
    restart, as the changed keys need; the engine and its containers are probed. If any of it fails, everything is put back, the
    engine is brought up again, and the task fails with the engine's own message.
  - Keys of C(daemon.json) that others have written stay, to the byte. What this module has written is remembered in
    C(/var/lib/bulkhead), so that a key which is no longer given is taken out again. A value that stood there before comes back; one that
    somebody has changed since stays.
  - A run that was killed in the middle leaves an open journal in C(/var/lib/bulkhead/transactions); the next run undoes it first.
  - A stopped engine is configured and left stopped, unless O(start) says otherwise.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  options:
    description:
      - The keys of C(daemon.json) that are to be ours, with their values. A mapping is merged member by member into one that is there.
      - Keys from earlier runs that are missing here are given up.
    type: dict
    default: {}
  keep:
    description: Keys that are ours and that this run leaves as they are, in the file and in memory.
    type: list
    elements: str
    default: []
  pids_limit:
    description:
      - The default PIDs limit of containers that set none, put into C(/etc/systemd/system/docker-.scope.d/10-bulkhead-pids.conf).
      - V(0) removes that drop-in; left out, it stays as it is.
    type: int
  user:
    description:
      - The user whose rootless engine is meant. Its C(daemon.json) is in that user's folder and is written with that user's rights, the drop-in is put
        into C(/etc/systemd/user/docker-.scope.d), and the engine is the C(docker.service) of that user's manager.
      - Left out, the rootful engine is meant.
    type: str
  start:
    description: Start the engine where it is stopped, and see that it answers. Otherwise a stopped engine is left so.
    type: bool
    default: false
  path:
    description:
      - The file that the engine reads, by default C(/etc/docker/daemon.json), or C(.config/docker/daemon.json) in the home of O(user).
    type: path
  restart:
    description:
      - V(needed) restarts the engine when a changed key needs it, or when its seccomp profile is newer than the engine.
      - V(always) restarts it in any case, V(never) in none.
      - Where C(live-restore) is desired and not on yet, it is switched on by a reload before the restart, so that containers survive it.
    type: str
    choices: [needed, always, never]
    default: needed
  stop_containers:
    description:
      - Allow to stop all containers when the engine moves to another data folder (C(userns-remap), C(data-root), C(storage-driver)).
        They stay behind in the old one. Without it such a change is refused while containers run.
    type: bool
    default: false
  migrate:
    description:
      - Where the engine moves from its plain root to the one of C(userns-remap), carry over what it holds - images, containers with all that
        they wrote, volumes, networks - with the owners mapped, held against the original byte for byte, before the engine is told.
      - The old root stays as it was, until the module M(bulkhead.docker.data_root_cleanup) removes it.
    type: bool
    default: false
  migrate_accept:
    description:
      - Names of containers that the engine will not start under C(userns-remap) (C(--privileged), C(--network host), C(--pid host)). They are
        carried over and stay stopped. Any other such container is a refusal.
    type: list
    elements: str
    default: []
  recover:
    description: Undo, or finish, what a run that died has left, and do nothing else; all other options but O(timeout) and O(socket) are idle.
    type: bool
    default: false
  revert:
    description:
      - Bring the files of the last change back to the bytes that stood there before it, as a change of its own; a further run takes back the
        one before. O(options), O(keep) and O(pids_limit) are idle.
      - Refused where one of the files has been changed since, and where the engine would get another root, unless O(stop_containers) allows it.
    type: bool
    default: false
  own_checks:
    description:
      - Look for what C(dockerd --validate) overlooks, such as a missing seccomp profile, unknown log options or an unknown storage driver.
    type: bool
    default: true
  timeout:
    description: Seconds that one step may take, the engine's start above all.
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
- name: No new privileges, no traffic between containers of the default bridge, 100 tasks a container
  bulkhead.docker.daemon_config:
    options:
      no-new-privileges: true
      icc: false
      live-restore: true
      log-opts:
        max-size: 10m
    pids_limit: 100

- name: Take back the last change
  bulkhead.docker.daemon_config:
    revert: true

- name: Give up everything that was ours
  bulkhead.docker.daemon_config:
    options: {}
    pids_limit: 0
"""

RETURN = r"""
started:
  description: Whether the engine was stopped, and was started and works with the new configuration.
  returned: always
  type: bool
restarted:
  description: Whether the engine was restarted and works with the new configuration.
  returned: always
  type: bool
reloaded:
  description: Whether the engine took over the change by a reload, without a restart.
  returned: always
  type: bool
keys_changed:
  description: The keys of C(daemon.json) that differ from before.
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
transaction:
  description: Name of the folder in C(/var/lib/bulkhead/transactions) that holds the files as they were.
  returned: when something was changed or tried
  type: str
recovered:
  description: Transactions of earlier runs that had been left open, and were undone first.
  returned: always
  type: list
  elements: str
rolled_back:
  description: Whether the change was tried and undone.
  returned: always
  type: bool
engine_message:
  description: Why the engine did not come up, in its own words.
  returned: when it did not
  type: str
notices:
  description: What happened to values of others.
  returned: always
  type: list
  elements: str
"""

from ..module_utils.engine.api import Engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.engine_config import daemon_json
from ..module_utils.engine_config.change import ALWAYS, NEEDED, NEVER, ConfigFailed, ConfigOutcome, ConfigRequest, change_config
from ..module_utils.host.root import Host
from ..module_utils.migration.migrate import build_migration
from ..module_utils.module import Module


def result(outcome: ConfigOutcome) -> dict[str, object]:
    """An outcome as the module returns it."""
    return {
        "changed": outcome.changed,
        "started": outcome.started,
        "restarted": outcome.restarted,
        "reloaded": outcome.reloaded,
        "keys_changed": outcome.keys_changed,
        "downtime": outcome.downtime,
        "containers_restarted": outcome.containers_restarted,
        "transaction": outcome.transaction,
        "recovered": outcome.recovered,
        "rolled_back": outcome.rolled_back,
        "engine_message": outcome.engine_message,
        "notices": outcome.notices,
        "diff": [
            {
                "before_header": path,
                "after_header": path,
                "before": daemon_json.mask_passwords(before),
                "after": daemon_json.mask_passwords(after),
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
            "recover": {"type": "bool", "default": False},
            "revert": {"type": "bool", "default": False},
            "own_checks": {"type": "bool", "default": True},
            "socket": {"type": "path"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    host = Host()
    instance = find_instance(host, given["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: there is no user {instance.user} on this host; create it first, or write one that there is")
    migration = None
    if given["migrate"] and not module.check_mode and not given["recover"]:
        try:
            migration = build_migration(host, given["options"].get("userns-remap"), frozenset(given["migrate_accept"]))
        except (OSError, ValueError) as error:
            module.fail_json(msg=f"nothing was changed: {error}")
    request = ConfigRequest(
        options=given["options"],
        keep=frozenset(given["keep"]),
        pids_limit=given["pids_limit"],
        instance=instance,
        path=given["path"] or "",
        restart=given["restart"],
        start=given["start"],
        stop_containers=given["stop_containers"],
        migration=migration,
        own_checks=given["own_checks"],
        timeout=given["timeout"],
        check=module.check_mode,
        recover=given["recover"],
        revert=given["revert"],
    )
    if request.pids_limit is not None and request.pids_limit < 0:
        module.fail_json(msg=f"pids_limit: {request.pids_limit} is no limit; write 1 or more, or 0 to remove the default")
    failure = None
    try:
        outcome = change_config(host, Engine.for_instance(instance, given["timeout"], given["socket"]), request)
    except ConfigFailed as failed:
        failure, outcome = str(failed), failed.outcome
    for warning in outcome.warnings:
        module.warn(warning)
    if failure:
        module.fail_json(msg=failure, **result(outcome))
    module.exit_json(**result(outcome))


if __name__ == "__main__":
    main()
