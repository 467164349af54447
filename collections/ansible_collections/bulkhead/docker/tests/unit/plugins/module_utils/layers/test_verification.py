# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering and judging as a whole: without a probe container, with a stopped engine, and with other engines on the host."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.layers import evidence
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.judges import JUDGES
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verification import judge_host

from ...builders import build_container, build_evidence


def build_unprobed(**engine: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"running": True, "error": None, "socket": "/s", "orphans": [], "daemons": []}
    return build_evidence({"engine": {**base, **engine}, "layers": {"rootless": {"engines": []}}})


def test_without_a_probe_no_layer_is_enforced() -> None:
    result = judge_host(build_unprobed(), {}, {"capabilities"})
    (layer,) = result["layers"]
    assert layer["status"] == "unknown"
    assert [finding["text"] for finding in layer["findings"]] == ["no probe"]
    assert layer["requirement"] == "disabled"


def test_a_stopped_engine_and_orphans_are_host_findings() -> None:
    orphan = {"id": "ab" * 32, "cgroup": "/sys/fs/cgroup/docker-ab.scope", "pids": [7]}
    result = judge_host(build_unprobed(running=False, error="refused", orphans=[orphan]), {}, {"rootless"})
    assert [finding["id"] for finding in result["findings"]] == ["engine.not_running", "engine.orphan"]


def test_other_engines_are_judged_by_their_defaults() -> None:
    entry = {"kind": "rootful", "user": "root", "uid": 0, "pid": 7, "uid_map": [[0, 0, 4294967295]], "judged": False, "socket": None}
    gathered = build_unprobed()
    gathered["observed"]["layers"]["rootless"]["engines"] = [entry, {**entry, "pid": 8, "judged": True}]
    gathered["other_engines"] = {"7": build_unprobed()}
    first, second = judge_host(gathered, {}, {"capabilities", "rootless"})["engines"]
    assert [(layer["layer"], layer["status"]) for layer in first["layers"]] == [("capabilities", "unknown")]
    assert first["containers"] == [] and "layers" not in second


def test_each_socket_is_asked_once_and_bad_answers_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = {
        "/run/user/1/docker.sock": RecursionError(),
        "/run/user/2/docker.sock": EngineError(500, "no"),
        "/run/user/3/docker.sock": None,
    }

    modes: list[str] = []

    def gather_engine(host: Any, engine: Any, expect: Any, use_probe: bool, deep: str, instance: Any) -> dict[str, Any]:
        if engine.socket == "selected":
            gathered = build_unprobed()
            gathered["observed"]["layers"]["rootless"]["engines"] = [
                {"kind": "rootless", "user": "u", "uid": 1, "uid_map": [[0, 1, 1]], "pid": pid, "judged": False, "socket": {"path": path}}
                for pid, path in enumerate([*answers] * 3)
            ]
            return gathered
        asked.append(engine.socket)
        modes.append(deep)
        if answers[engine.socket]:
            raise answers[engine.socket]
        return {**build_unprobed(), "containers": [{"name": "web", "inspect": {"HostConfig": "no", "Mounts": [], "User": ""}}]}

    monkeypatch.setattr(evidence, "_gather_engine", gather_engine)
    monkeypatch.setattr(evidence, "find_instance", lambda *_: None)
    monkeypatch.setattr(evidence, "Engine", lambda path, *_: SimpleNamespace(socket=path))
    selected: Any = SimpleNamespace(socket="selected", timeout=60)
    gathered = evidence.gather_evidence(None, selected, {}, True, "all")  # type: ignore[arg-type]
    assert modes == ["none"] * 3, "without the user's account no process is attributed to the user"
    assert asked == list(answers)
    assert list(gathered["other_engines"]) == ["2", "5", "8"]
    assert json.loads(json.dumps(gathered)) == gathered, "the control node gets it as JSON"
    assert all("layers" not in entry for entry in judge_host(gathered, {}, {"rootless", "capabilities"})["engines"])


def test_a_failing_judge_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise IndexError("list index out of range")

    monkeypatch.setattr(JUDGES["capabilities"], "judge", fail)
    monkeypatch.setattr(JUDGES["capabilities"], "judge_container", fail)
    gathered = build_unprobed()
    gathered["containers"] = [build_container()]
    result = judge_host(gathered, {}, {"rootless", "capabilities"})
    capabilities, rootless = result["layers"]
    assert (capabilities["status"], rootless["status"]) == ("unknown", "not_applicable")
    assert "IndexError" in capabilities["findings"][0]["text"]
    (container,) = result["containers"]
    assert [layer["status"] for layer in container["layers"]] == ["unknown", "not_applicable"]


def test_a_container_without_evidence_is_unknown_in_every_layer() -> None:
    gathered = build_unprobed()
    gathered["containers"] = [build_container(error="it ended while it was read")]
    result = judge_host(gathered, {}, {"rootless", "capabilities"})
    text = "container web: it ended while it was read"
    assert [(finding["id"], finding["text"]) for finding in result["findings"]] == [("container.no_evidence", text)]
    (container,) = result["containers"]
    assert [layer["status"] for layer in container["layers"]] == ["unknown", "unknown"]
    assert [finding["text"] for layer in container["layers"] for finding in layer["findings"]] == [text, text]


def test_only_selected_layers_are_judged_in_order() -> None:
    result = judge_host(build_unprobed(), {}, {"rootless", "capabilities"})
    assert [layer["layer"] for layer in result["layers"]] == ["capabilities", "rootless"]


@pytest.mark.parametrize(
    ("requirement", "findings"), [("required", ["capabilities.surplus"]), ("optional", ["capabilities.surplus"]), ("disabled", [])]
)
def test_a_disabled_layer_is_no_finding_of_a_container(requirement: str, findings: list[str]) -> None:
    gathered = build_unprobed()
    kernel = {"cap": dict.fromkeys(("inh", "prm", "eff", "bnd", "amb"), 0x1FFFFFFFFFF)}
    gathered["containers"] = [build_container(kernel, host_config={"Privileged": False})]
    (container,) = judge_host(gathered, {"capabilities": {"requirement": requirement}}, {"capabilities"})["containers"]
    (layer,) = container["layers"]
    assert layer["status"] == "absent"
    assert [finding["id"] for finding in layer["findings"] if finding["status"] == "absent"] == findings
