# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as a compose project of role hardened_container: they run under all layers, verify.yml verifies them, and they are attacked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Verification
from test_services import SERVICES, images, since  # noqa: F401 (fixtures)
from testinfra.host import Host

# What differs from the role's defaults: the owner of a service's files, the folders that it writes to, its stop signal.
LIST = [
    {"name": "good-nginx", "image": "bulkhead-test/nginx:1", "user": "33:33", "tmpfs": ["/tmp", "/run", "/var/lib/nginx", "/var/log/nginx"],
     "stop_signal": "SIGQUIT", "environment": {"A": "b"}},
    {"name": "good-python", "image": "bulkhead-test/python:1", "stop_signal": "SIGINT"},
    {"name": "good-node", "image": "bulkhead-test/node:1", "memory": "384m", "ports": ["127.0.0.1:8080:8080"]},
    {"name": "good-redis", "image": "bulkhead-test/redis:1", "user": "999:999", "cpus": 0.5, "pids_limit": 50},
]  # fmt: skip


COMPOSE_FILE = "/etc/bulkhead/compose.yml"
# Kills the process of a run as soon as its first container runs attacks. The file names that process.
KILL_ATTACK = r"""
for second in $(seq 300); do
  if docker ps --format '{{.Names}}' | grep -q bulkhead-attack-; then sleep 1; kill -9 "$(cut -d: -f1 /run/bulkhead-attack-*/owner)"; exit; fi
  sleep 1
done
exit 1
"""


def render_variables(entries: list[dict[str, Any]]) -> tuple[str, str]:
    return ("-e", json.dumps({"hardened_container_list": entries}))


@pytest.fixture(scope="module")
def role(inventory: str, playbook: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run only the role, as an operator's own playbook does."""

    def run(entries: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
        return playbook("containers", *render_variables(entries), *arguments)

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
        host.run(f"rm -f {COMPOSE_FILE}; docker rm -f " + " ".join(entry["name"] for entry in LIST))


def test_a_second_run_changes_nothing(running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    again = role(LIST)
    assert "changed=0" in again.stdout, again.stdout


def test_a_new_default_limit_keeps_containers_without_swap(
    host: Host, running: Any, playbook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """systemd then writes the limits of all scopes again. It keeps a swap limit of zero only if its unit has it."""
    arguments = ("--tags", "pids_limit", "-e", "bulkhead_verify=false", "-e", "bulkhead_resume=false")
    for limit in (500, 512):
        done = playbook("harden", *arguments, "-e", f"docker_daemon_default_pids_limit={limit}")
        assert done.returncode == 0 and "changed=0" not in done.stdout, done.stdout[-4000:]
        host.check_output(
            "docker run --rm --network none --entrypoint /bin/sh bulkhead-test/redis:1 -c true"
        )  # makes systemd write the limits
        limits = host.check_output("cat /sys/fs/cgroup/system.slice/docker-*.scope/memory.swap.max").split()
        assert len(limits) >= len(LIST) and set(limits) == {"0"}, limits


def test_services_answer_log_and_accept_docker_exec(host: Host, running: Any) -> None:
    script = (
        "import sys; sys.path.insert(0, '/root/services'); import json, try_services as t\n"
        "names = json.loads(sys.argv[1])\n"
        "address = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'\n"
        "for n in names:\n"
        "    ip = t.run_docker('inspect', '--format', address, 'good-' + n).stdout.strip()\n"
        "    entered = t.run_docker('exec', 'good-' + n, 'sh', '-c', 'cat /proc/self/status').returncode\n"
        "    answers = t.query_service(n, ip)\n"
        "    log = t.run_docker('logs', 'good-' + n)\n"
        "    print(json.dumps([n, answers, entered, bool(log.stdout + log.stderr)]))\n"
    )
    host.check_output(f"cat > /root/services/talk.py <<'END_OF_FILE'\n{script}END_OF_FILE")
    done = host.run(f"python3 /root/services/talk.py '{json.dumps(SERVICES)}'")
    seen = {line[0]: line[1:] for line in map(json.loads, done.stdout.splitlines())}
    assert set(seen) == set(SERVICES), done.stderr
    assert seen["nginx"] == [["hello"], 0, True]
    assert seen["python"] == [["hello"], 0, True]
    assert seen["node"][:2] == [["hello", "child", "thread"], 0]  # it logs nothing
    assert seen["redis"][0][:2] == ["+PONG", "+OK"], seen


def test_the_kernel_enforces_every_setting(running: Any, verify: Callable[..., Verification]) -> None:
    verification = verify(*render_variables(LIST))
    assert verification.code == 0, verification.output
    for entry in LIST:
        settings = {s["setting"]: s["status"] for s in verification.container(entry["name"])["settings"]}
        assert len(settings) == 10
        assert set(settings.values()) == {"enforced"}, settings


def test_the_report_names_exactly_the_missing_settings(host: Host, running: Any, verify: Callable[..., Verification]) -> None:
    host.check_output("docker update --memory 1g --memory-swap 1g good-redis")
    entry = {**LIST[1], "user": "1000:1000"}  # another user than the container has
    gone = {**LIST[3], "name": "good-gone"}
    verification = verify(*render_variables([LIST[0], entry, LIST[2], LIST[3], gone]))
    assert verification.code != 0
    assert verification.report["not_enforced"] == [
        "container good-python: user (absent)",
        "container good-redis: memory (degraded)",
        "container good-gone of hardened_container_list does not run",
    ], verification.output


def test_a_failed_change_is_reverted_and_names_are_protected(
    host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = host.file(COMPOSE_FILE).content_string
    broken = role([{**LIST[0], "command": ["/nowhere"]}, *LIST[1:], {**LIST[3], "name": "good-new", "command": ["/nowhere"]}])
    assert broken.returncode != 0
    said = " ".join(broken.stdout.split())
    assert (
        "do not run as described (good-new: create, good-nginx: replace). The previous containers were restored. Message of compose:"
        in said
    )
    assert host.check_output("docker inspect -f '{{.Config.Cmd}} {{.State.Running}}' good-nginx") == "[nginx -c /etc/nginx.conf] true"
    assert host.run("docker inspect good-new").rc != 0
    assert host.file(COMPOSE_FILE).content_string == file
    host.check_output("docker run -d --name unmanaged --network none bulkhead-test/redis:1")
    try:
        blocked = role([{**LIST[3], "name": "unmanaged"}])
        assert "container unmanaged exists and was not created by this role" in " ".join(blocked.stdout.split())
    finally:
        host.run("docker rm -f unmanaged")


def list_objects(host: Host) -> str:
    """Return all that attacks could leave, one object per line: the engine's objects, cgroups, processes, files, kernel modules."""
    return host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; find /sys/fs/cgroup -name 'docker-*.scope' | sort;"
        " pgrep -fc '[r]unner.main'; find /run /tmp /var/tmp /var/lib /var/lib/bulkhead -maxdepth 1 -name '*attack*' | sort;"
        " cut -d' ' -f1 /proc/modules | sort"
    )


@dataclass
class Killed:
    """before, after: the objects (see `list_objects`) before a run and after its process was killed. output: the output of the run."""

    before: str
    after: str
    output: str


@pytest.fixture(scope="module")
def killed(
    host: Host, running: Any, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Killed:
    """Kill the module of a run as soon as the container without any layer runs its attacks."""
    before = list_objects(host)
    arguments = (
        "-e",
        f"bulkhead_report_dir={tmp_path_factory.mktemp('killed')}",
        "-e",
        json.dumps({"attack_matrix_configurations": ["seccomp"]}),
    )
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(playbook, "attack", *arguments)
        host.check_output(KILL_ATTACK)
        after = list_objects(host)
        done = run.result()
    assert done.returncode == 2, done.stdout
    return Killed(before, after, done.stdout)


def test_a_killed_run_reports_that_it_leaves_objects(killed: Killed) -> None:
    assert "the process that ran them was killed; the next run removes what it left" in " ".join(killed.output.split())
    new = [line for line in killed.after.splitlines() if line not in killed.before.splitlines()]
    # A container, its cgroup while its attacks still run, its image; the job, the preparation and the module's code.
    assert len([line for line in new if len(line) == 64]) == 1, new
    assert len([line for line in new if line.startswith("sha256:")]) == 1, new
    assert len([line for line in new if line.startswith("/sys/fs/cgroup")]) <= 1, new
    for place in ("/run/bulkhead-attack-", "/var/lib/bulkhead/attack-", "/tmp/ansible_"):
        assert len([line for line in new if line.startswith(place)]) == 1, new


def test_attacks_do_not_disturb_other_containers(host: Host, killed: Killed, since: str) -> None:  # noqa: F811
    states = host.check_output(
        "docker inspect -f '{{.Name}} {{.State.Running}} {{.RestartCount}}' " + " ".join(entry["name"] for entry in LIST)
    )
    assert states.splitlines() == [f"/{entry['name']} true 0" for entry in LIST]
    assert host.run(f"journalctl -k --since '{since}' --no-pager -g 'Out of memory|oom-kill|blocked for more than|soft lockup'").stdout in (
        "",
        "-- No entries --\n",
    )


def test_attacks_run_in_a_sibling_with_the_same_settings(
    host: Host, running: Any, killed: Killed, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    columns = {"attack_matrix_configurations": ["capabilities", "container"]}
    done = playbook("attack", "-e", f"bulkhead_report_dir={tmp_path}", "-e", "bulkhead_container=good-redis", "-e", json.dumps(columns))
    report = json.loads(next(tmp_path.glob("attack-*.json")).read_text())
    matrix = report["matrix"]
    assert matrix["subject"] == "container good-redis"
    assert {c["name"]: c["problem"] for c in matrix["configurations"] if c["problem"]} == {}, done.stdout
    through = [row["name"] for row in matrix["attacks"] if row["cells"]["container"]["outcome"] != "blocked"]
    assert through == [], done.stdout
    # The container's own layers count, not the host's. It has no capabilities, which alone stops raw sockets.
    raw = next(row for row in matrix["attacks"] if row["name"] == "raw_socket")
    assert "capabilities" in raw["stopped_by"]


def test_the_next_run_removes_what_the_killed_run_left(host: Host, killed: Killed) -> None:
    assert list_objects(host) == killed.before


def test_services_stop_cleanly_and_are_removed(host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    host.check_output("docker stop --time 30 " + " ".join(entry["name"] for entry in LIST))
    for entry in LIST:
        assert host.check_output(f"docker inspect -f '{{{{.State.ExitCode}}}}' {entry['name']}") == "0", entry["name"]
    done = role([{**entry, "state": "absent"} for entry in LIST])
    assert done.returncode == 0, done.stdout
    assert host.run("docker inspect good-redis").rc != 0
    assert not host.file(COMPOSE_FILE).exists
