#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: denials_info
short_description: Collect what the kernel denied to containers since a given time
version_added: 0.1.0
description:
  - Reads the kernel's audit messages from the journal (the kernel's log, and the audit socket if journald reads it), from C(/dev/kmsg), and from auditd's log
    with its rotated files. Each message counts once. Equal denials become one entry with a count.
  - The kernel names a process, not a container. RV(denials[].by) gives the evidence for the container. If there are several candidates, the scope is
    C(unknown). A process ID that another process has taken over is not evidence.
  - Denials can be missing. The kernel limits the messages in its log but numbers all of them, and logs are rotated. RV(gaps) lists what may be missing, and
    RV(complete) is true only without gaps.
  - An errno of a seccomp filter without the flag LOG and a plain C(deny) rule of AppArmor are not logged (man 2 seccomp, man 5 apparmor.d).
  - Logged denials of clone3 are left out. Profiles answer ENOSYS, so that C libraries use clone instead.
  - Where the denial counters are installed (M(bulkhead.docker.denial_counters)), what they counted is listed too, of every layer. A denial by AppArmor
    that is in a log too is listed from the log, which has the path.
  - Connections that the egress rules denied are listed as far as the rules log them, which is 20 at once and 10 per minute for each address of a
    container. A container that has ended is not known by its address.
  - Where the recorder is installed (M(bulkhead.docker.record_containers)), the calls that it saw denied are listed too, as it last saved them. The errno
    ENOSYS is left out. Runtimes and engines answer it so that C libraries use an older call, such as clone instead of clone3.
author:
  - Bulkhead maintainers (@bulkhead)
options:
  since:
    description: Start of the examined time, as an age (V(15m), V(24h), V(7d)), an ISO 8601 time, or seconds since the epoch.
    type: str
    default: 24h
  user:
    description: The user whose rootless engine provides the names of containers. Empty or left out for the rootful engine.
    type: str
  max_entries:
    description: Maximum number of entries to read from each log. Further entries are a gap.
    type: int
    default: 200000
  max_denials:
    description: Maximum number of different denials to list. The others are counted in one entry per layer and container.
    type: int
    default: 200
  timeout:
    description: Seconds that one answer of the engine may take.
    type: int
    default: 60
extends_documentation_fragment: bulkhead.docker.engine
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: bulkhead.docker.denial_counters
  - module: bulkhead.docker.report_denials
  - module: bulkhead.docker.attack_matrix
"""

EXAMPLES = r"""
- name: Collect the denials of the last hour
  bulkhead.docker.denials_info:
    since: 1h
  register: denials

- name: Report denials
  bulkhead.docker.report_denials:
    denials: "{{ denials }}"
"""

RETURN = r"""
denials:
  description: The denials, one entry for equal ones, the most frequent first.
  returned: success
  type: list
  elements: dict
  contains:
    layer:
      description:
        - C(apparmor), C(seccomp) or C(egress). For the denial counters also C(capabilities), C(userns), C(non_root_user), C(devices), C(read_only_root),
          C(masked_paths), C(pids_limit), C(no_new_privileges), or C(kernel) for another cause.
      type: str
      sample: apparmor
    denied:
      description: Whether the operation was denied. False if a profile in complain mode, the seccomp action C(log) or the egress stage C(log) allowed it.
      type: bool
    operation:
      description: The operation as AppArmor names it, the name of the system call, or the egress preset.
      type: str
      sample: mount
    detail:
      description:
        - The requested object, from the kernel's message, at most 200 characters. For the recorder and the counters, the errno and a missing capability.
        - For no-new-privileges, what the kernel ignored in an executed program, such as C(setuid ignored).
      type: str
      sample: name=/proc/sysrq-trigger requested_mask=w denied_mask=w
    profile:
      description: The AppArmor profile of the process; null if it is unknown.
      type: str
      sample: bulkhead-web
    comm:
      description: Name of the process. The process may have chosen it.
      type: str
    exe:
      description: Program of the process, with its path in the container. Only messages of seccomp contain it.
      type: str
    scope:
      description: C(container), C(host) for a process outside all containers of Docker, or C(unknown).
      type: str
      sample: container
    container:
      description: The container, with C(id), C(name) and C(image), each null if unknown. Null if the container is unknown.
      type: dict
      sample: {"id": "c0ffee…", "name": "shop", "image": "nginx:1"}
    by:
      description:
        - Evidence for the scope. C(pid), the process exists, and its cgroup names the container. C(profile), only this container had this profile
          then; for a process of the host, no container had it. C(alone), no other candidate ran then. C(recorder), the recorder counted the call in the
          control group of the container. C(counters), the kernel did. C(address), the container had the address that the connection came from.
          Empty if unknown.
      type: str
      sample: pid
    candidates:
      description: Names of at most 10 containers that are candidates, if the container is unknown.
      type: list
      elements: str
    count:
      description:
        - Number of these denials. An entry of the recorder or the counters counts from RV(denials[].first) on, which can be before O(since). Then
          RV(denials[].detail) says so.
      type: int
    first:
      description: Time of the first one, in seconds since the epoch, by the host's clock.
      type: float
    last:
      description: Time of the last one.
      type: float
    pids:
      description: The first 5 process IDs, in the host's PID namespace.
      type: list
      elements: int
total:
  description: Number of all denials.
  returned: success
  type: int
complete:
  description: Whether there are no gaps.
  returned: success
  type: bool
gaps:
  description: Reasons why denials may be missing.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - C(serials), numbers that are in no log; C(rate_limited), the kernel's log dropped some; C(missed), a log was overwritten before it was read;
          C(begins), a log, or what the kernel counts, begins later than O(since); C(rebooted), the counts do, because the host was booted after O(since);
          C(lost), the kernel counts lost messages; C(silent), logging is
          disabled; C(unreadable), a source could not be read; C(cut), there were more than O(max_entries) entries.
      type: str
      sample: rate_limited
    source:
      description: Source of the gap.
      type: str
      sample: journal
    from:
      description: Start of the gap, in seconds since the epoch; null if unknown.
      type: float
    to:
      description: End of the gap; null if unknown.
      type: float
    lost:
      description: Number of missing messages; null if unknown.
      type: int
    text:
      description: The gap as a message.
      type: str
sources:
  description: Sources with denials or other messages, of C(journal), C(/dev/kmsg), C(auditd), C(recorder) and C(counters).
  returned: success
  type: list
  elements: str
since:
  description: Start of the examined time, in seconds since the epoch.
  returned: success
  type: float
at:
  description: Time of the collection, by the host's clock.
  returned: success
  type: float
engine_error:
  description: Why the engine did not list its containers; empty if it did, or if there was no denial.
  returned: success
  type: str
audit:
  description: State of the kernel's audit, with C(enabled), C(auditd_pid), C(lost) since boot, and C(boot), the time of the boot.
  returned: success
  type: dict
"""

import time
from typing import Any

from ..module_utils.audit.attribution import ContainerIndex
from ..module_utils.audit.containers import index_containers
from ..module_utils.audit.counted import COUNTERS, build_entries, read_counted
from ..module_utils.audit.denials import count_equal_denials, parse_denial
from ..module_utils.audit.egress import count_connections, list_addresses
from ..module_utils.audit.gaps import UNREADABLE, build_gap
from ..module_utils.audit.gather import gather_messages, parse_since
from ..module_utils.audit.recorded import RECORDER, read_recorded_denials
from ..module_utils.engine.client import open_engine
from ..module_utils.engine.instance import find_instance
from ..module_utils.host.root import Host
from ..module_utils.module import Module


def main() -> None:
    module = Module(
        argument_spec={
            "since": {"type": "str", "default": "24h"},
            "user": {"type": "str"},
            "socket": {"type": "path"},
            "max_entries": {"type": "int", "default": 200000},
            "max_denials": {"type": "int", "default": 200},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    for name in ("max_entries", "max_denials", "timeout"):
        if params[name] < 1:
            module.fail_json(msg=f"{name}: {params[name]} is too few; write 1 or more")
    now = time.time()
    try:
        since = parse_since(params["since"], now)
    except ValueError as error:
        module.fail_json(msg=str(error))
    host = Host()
    instance = find_instance(host, params["user"])
    if instance.uid is None:
        module.fail_json(msg=f"user: {instance.user} does not exist on this host; write the user who runs its engine, or leave it out")
    found = gather_messages(host, since, params["max_entries"])
    denied = [message for message in found.combined.messages if parse_denial(message)]
    recorded, unread = read_recorded_denials(host, since)
    counted = read_counted(host, instance, since, found.audit["boot"])
    gaps = found.combined.gaps + ([build_gap(UNREADABLE, RECORDER, unread, since)] if unread else []) + counted.gaps
    engine_error, index = "", ContainerIndex([], None, lambda pid: None)
    addresses: dict[str, list[dict[str, Any]]] = {}
    if denied or counted.denials or found.connections:
        engine = open_engine(host, instance, params["timeout"], params["socket"])
        index, engine_error = index_containers(host, engine, instance, since, found.journal)
        if found.connections and not engine_error:
            addresses = list_addresses(engine.get("/containers/json"))
    entries = build_entries(counted.denials, index.containers, since)
    connections = count_connections(found.connections, addresses, index.list_starts())
    denials, total = count_equal_denials(denied, index.attribute, params["max_denials"], recorded, entries, since, connections)
    module.exit_json(
        changed=False,
        denials=denials,
        total=total,
        complete=not gaps,
        gaps=gaps,
        sources=found.combined.sources + ([RECORDER] if recorded else []) + ([COUNTERS] if counted.is_counting else []),
        since=since,
        at=now,
        engine_error=engine_error,
        audit=found.audit,
    )


if __name__ == "__main__":
    main()
