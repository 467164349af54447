# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof as a whole: what a missing probe or a stopped engine makes of it, and what undoes more than one layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import verification


def container(config: dict[str, Any] | None = None, mounts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"name": "web", "inspect": {"HostConfig": config or {}, "Mounts": mounts or [], "User": ""}}


@pytest.mark.parametrize(
    ("config", "mounts", "ids"),
    [
        ({}, [], []),
        ({"Privileged": True}, [], ["container.privileged"]),
        ({"PidMode": "host", "NetworkMode": "host"}, [], ["container.host_namespace", "container.host_namespace"]),
        ({"NetworkMode": "none", "PidMode": "container:x"}, [], []),
        ({}, [{"Source": "/var/run/docker.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/run/containerd/containerd.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/run/user/1000/docker.sock", "Destination": "/s"}], ["container.engine_socket"]),
        ({}, [{"Source": "/srv/docker.sock.d", "Destination": "/s"}], []),
    ],
)
def test_what_undoes_more_than_one_layer(config: dict[str, Any], mounts: list[dict[str, Any]], ids: list[str]) -> None:
    assert [finding.id for finding in verification.exposures(container(config, mounts))] == ids


def evidence(**engine: Any) -> dict[str, Any]:
    base = {"running": True, "error": None, "socket": "/s", "orphans": [], "daemons": []}
    observed = {"engine": {**base, **engine}, "layers": {"rootless": {"engines": []}}}
    return {"observed": observed, "probe": None, "probe_error": "no probe", "containers": [], "layer_evidence": {}}


def test_without_a_canary_nothing_is_enforced_and_the_reason_is_said() -> None:
    result = verification.judge(evidence(), {}, {"capabilities"})
    (layer,) = result["layers"]
    assert layer["status"] == "unknown"
    assert [finding["text"] for finding in layer["findings"]] == ["no probe"]
    assert layer["requirement"] == "disabled"


def test_a_stopped_engine_and_orphans_are_findings_of_the_host() -> None:
    orphan = {"id": "ab" * 32, "cgroup": "/sys/fs/cgroup/docker-ab.scope", "pids": [7]}
    result = verification.judge(evidence(running=False, error="refused", orphans=[orphan]), {}, {"rootless"})
    assert [finding["id"] for finding in result["findings"]] == ["engine.not_running", "engine.orphan"]


def test_every_engine_of_the_host_is_judged_by_what_its_containers_get() -> None:
    entry = {"kind": "rootful", "user": "root", "uid": 0, "pid": 7, "uid_map": [[0, 0, 4294967295]], "judged": False, "socket": None}
    seen = evidence()
    seen["observed"]["layers"]["rootless"]["engines"] = [entry, {**entry, "pid": 8, "judged": True}]
    seen["other_engines"] = {7: evidence()}
    first, second = verification.judge(seen, {}, {"capabilities", "rootless"})["engines"]
    assert [(layer["layer"], layer["status"]) for layer in first["layers"]] == [("capabilities", "unknown")]
    assert first["containers"] == [] and "layers" not in second


def test_one_socket_is_looked_at_once_and_nonsense_behind_it_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    users = {
        "/run/user/1/docker.sock": RecursionError(),
        "/run/user/2/docker.sock": EngineError(500, "no"),
        "/run/user/3/docker.sock": None,
    }

    def look(host: Any, engine: Any, *_: Any) -> dict[str, Any]:
        if engine.socket == "desired":
            seen = evidence()
            seen["observed"]["layers"]["rootless"]["engines"] = [
                {"kind": "rootless", "user": "u", "uid": 1, "uid_map": [[0, 1, 1]], "pid": pid, "judged": False, "socket": {"path": path}}
                for pid, path in enumerate([*users] * 3)
            ]
            return seen
        asked.append(engine.socket)
        if users[engine.socket]:
            raise users[engine.socket]
        return {**evidence(), "containers": [{**container(), "inspect": {"HostConfig": "no"}}]}

    monkeypatch.setattr(verification, "_gather", look)
    monkeypatch.setattr(verification, "find", lambda *_: None)
    monkeypatch.setattr(verification, "Engine", lambda path, *_: SimpleNamespace(socket=path))
    desired: Any = SimpleNamespace(socket="desired", timeout=60)
    seen = verification.gather(None, desired, {}, True, False)  # type: ignore[arg-type]
    assert asked == list(users)
    assert list(seen["other_engines"]) == [2, 5, 8]
    assert all("layers" not in entry for entry in verification.judge(seen, {}, {"rootless", "capabilities"})["engines"])


def test_only_the_layers_asked_for_are_judged_in_order_of_effort() -> None:
    result = verification.judge(evidence(), {}, {"rootless", "capabilities"})
    assert [layer["layer"] for layer in result["layers"]] == ["capabilities", "rootless"]
