# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a container reached its limits, on both versions of control groups, and on kernels that count less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.cgroup_events import read_events

from ...builders import write_files

V2, V1 = "/sys/fs/cgroup/a", "/sys/fs/cgroup/pids/a"
# As Linux 6.12 has them.
MEMORY = "low 0\nhigh 0\nmax 90\noom 3\noom_kill 2\noom_group_kill 0\n"
READ_MEMORY = {"source": f"{V2}/memory.events", "oom": 3, "oom_kill": 2}


@pytest.mark.parametrize(
    ("folder", "groups", "files", "expected"),
    [
        (
            V2, "0::/a", {f"{V2}/pids.events": "max 61\n", f"{V2}/pids.events.local": "max 60\n", f"{V2}/memory.events": MEMORY},
            {"pids": {"source": f"{V2}/pids.events", "max": 61, "local": 60}, "memory": READ_MEMORY},
        ),
        (  # before Linux 6.11
            V2, "0::/a", {f"{V2}/pids.events": "max 61\n", f"{V2}/memory.events": MEMORY},
            {"pids": {"source": f"{V2}/pids.events", "max": 61}, "memory": READ_MEMORY},
        ),
        (
            V1, "11:memory:/m\n7:pids:/a\n0::/system.slice/a",
            {f"{V1}/pids.events": "max 4\n", "/sys/fs/cgroup/memory/m/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"},
            {
                "pids": {"source": f"{V1}/pids.events", "max": 4},
                "memory": {"source": "/sys/fs/cgroup/memory/m/memory.oom_control", "oom_kill": 5},
            },
        ),
        # The controller is not delegated, the group is gone, or the file has another form.
        (V2, "0::/a", {}, {}),
        (V2, "", {f"{V2}/pids.events": "max 1\n"}, {"pids": {"source": f"{V2}/pids.events", "max": 1}}),
        (V2, "0::/a", {f"{V2}/pids.events": "max many\nmax\n\n", f"{V2}/memory.events": "oom -1\n"}, {}),
    ],
)  # fmt: skip
def test_events_are_read(tmp_path: Path, folder: str, groups: str, files: dict[str, str], expected: dict[str, Any]) -> None:
    assert read_events(write_files(tmp_path, files), folder, groups) == expected
