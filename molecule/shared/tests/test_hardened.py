# SPDX-License-Identifier: GPL-3.0-or-later
"""The good citizens: the same services under everything stacked, run as a compose project by role hardened_container, proven by verify.yml, attacked."""

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

# What differs from the role's defaults: whose files a service has, where it writes, how it stops.
LIST = [
    {"name": "good-nginx", "image": "bulkhead-test/nginx:1", "user": "33:33", "tmpfs": ["/tmp", "/run", "/var/lib/nginx", "/var/log/nginx"],
     "stop_signal": "SIGQUIT", "environment": {"A": "b"}},
    {"name": "good-python", "image": "bulkhead-test/python:1", "stop_signal": "SIGINT"},
    {"name": "good-node", "image": "bulkhead-test/node:1", "memory": "384m", "ports": ["127.0.0.1:8080:8080"]},
    {"name": "good-redis", "image": "bulkhead-test/redis:1", "user": "999:999", "cpus": 0.5, "pids_limit": 50},
]  # fmt: skip


COMPOSE_FILE = "/etc/bulkhead/compose.yml"
# As soon as a container of a run plays, the process that started it is killed; it has told whose the run is.
KILL = r"""
for second in $(seq 300); do
  if docker ps --format '{{.Names}}' | grep -q bulkhead-attack-; then sleep 1; kill -9 "$(cut -d: -f1 /run/bulkhead-attack-*/owner)"; exit; fi
  sleep 1
done
exit 1
"""


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
        host.run(f"rm -f {COMPOSE_FILE}; docker rm -f " + " ".join(entry["name"] for entry in LIST))


def test_a_second_run_changes_nothing(running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    again = role(LIST)
    assert "changed=0" in again.stdout, again.stdout


def test_another_default_of_the_host_leaves_them_without_swap(
    host: Host, running: Any, playbook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """systemd writes the limits of all scopes anew then, and knows of a limit of no swap only if it is told."""
    arguments = ("--tags", "pids_limit", "-e", "bulkhead_verify=false", "-e", "bulkhead_resume=false")
    for limit in (90, 100):
        done = playbook("harden", *arguments, "-e", f"docker_daemon_default_pids_limit={limit}")
        assert done.returncode == 0 and "changed=0" not in done.stdout, done.stdout[-4000:]
        host.check_output("docker run --rm --network none --entrypoint /bin/sh bulkhead-test/redis:1 -c true")  # systemd now writes them
        limits = host.check_output("cat /sys/fs/cgroup/system.slice/docker-*.scope/memory.swap.max").split()
        assert len(limits) >= len(LIST) and set(limits) == {"0"}, limits


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


def test_the_kernel_has_every_setting(running: Any, verify: Callable[..., Verification]) -> None:
    verification = verify(*variables(LIST))
    assert verification.code == 0, verification.output
    for entry in LIST:
        demands = {d["setting"]: d["status"] for d in verification.container(entry["name"])["demands"]}
        assert len(demands) == 10
        assert set(demands.values()) == {"enforced"}, demands


def test_a_setting_that_is_lost_is_named_and_no_other(host: Host, running: Any, verify: Callable[..., Verification]) -> None:
    host.check_output("docker update --memory 1g --memory-swap 1g good-redis")
    entry = {**LIST[1], "user": "1000:1000"}  # the inventory says another user than the container has
    gone = {**LIST[2], "name": "good-gone"}
    verification = verify(*variables([LIST[0], entry, LIST[2], LIST[3], gone]))
    assert verification.code != 0
    assert verification.report["not_enforced"] == [
        "container good-python: user (absent)",
        "container good-redis: memory (degraded)",
        "container good-gone of hardened_container_list does not run",
    ], verification.output


def test_what_fails_is_put_back_and_what_is_foreign_is_refused(
    host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = host.file(COMPOSE_FILE).content_string
    broken = role([{**LIST[0], "command": ["/nowhere"]}, *LIST[1:], {**LIST[3], "name": "good-new", "command": ["/nowhere"]}])
    assert broken.returncode != 0
    said = " ".join(broken.stdout.split())
    assert "do not run as described (good-new: create, good-nginx: replace). The previous containers were restored. Message of compose:" in said
    assert host.check_output("docker inspect -f '{{.Config.Cmd}} {{.State.Running}}' good-nginx") == "[nginx -c /etc/nginx.conf] true"
    assert host.run("docker inspect good-new").rc != 0
    assert host.file(COMPOSE_FILE).content_string == file
    host.check_output("docker run -d --name foreign --network none bulkhead-test/redis:1")
    try:
        refused = role([{**LIST[3], "name": "foreign"}])
        assert "container foreign is there and was not made by this role" in " ".join(refused.stdout.split())
    finally:
        host.run("docker rm -f foreign")


def left(host: Host) -> str:
    """All that a run of attacks could leave, one a line: what the engine has, control groups, processes, files, kernel modules."""
    return host.check_output(
        "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; find /sys/fs/cgroup -name 'docker-*.scope' | sort;"
        " pgrep -fc '[p]layer.main'; find /run /tmp /var/tmp /var/lib /var/lib/bulkhead -maxdepth 1 -name '*attack*' | sort;"
        " cut -d' ' -f1 /proc/modules | sort"
    )


@dataclass
class Killed:
    """before, after: what there was (see `left`) before a run and after its process was killed. output: what the run printed."""

    before: str
    after: str
    output: str


@pytest.fixture(scope="module")
def killed(
    host: Host, running: Any, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Killed:
    """The module of a run that plays is killed as soon as the container without any layer is at its attacks."""
    before = left(host)
    arguments = ("-e", f"bulkhead_report_dir={tmp_path_factory.mktemp('killed')}", "-e", json.dumps({"attack_matrix_configurations": ["seccomp"]}))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(playbook, "attack", *arguments)
        host.check_output(KILL)
        after = left(host)
        done = run.result()
    assert done.returncode == 2, done.stdout
    return Killed(before, after, done.stdout)


def test_who_is_killed_leaves_something_and_says_so(killed: Killed) -> None:
    assert "the process that played them is gone; the next run clears what it left" in " ".join(killed.output.split())
    new = [line for line in killed.after.splitlines() if line not in killed.before.splitlines()]
    # A container, with its control group while it plays on, its image; the job, the stage and the module's code.
    assert len([line for line in new if len(line) == 64]) == 1, new
    assert len([line for line in new if line.startswith("sha256:")]) == 1, new
    assert len([line for line in new if line.startswith("/sys/fs/cgroup")]) <= 1, new
    for place in ("/run/bulkhead-attack-", "/var/lib/bulkhead/attack-", "/tmp/ansible_"):
        assert len([line for line in new if line.startswith(place)]) == 1, new


def test_the_host_does_not_feel_it(host: Host, killed: Killed, since: str) -> None:  # noqa: F811
    states = host.check_output(
        "docker inspect -f '{{.Name}} {{.State.Running}} {{.RestartCount}}' " + " ".join(entry["name"] for entry in LIST)
    )
    assert states.splitlines() == [f"/{entry['name']} true 0" for entry in LIST]
    assert host.run(f"journalctl -k --since '{since}' --no-pager -g 'Out of memory|oom-kill|blocked for more than|soft lockup'").stdout in (
        "",
        "-- No entries --\n",
    )


def test_a_sibling_is_attacked_with_the_container_s_settings(
    host: Host, running: Any, killed: Killed, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    columns = {"attack_matrix_configurations": ["capabilities", "container"]}
    done = playbook("attack", "-e", f"bulkhead_report_dir={tmp_path}", "-e", "bulkhead_container=good-redis", "-e", json.dumps(columns))
    report = json.loads(next(tmp_path.glob("attack-*.json")).read_text())
    matrix = report["matrix"]
    assert matrix["subject"] == "container good-redis"
    assert {c["name"]: c["trouble"] for c in matrix["configurations"] if c["trouble"]} == {}, done.stdout
    through = [row["name"] for row in matrix["attacks"] if row["cells"]["container"]["outcome"] != "blocked"]
    assert through == [], done.stdout
    # Its own layers, not the host's: it has no capabilities at all, so that raw sockets are stopped by that alone.
    raw = next(row for row in matrix["attacks"] if row["name"] == "raw_socket")
    assert "capabilities" in raw["stopped_by"]


def test_the_next_run_clears_what_the_killed_one_left(host: Host, killed: Killed) -> None:
    assert left(host) == killed.before


def test_they_stop_by_themselves_and_go(host: Host, running: Any, role: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    host.check_output("docker stop --time 30 " + " ".join(entry["name"] for entry in LIST))
    for entry in LIST:
        assert host.check_output(f"docker inspect -f '{{{{.State.ExitCode}}}}' {entry['name']}") == "0", entry["name"]
    done = role([{**entry, "state": "absent"} for entry in LIST])
    assert done.returncode == 0, done.stdout
    assert host.run("docker inspect good-redis").rc != 0
    assert not host.file(COMPOSE_FILE).exists
