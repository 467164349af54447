# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers to which denials can belong, while containers come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.containers import index_containers
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.reading import Reading
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from ..engine.proc_tree import add_process

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
STARTED = "2025-11-24T12:00:00Z"


def listed(identifier: str, name: str) -> dict[str, Any]:
    return {"Id": identifier, "Names": [f"/{name}"], "Image": f"{name}:1", "State": "running"}


def inspected(identifier: str, name: str) -> dict[str, Any]:
    state = {"Status": "exited", "Running": False, "Pid": 0, "StartedAt": STARTED, "FinishedAt": "2025-11-24T13:00:00Z"}
    return {"Id": identifier, "Name": f"/{name}", "AppArmorProfile": "docker-default", "Config": {"Image": f"{name}:1"}, "State": state}


class AnsweringEngine:
    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = {
            "/containers/json": [listed(A, "web"), listed(B, "job"), listed(C, "shop")],
            "/events": [],
            "/info": {"CgroupDriver": "systemd"},
        }
        self.answers |= {f"/containers/{A}/json": inspected(A, "web"), f"/containers/{C}/json": inspected(C, "shop")}
        self.answers |= answers

    def get(self, path: str, **_: Any) -> Any:
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "answer",
    [EngineError(404, f"No such container: {B}"), EngineError(500, "input/output error"), None, "text", {"Id": B}, {"Id": B, "Name": None}],
)
def test_one_vanished_container_does_not_hide_the_others(tmp_path: Path, answer: Any) -> None:
    engine: Any = AnsweringEngine({f"/containers/{B}/json": answer})
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    index, error = index_containers(Host(tmp_path), engine, ROOTFUL, 0.0, Reading("journal", begins=5.0))
    assert (error, index.complete_since) == ("", 5.0)
    assert [(c.name, c.image, c.profile) for c in index.containers] == [
        ("web", "web:1", "docker-default"),
        ("job", "job:1", None),
        ("shop", "shop:1", "docker-default"),
    ]
    assert index.containers[1].has_run_at(1.0)


def test_engine_that_ends_meanwhile_is_reported(tmp_path: Path) -> None:
    engine: Any = AnsweringEngine({f"/containers/{B}/json": EngineUnreachable("no engine answers")})
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    index, error = index_containers(Host(tmp_path), engine, ROOTFUL, 0.0, Reading("journal", begins=5.0))
    assert (error, index.complete_since) == ("no engine answers", None)


@pytest.mark.parametrize("path", ["custom/{}", "mine.slice/docker-{}.scope", "docker/{}", "memory/custom/{}"])
def test_a_container_that_is_not_listed_has_its_profile(tmp_path: Path, path: str) -> None:
    engine: Any = AnsweringEngine({"/containers/json": []})
    add_process(tmp_path, 41, f"/{path.format(A)}", label="web (enforce)", PPid="40")
    write_files(tmp_path, {"proc/40/cmdline": f"/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0-id\0{A}\0"})
    index, unused = index_containers(Host(tmp_path), engine, ROOTFUL, 0.0, Reading("journal"))
    assert [(c.id, c.profile, c.has_run_at(1.0)) for c in index.containers] == [(A, "web", True)]
