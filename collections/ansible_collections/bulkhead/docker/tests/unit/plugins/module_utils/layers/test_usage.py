# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that reached a limit is an observation with a readable text, and never fails a layer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.usage import build_usage, describe_peak, find_reached_limits

from ...builders import build_container

FOLDER = "/sys/fs/cgroup/a"


def build_counted(pids_events: dict[str, int] | None = None, memory: dict[str, int] | None = None, **pids: Any) -> dict[str, Any]:
    events = {
        **({"pids": {"source": f"{FOLDER}/pids.events", **pids_events}} if pids_events else {}),
        **({"memory": {"source": f"{FOLDER}/memory.events", **memory}} if memory else {}),
    }
    own = {"source": f"{FOLDER}/pids.max", "max": 100, "current": 3, "peak": 100, "ancestors": [], **pids}
    return build_container({"pids": own, "events": events})


def find(container: dict[str, Any]) -> list[str]:
    findings = find_reached_limits("web", build_usage(container))
    assert all(finding.status is None for finding in findings)
    return [f"{finding.id}: {finding.text}" for finding in findings]


@pytest.mark.parametrize(
    ("container", "texts"),
    [
        (build_counted({"max": 0, "local": 0}, {"oom": 0, "oom_kill": 0}), []),
        (build_counted(), []),
        (
            build_counted({"max": 61, "local": 61}),
            [
                "container.pids_limit_reached: container web reached its PIDs limit of 100 61 times (pids.events): new processes or threads failed"
            ],
        ),
        (build_counted({"max": 1}), ["container web reached its PIDs limit of 100 once"]),
        (build_counted({"max": 1}, max=None), ["container web reached its PIDs limit of max once"]),
        (build_counted({"max": 5}, ancestors=[{"source": "/sys/fs/cgroup/pids.max", "max": 50}]), ["its PIDs limit of 50 5 times"]),
        # systemd in a container limits its services.
        (build_counted({"max": 9, "local": 0}), ["a group inside container web reached a PIDs limit of its own 9 times"]),
        (
            build_counted({"max": 9, "local": 7}),
            ["limit of 100 7 times; a group inside container web reached a PIDs limit of its own twice"],
        ),
        (
            build_counted(None, {"oom": 3, "oom_kill": 3}),
            [
                "container.out_of_memory: container web reached its memory limit 3 times, and the kernel ended 3 of its processes (memory.events)"
            ],
        ),
        (build_counted(None, {"oom": 1, "oom_kill": 0}), ["reached its memory limit once, and nothing was ended"]),
        # The memory of the host was missing, or cgroup v1 counts no more.
        (build_counted(None, {"oom": 0, "oom_kill": 1}), ["container web: the kernel ended one of its processes for lack of memory"]),
        (build_counted(None, {"oom_kill": 2}), ["container web: the kernel ended 2 of its processes for lack of memory"]),
        (build_counted({"max": 2}, {"oom": 1, "oom_kill": 1}), ["container.pids_limit_reached: ", "container.out_of_memory: "]),
    ],
)
def test_reached_limits_have_readable_texts(container: dict[str, Any], texts: list[str]) -> None:
    found = find(container)
    assert len(found) == len(texts) and all(text in seen for text, seen in zip(texts, found, strict=True)), found


def test_usage_has_what_is_counted() -> None:
    usage = build_usage(build_counted({"max": 9, "local": 7}, {"oom": 2, "oom_kill": 1}))
    assert usage == {
        "pids": {"source": FOLDER, "max": 100, "current": 3, "peak": 100, "limit_hits": 7, "limit_hits_inside": 2},
        "memory": {"source": f"{FOLDER}/memory.events", "oom": 2, "oom_kills": 1},
    }
    assert build_usage(build_counted(peak=None))["pids"]["limit_hits"] is None
    assert build_usage(build_container()) == {}


@pytest.mark.parametrize(
    ("pids", "text"),
    [({}, "peak 100 of 100 tasks"), ({"max": None}, "peak 100 of unlimited tasks"), ({"peak": None}, "now 3 of 100 tasks")],
)
def test_the_peak_is_described(pids: dict[str, Any], text: str) -> None:
    assert describe_peak(build_usage(build_counted(**pids))) == text
    assert describe_peak({}) == ""
