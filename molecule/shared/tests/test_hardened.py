# SPDX-License-Identifier: GPL-3.0-or-later
"""The good citizens: the same services under everything stacked, run by role hardened_container, proven by verify.yml, attacked in a sibling."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Proof
from test_services import SERVICES, images  # noqa: F401 (a fixture)
from testinfra.host import Host

# What differs from the role's defaults: whose files a service has, where it writes, how it stops.
LIST = [
    {"name": "good-nginx", "image": "bulkhead-test/nginx:1", "user": "33:33", "tmpfs": ["/tmp", "/run", "/var/lib/nginx", "/var/log/nginx"],
     "stop_signal": "SIGQUIT", "environment": {"A": "b"}},
    {"name": "good-python", "image": "bulkhead-test/python:1", "stop_signal": "SIGINT"},
    {"name": "good-node", "image": "bulkhead-test/node:1", "memory": "384m", "ports": ["127.0.0.1:8080:8080"]},
    {"name": "good-redis", "image": "bulkhead-test/redis:1", "user": "999:999", "cpus": 0.5, "pids_limit": 50},
]  # fmt: skip


def variables(entries: list[dict[str, Any]]) -> tuple[str, str]:
    return ("-e", json.dumps({"hardened_container_list": entries}))


@pytest.fixture(scope="module")
def role(inventory: str, playbook: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the role alone, as somebody's own playbook would."""

    def run(entries: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
        return playbook("containers", *variables(entries), *arguments)

    return run


@pytest.fixture(scope="module")
def running(
    host: Host,
    images: None,  # noqa: F811
    role: Callable[..., subprocess.CompletedProcess[str]],
) -> Iterator[subprocess.CompletedProcess[str]]:
    done = role(LIST)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield done
    finally:
        host.run("docker rm -f " + " ".join(entry["name"] for entry in LIST))


def test_a_second_run_changes_nothing(running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    again = role(LIST)
    assert "changed=0" in again.stdout, again.stdout


def test_they_answer_log_and_are_entered(host: Host, running: Any) -> None:
    script = (
        "import sys; sys.path.insert(0, '/root/services'); import json, try_services as t\n"
        "names = json.loads(sys.argv[1])\n"
        "address = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'\n"
        "for n in names:\n"
        "    ip = t.docker('inspect', '--format', address, 'good-' + n).stdout.strip()\n"
        "    entered = t.docker('exec', 'good-' + n, 'sh', '-c', 'cat /proc/self/status').returncode\n"
        "    answers = t.ask(n, ip)\n"
        "    log = t.docker('logs', 'good-' + n)\n"
        "    print(json.dumps([n, answers, entered, bool(log.stdout + log.stderr)]))\n"
    )
    host.check_output(f"cat > /root/services/talk.py <<'END_OF_FILE'\n{script}END_OF_FILE")
    told = host.run(f"python3 /root/services/talk.py '{json.dumps(SERVICES)}'")
    seen = {line[0]: line[1:] for line in map(json.loads, told.stdout.splitlines())}
    assert set(seen) == set(SERVICES), told.stderr
    assert seen["nginx"] == [["hello"], 0, True]
    assert seen["python"] == [["hello"], 0, True]
    assert seen["node"][:2] == [["hello", "child", "thread"], 0]  # it logs nothing
    assert seen["redis"][0][:2] == ["+PONG", "+OK"], seen


def test_the_kernel_has_every_setting(running: Any, prove: Callable[..., Proof]) -> None:
    proof = prove(*variables(LIST))
    assert proof.code == 0, proof.output
    for entry in LIST:
        demands = {d["setting"]: d["status"] for d in proof.container(entry["name"])["demands"]}
        assert len(demands) == 10
        assert set(demands.values()) == {"enforced"}, demands


def test_a_setting_that_is_lost_is_named_and_no_other(host: Host, running: Any, prove: Callable[..., Proof]) -> None:
    host.check_output("docker update --memory 1g --memory-swap 1g good-redis")
    entry = {**LIST[1], "user": "1000:1000"}  # the inventory says another user than the container has
    gone = {**LIST[2], "name": "good-gone"}
    proof = prove(*variables([LIST[0], entry, LIST[2], LIST[3], gone]))
    assert proof.code != 0
    assert proof.report["not_enforced"] == [
        "container good-python: user (absent)",
        "container good-redis: memory (degraded)",
        "container good-gone of hardened_container_list does not run",
    ], proof.output


def test_what_differs_is_replaced_and_what_fails_comes_back(
    host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = host.check_output("docker inspect -f '{{.Id}}' good-nginx")
    broken = role([{**LIST[0], "command": ["/nowhere"]}, *LIST[1:]])
    assert broken.returncode != 0
    assert "container good-nginx does not start" in broken.stdout
    assert host.check_output("docker inspect -f '{{.Id}} {{.State.Running}}' good-nginx") == f"{before} true"
    host.check_output("docker run -d --name foreign --network none bulkhead-test/redis:1")
    try:
        refused = role([{**LIST[3], "name": "foreign"}])
        assert "container foreign is there and was not made by this role" in refused.stdout
    finally:
        host.run("docker rm -f foreign")


def test_a_sibling_is_attacked_with_the_container_s_settings(
    host: Host, running: Any, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    before = host.check_output("docker ps -aq --no-trunc; docker images -aq --no-trunc")
    columns = {"attack_matrix_configurations": ["capabilities", "container"]}
    done = playbook("attack", "-e", f"report_dir={tmp_path}", "-e", "container=good-redis", "-e", json.dumps(columns))
    report = json.loads(next(tmp_path.glob("attack-*.json")).read_text())
    matrix = report["matrix"]
    assert matrix["subject"] == "container good-redis"
    assert {c["name"]: c["trouble"] for c in matrix["configurations"] if c["trouble"]} == {}, done.stdout
    through = [row["name"] for row in matrix["attacks"] if row["cells"]["container"]["outcome"] != "blocked"]
    assert through == [], done.stdout
    # Its own layers, not the host's: it has no capabilities at all, so that raw sockets are stopped by that alone.
    raw = next(row for row in matrix["attacks"] if row["name"] == "raw_socket")
    assert "capabilities" in raw["stopped_by"]
    assert host.check_output("docker ps -aq --no-trunc; docker images -aq --no-trunc") == before


def test_the_same_as_a_compose_file(host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = role(LIST, "-e", "hardened_container_compose_file=/root/compose.yml")
    assert done.returncode == 0, done.stdout
    text = host.file("/root/compose.yml").content_string
    for words in ("container_name: good-redis", "read_only: true", "no-new-privileges:true", "apparmor:bulkhead-web", "pids_limit: 50"):
        assert words in text, text


def test_they_stop_by_themselves_and_go(host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    host.check_output("docker stop --time 30 " + " ".join(entry["name"] for entry in LIST))
    for entry in LIST:
        assert host.check_output(f"docker inspect -f '{{{{.State.ExitCode}}}}' {entry['name']}") == "0", entry["name"]
    done = role([{**entry, "state": "absent"} for entry in LIST])
    assert done.returncode == 0, done.stdout
    assert host.run("docker inspect good-redis").rc != 0
