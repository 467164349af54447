# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.judge import judge_controls

from ...builders import build_container, build_evidence

INFO = {"Driver": "overlay2", "LoggingDriver": "json-file", "SecurityOptions": []}
FACTS: dict[str, Any] = {
    "errors": {},
    "mount": {"path": "/var/lib/docker", "point": "/", "type": "ext4"},
    "members": [],
    "content_trust": None,
    "proxies": 0,
    "package": {"installed": "1", "candidate": "1"},
    "tcp_sockets": [],
    "info": {
        "Authorization": [],
        "Debug": False,
        "ExperimentalBuild": False,
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "InsecureRegistries": [],
    },
    "bridge": "true",
    "images": {"images": [], "unread": 0},
    "containers": [],
    "swarm": {"active": False, "manager": False},
}
MANAGER = {
    "active": True,
    "manager": True,
    "managers": 3,
    "auto_lock": False,
    "certificate_days": 90.0,
    "plain_networks": [],
    "overlay_networks": 1,
    "exposed_services": [],
}
IMAGE = {"id": "sha256:1", "tags": ["web:1"], "user": "", "health_check": False, "secret_names": 0, "adds": 0, "updates_alone": 0}
LISTED = {
    "name": "web",
    "image": "web:1",
    "image_id": "sha256:1",
    "state": "running",
    "status": "Up 2 hours",
    "networks": ["own"],
    "addresses": [],
    "ports": [],
}


def judge(
    facts: dict[str, Any] | None = None,
    flags: dict[str, str] | None = None,
    file: dict[str, Any] | None = None,
    containers: tuple[dict[str, Any], ...] = (),
    verified: dict[str, Any] | None = None,
    **engine: Any,
) -> dict[str, dict[str, Any]]:
    """Return the controls by number of a host with these facts, flags and daemon.json."""
    observed = {
        "engine": {
            "pid": 9, "started_at": 100.0, "running": True, "error": None, "package": "docker.io", "swarm": False, "live_restore": True, "info": INFO,
            "daemons": [{"pid": 9, "uid": 0, "rootless": False}], **engine,
        },
        "unit": {"flags": flags or {}},
        "daemon_json": {"path": "/etc/docker/daemon.json", "error": None, "mtime": 50.0, "text": json.dumps(file or {})},
        "system": {"lsm": ["apparmor"]},
    }  # fmt: skip
    evidence = build_evidence(observed, containers=containers, controls={**FACTS, **(facts or {})})
    return {
        entry["control"].removeprefix("CIS-"): entry for entry in judge_controls(evidence, verified or {"layers": [], "containers": []})
    }


@pytest.mark.parametrize(
    ("number", "facts", "status"),
    [
        ("1.1.1", {}, "fail"),
        ("1.1.1", {"mount": {"path": "/var/lib/docker", "point": "/var/lib/docker", "type": "xfs"}}, "pass"),
        ("1.1.2", {}, "pass"),
        ("1.1.2", {"members": ["alice"]}, "fail"),
        ("1.1.2", {"members": None}, "not_applicable"),
        ("1.2.1", {}, "manual"),
        ("1.2.2", {}, "pass"),
        ("1.2.2", {"package": {"installed": "1", "candidate": "2"}}, "fail"),
        ("2.2", {}, "fail"),
        ("2.2", {"bridge": "false"}, "pass"),
        ("2.2", {"bridge": None}, "not_applicable"),
        ("2.3", {}, "pass"),
        ("2.3", {"info": {**FACTS["info"], "Debug": True}}, "fail"),
        ("2.5", {}, "pass"),
        ("2.5", {"info": {**FACTS["info"], "InsecureRegistries": ["r:5000"]}}, "fail"),
        ("2.5", {"info": {**FACTS["info"], "InsecureRegistryCIDRs": ["10.0.0.0/8"]}}, "fail"),
        ("2.8", {}, "not_applicable"),
        ("2.8", {"tcp_sockets": ["0.0.0.0:2375"]}, "fail"),
        ("2.13", {"info": {**FACTS["info"], "Authorization": ["opa"]}}, "pass"),
        ("2.19", {"info": {**FACTS["info"], "ExperimentalBuild": True}}, "fail"),
        ("4.5", {"content_trust": "1"}, "pass"),
        ("4.6", {}, "not_applicable"),
        ("4.6", {"images": {"images": [IMAGE], "unread": 0}}, "fail"),
        ("4.6", {"images": {"images": [{**IMAGE, "health_check": True}], "unread": 0}}, "pass"),
        ("4.6", {"images": {"images": [{**IMAGE, "health_check": True}], "unread": 3}}, "unknown"),
        ("4.7", {"images": {"images": [{**IMAGE, "updates_alone": 1}], "unread": 0}}, "fail"),
        ("4.8", {}, "manual"),
        ("4.8", {"searched": True}, "unknown"),
        ("4.8", {"searched": True, "setuid": {"images": [], "unread": []}}, "not_applicable"),
        ("4.8", {"searched": True, "setuid": {"images": [{**IMAGE, "files": ["/bin/su"], "more": 0}], "unread": ["b"]}}, "fail"),
        ("4.8", {"searched": True, "setuid": {"images": [{**IMAGE, "files": [], "more": 0}], "unread": []}}, "pass"),
        ("4.8", {"searched": True, "setuid": {"images": [{**IMAGE, "files": [], "more": 0}], "unread": ["b"]}}, "unknown"),
        ("4.9", {"images": {"images": [{**IMAGE, "adds": 1}], "unread": 0}}, "fail"),
        ("4.10", {"images": {"images": [{**IMAGE, "secret_names": 1}], "unread": 0}}, "fail"),
        ("5.1", {"swarm": MANAGER}, "fail"),
        ("5.9", {"containers": [{**LISTED, "ports": ["80/tcp"]}]}, "manual"),
        ("5.9", {"containers": [LISTED]}, "pass"),
        ("5.27", {"containers": [LISTED]}, "fail"),
        ("5.27", {"containers": [{**LISTED, "status": "Up 2 hours (healthy)"}]}, "pass"),
        ("5.27", {"containers": [{**LISTED, "status": "Up 2 hours (unhealthy)"}]}, "fail"),
        ("5.28", {"containers": [LISTED], "images": {"images": [IMAGE], "unread": 0}}, "pass"),
        ("5.28", {"containers": [LISTED], "images": {"images": [{**IMAGE, "id": "sha256:2"}], "unread": 0}}, "fail"),
        ("5.30", {"containers": [{**LISTED, "networks": ["bridge"]}]}, "fail"),
        ("6.1", {"images": {"images": [IMAGE], "unread": 0}}, "fail"),
        ("6.1", {"images": {"images": [IMAGE], "unread": 0}, "containers": [LISTED]}, "pass"),
        ("6.2", {"containers": [{**LISTED, "state": "exited"}] * 26}, "fail"),
        ("7.1", {}, "not_applicable"),
        ("7.1", {"swarm": MANAGER}, "pass"),
        ("7.1", {"swarm": {**MANAGER, "managers": 2}}, "fail"),
        ("7.1", {"swarm": {"active": True, "manager": False}}, "unknown"),
        ("7.2", {"swarm": MANAGER, "tcp_sockets": ["[::]:2377"]}, "fail"),
        ("7.3", {"swarm": {**MANAGER, "plain_networks": ["n"]}}, "fail"),
        ("7.4", {"swarm": {**MANAGER, "exposed_services": ["s"]}}, "fail"),
        ("7.5", {"swarm": MANAGER}, "fail"),
        ("7.6", {"swarm": MANAGER}, "manual"),
        ("7.7", {"swarm": MANAGER}, "pass"),
        ("7.7", {"swarm": {**MANAGER, "certificate_days": 3650}}, "fail"),
    ],
)  # fmt: skip
def test_facts_decide(number: str, facts: dict[str, Any], status: str) -> None:
    found = judge(facts)[number]
    assert found["status"] == status, found["reason"]
    assert found["reason"]
    assert bool(found["findings"]) == (status == "fail")


@pytest.mark.parametrize(
    ("number", "flags", "file", "status"),
    [
        ("2.3", {"log-level": "debug"}, {}, "fail"),
        ("2.4", {}, {"iptables": False}, "fail"),
        ("2.4", {"iptables": "false"}, {}, "fail"),
        ("2.9", {}, {"default-ulimits": {"nofile": {}}}, "pass"),
        ("2.11", {}, {"cgroup-parent": "x"}, "fail"),
        ("2.17", {}, {}, "fail"),
        ("2.17", {}, {"userland-proxy": False}, "pass"),
        ("2.17", {"userland-proxy": "false"}, {}, "pass"),
    ],
)  # fmt: skip
def test_settings_of_the_process_and_the_file_decide(number: str, flags: dict[str, str], file: dict[str, Any], status: str) -> None:
    assert judge(flags=flags, file=file)[number]["status"] == status


def test_a_socket_with_verified_clients_passes() -> None:
    facts = {"tcp_sockets": ["0.0.0.0:2376"]}
    assert judge(facts, flags={"tlsverify": "true"})["2.8"]["status"] == "pass"
    assert judge(facts, file={"tls": True})["2.8"]["status"] == "fail"


def test_the_sockets_of_a_swarm_are_not_the_api() -> None:
    assert judge({"tcp_sockets": ["[::]:2377"], "swarm": MANAGER}, swarm=True)["2.8"]["status"] == "not_applicable"


def test_the_ports_of_containers_are_not_the_api() -> None:
    published = {**LISTED, "addresses": ["0.0.0.0:80"]}
    facts = {"tcp_sockets": ["0.0.0.0:80"], "containers": [published]}
    assert judge(facts)["2.8"]["status"] == "not_applicable"
    found = judge({**facts, "tcp_sockets": ["0.0.0.0:80", "127.0.0.1:2375"]})["2.8"]
    assert (found["status"], found["reason"]) == ("fail", "clients on 127.0.0.1:2375 need no certificate")


def test_running_proxies_count_more_than_the_file() -> None:
    assert judge({"proxies": 2}, file={"userland-proxy": False})["2.17"]["status"] == "fail"


def test_a_file_that_is_newer_than_the_engine_is_unknown() -> None:
    found = judge(file={"userland-proxy": False}, started_at=10.0)["2.17"]
    assert found["status"] == "unknown"
    assert "was changed after the engine started" in found["reason"]


def test_one_missing_fact_does_not_take_the_others_down() -> None:
    evidence = judge({"errors": {"members": "Operation not permitted"}})
    assert evidence["1.1.1"]["status"] == "fail"
    unread = build_evidence({"engine": {"error": "no engine"}}, controls={"errors": {}})
    found = judge_controls(unread, {"layers": [], "containers": []})
    assert {entry["status"] for entry in found} <= {"unknown", "manual", "not_applicable"}


def build_layer(status: str, finding: str = "") -> dict[str, Any]:
    findings = [{"id": finding, "text": "why", "status": status, "remedy": ""}] if finding else []
    return {"layer": "userns", "status": status, "evidence": [{"source": "/proc/1/uid_map", "value": 0}], "findings": findings}


@pytest.mark.parametrize(
    ("layer", "status"),
    [("enforced", "pass"), ("degraded", "fail"), ("absent", "fail"), ("unknown", "unknown"), ("not_applicable", "not_applicable")],
)
def test_layers_answer_for_their_controls(layer: str, status: str) -> None:
    container = {"name": "web", "layers": [build_layer(layer, "userns.host")], "exposures": [], "findings": []}
    found = judge(verified={"layers": [build_layer(layer)], "containers": [container]})
    assert (found["2.10"]["status"], found["5.31"]["status"]) == (status, status)
    if status == "fail":
        assert found["5.31"]["findings"] == [{"container": "web", "finding": "userns.host"}]


def test_exposures_answer_for_their_controls() -> None:
    exposure = {"kind": "host_pid", "text": "pid:[1]", "source": "/proc/7/ns/pid", "value": "pid:[1]"}
    container = {"name": "web", "layers": [], "exposures": [exposure], "findings": []}
    found = judge(verified={"layers": [], "containers": [container]})
    assert found["5.16"]["findings"] == [{"container": "web", "finding": "container.host_pid"}]
    assert found["5.17"]["status"] == "pass"
    unread = {**container, "exposures": [], "findings": [{"id": "container.exposures_unknown", "text": "gone"}]}
    assert judge(verified={"layers": [], "containers": [unread]})["5.16"]["status"] == "unknown"


def build_running(policy: dict[str, Any] | None = None, *states: dict[str, Any], **config: Any) -> dict[str, Any]:
    first = {
        "uid": [1000] * 4,
        "gid": [1000] * 4,
        "groups": [],
        "cap": {"bnd": 1, "eff": 1},
        "uid_map": [[0, 0, 4294967295]],
        "gid_map": [[0, 0, 4294967295]],
    }
    return build_container(first, *({**first, **state} for state in states), host_config={"RestartPolicy": policy or {}, **config})


@pytest.mark.parametrize(
    ("number", "container", "status"),
    [
        ("5.15", build_running({"Name": "no"}), "pass"),
        ("5.15", build_running({"Name": "on-failure", "MaximumRetryCount": 5}), "pass"),
        ("5.15", build_running({"Name": "on-failure", "MaximumRetryCount": 0}), "fail"),
        ("5.15", build_running({"Name": "always"}), "fail"),
        ("5.23", build_running(None, {"pid": 8, "command": "sh"}), "pass"),
        ("5.23", build_running(None, {"pid": 8, "command": "sh", "cap": {"bnd": 3, "eff": 3}}), "fail"),
        ("5.24", build_running(None, {"pid": 8, "command": "sh"}), "pass"),
        ("5.24", build_running(None, {"pid": 8, "command": "sh", "uid": [0] * 4}), "fail"),
        ("5.24", {**build_running(), "error": "gone"}, "unknown"),
    ],
)
def test_processes_and_settings_of_containers_decide(number: str, container: dict[str, Any], status: str) -> None:
    assert judge(containers=(container,))[number]["status"] == status
