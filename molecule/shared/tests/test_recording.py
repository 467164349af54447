# SPDX-License-Identifier: GPL-3.0-or-later
"""Five services are recorded while they run, and then run under the profiles that are generated from it. Nothing is left after a stop."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import build_wait
from test_service_table import packages  # noqa: F401  (a fixture)
from test_services import images  # noqa: F401  (a fixture)
from testinfra.host import Host

from services import data, trial
from soak_recording.profiles import build_lists, list_options, name_profile

WEB = ("nginx", "python", "node", "redis")
POSTGRESQL = data.load_services()["postgresql"]
# Service as record.yml names it: the containers' names.
SERVICES = {**{name: f"bulkhead-try-{name}" for name in WEB}, "postgresql": POSTGRESQL.container}
STANDING, HELD_OUT = "recorded-before", SERVICES["python"]
FOLDER, PINS = "/var/lib/bulkhead/recorder", "/sys/fs/bpf/bulkhead"
# Fills the kernel's map of calls with counters of the root cgroup, so that a call of a new container is not counted.
FILL_MAP = f"""
import ctypes, itertools, struct, sys
sys.path.insert(0, "{FOLDER}/recorder.pyz")
from bulkhead.recorder import bpf, pins
descriptor, key, value = pins.open_map("calls"), ctypes.create_string_buffer(16), ctypes.create_string_buffer(8)
try:
    for number in itertools.count():
        key.raw = struct.pack("=QII", 1, number, 0)
        bpf.call_bpf(2, "=IIQQQ", descriptor, 0, ctypes.addressof(key), ctypes.addressof(value), bpf.ANY)
except OSError as error:
    print(error.strerror)
"""
STATE = r"""
docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.RestartCount}}' recorded-before
cat /etc/docker/daemon.json /etc/subuid
dpkg-query -W | sha256sum
sha256sum /sys/kernel/security/apparmor/policy/profiles/docker-default.*/raw_data
python3 - <<'END_OF_PROGRAM'
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
link.send(struct.pack("=IHHII", 16, 1000, 1, 1, 0))
print("backlog_limit", struct.unpack_from("=8I", link.recv(8192), 16)[5])
END_OF_PROGRAM
ls /etc/systemd/system /sys/fs/bpf /var/lib/bulkhead
"""
Playbook = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class RecordedServices:
    """before, armed: the host's state before the recorder was armed, and with it. folder: of the recordings. stages: file of the services' stages.

    denied: per service what was denied before its generated profiles were in use.
    """

    before: str
    armed: str
    folder: Path
    stages: Path
    denied: dict[str, set[str]]


def try_web(host: Host, name: str, options: str = "") -> dict[str, Any]:
    """Start a service, ask it, run docker exec, and stop it."""
    done = host.run(f"cd /root/services && python3 try_services.py {name} -- {options}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def try_postgresql(host: Host, options: list[str]) -> dict[str, Any]:
    results = trial.parse_results(host.check_output(trial.build_script([POSTGRESQL], "hardened", options)))
    return results[POSTGRESQL.name]


def run(playbook: Playbook, name: str, *arguments: str) -> str:
    done = playbook(name, *arguments)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def recorded(
    host: Host,
    playbook: Playbook,
    images: None,  # noqa: F811  (a fixture)
    packages: str,  # noqa: F811  (a fixture)
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RecordedServices]:
    """Record the services, each from its creation on, and generate their profiles."""
    work = tmp_path_factory.mktemp("recordings")
    folder, report = work / "recordings", work / "reports"
    options = [f"-ebulkhead_recordings={folder}", f"-ebulkhead_report_dir={report}", "-ebulkhead_show=failing"]
    host.run(f"docker rm -f {STANDING} {HELD_OUT}")
    host.check_output(f"docker run -d --name {STANDING} bulkhead-test/nginx:1")
    assert not host.file(FOLDER).exists and not host.file(PINS).exists
    before = host.check_output(STATE)
    run(playbook, "record", *options)
    armed = host.check_output(STATE)
    for name in WEB:
        for _ in range(2):
            result = try_web(host, name)
            assert result["ok"], result
    assert try_postgresql(host, ["--label=recorded=yes"])["ok"]
    stages = work / "stages.json"
    services = [{"name": service, "stage": "enforce", "reason": "a test cannot wait for days"} for service in SERVICES.values()]
    stages.write_text(json.dumps({"container_recorder_services": services}))
    print(run(playbook, "record", *options, f"-e@{stages}"))
    lists = work / "lists.json"
    lists.write_text(json.dumps(build_lists(folder)))
    run(playbook, "harden", f"-e@{lists}", "-e", "bulkhead_verify=false")
    yield RecordedServices(before, armed, folder, stages, {name: list_denied(folder, name) for name in SERVICES})
    host.run(f"docker rm -f {STANDING} {HELD_OUT}")
    # Without the lists, the generated profiles are removed.
    run(playbook, "harden", "-e", "bulkhead_verify=false")


def list_denied(folder: Path, name: str) -> set[str]:
    recording = yaml.safe_load((folder / f"{SERVICES[name]}.yml").read_text(encoding="utf-8"))
    accesses = [
        {**entry, **dict.fromkeys(("count", "first", "last", "instances", "hosts"))} for entry in recording["access"] if entry.get("denied")
    ]
    return {*recording.get("denied_calls", ()), *map(str, accesses)}


def get_options(name: str) -> list[str]:
    return list_options(name_profile(SERVICES[name]))


def read_generated(recorded: RecordedServices, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((recorded.folder / f"{SERVICES[name]}.generated.yml").read_text(encoding="utf-8"))
    return content


def test_arming_restarts_and_installs_nothing(recorded: RecordedServices) -> None:
    def select(state: str) -> list[str]:
        own = ("bulkhead", "recorder", "bulkhead-recorder.service")
        return [line for line in state.splitlines() if not re.search("raw_data|backlog_limit", line) and line not in own]

    assert select(recorded.armed) == select(recorded.before)
    assert "backlog_limit 8192" in recorded.armed.splitlines()
    assert "backlog_limit 8192" not in recorded.before.splitlines()
    # The profile is another one, or nothing would be recorded.
    assert [line for line in recorded.armed.splitlines() if "raw_data" in line] != [
        line for line in recorded.before.splitlines() if "raw_data" in line
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_did_is_in_its_recording(recorded: RecordedServices, name: str) -> None:
    recording = yaml.safe_load((recorded.folder / f"{SERVICES[name]}.yml").read_text(encoding="utf-8"))
    made = {"nginx": "accept4", "python": "poll", "node": "epoll_pwait", "redis": "epoll_wait", "postgresql": "shmget"}
    assert {"execve", "openat", "read", "exit_group", made[name]} <= set(recording["calls"])
    entry = read_generated(recorded, name)["apparmor_profiles_list"][0]
    assert len(entry["rules"]) + len(entry.get("capabilities", ())) + len(entry.get("networks", ())) <= 80
    assert not [rule for rule in entry["rules"] if rule.split()[0] in ("/**", "/etc/**", "/proc/**", "/sys/**")]


def test_generated_profiles_allow_few_calls(recorded: RecordedServices) -> None:
    report = json.loads((recorded.stages.parent / "reports/recordings.json").read_text(encoding="utf-8"))
    allowed = {entry["service"]: entry["reduction"]["allowed"] for entry in report["services"] if entry["stage"] == "enforce"}
    assert set(allowed) == set(SERVICES.values())
    print(allowed)
    assert [name for name in WEB if allowed[SERVICES[name]] > 110] == []


@pytest.mark.parametrize("name", WEB)
def test_web_services_work_under_their_own_profiles(host: Host, recorded: RecordedServices, name: str) -> None:
    # Without no-new-privileges the filter is loaded earlier.
    free = name in ("nginx", "node")
    result = try_web(host, name, " ".join([*get_options(name), *(["--security-opt=no-new-privileges=false"] if free else [])]))
    assert result["ok"], (result, host.run("journalctl -k --no-pager -g DENIED | tail -5").stdout)
    assert f"NoNewPrivs:\t{int(not free)}" in result["exec"]


def test_postgresql_works_under_its_own_profiles(host: Host, recorded: RecordedServices) -> None:
    result = try_postgresql(host, get_options("postgresql"))
    assert result["ok"], result


def test_a_stop_names_what_was_denied_and_leaves_nothing(host: Host, playbook: Playbook, recorded: RecordedServices) -> None:
    """What no container did while it was recorded is denied, and named with service, call and path. So is what could not be recorded."""
    collect = f"python3 -I {FOLDER}/recorder.pyz collect >/dev/null"
    host.check_output(f"{collect} && rm -r {PINS} && {collect} && ls {PINS}/recorder")
    host.check_output("systemctl kill --signal=KILL bulkhead-recorder.service")
    host.check_output(build_wait("systemctl is-active --quiet bulkhead-recorder.service", 120))
    host.check_output(f"docker run -d --name {HELD_OUT} {' '.join(get_options('python'))} bulkhead-test/python:1")
    acts = "lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda: os.mkdir('/held-out')"
    script = f"import os\nfor act in ({acts}):\n try: act()\n except PermissionError: print('denied')"
    assert host.check_output(f'docker exec {HELD_OUT} python3 -c "{script}"').split() == ["denied", "denied"]
    assert "Argument list too long" in host.check_output(f"python3 - <<'END_OF_PROGRAM'\n{FILL_MAP}\nEND_OF_PROGRAM")  # E2BIG: it is full
    host.check_output("docker run --rm --network none bulkhead-test/python:1 python3 -c pass")
    loose = f"profile recorded-{HELD_OUT} flags=(attach_disconnected,mediate_deleted) {{ file, network, capability, signal, }}"
    host.check_output(f"echo '{loose}' | apparmor_parser --replace && sleep 1")
    output = run(
        playbook,
        "record",
        f"-ebulkhead_recordings={recorded.folder}",
        f"-ebulkhead_report_dir={recorded.folder.parent}",
        "-ebulkhead_record=stop",
        f"-e@{recorded.stages}",
    )
    for gap in (
        "the recorder did not run",
        "programs were removed while calls were recorded",
        f"profile recorded-{HELD_OUT} was loaded anew",
        "the kernel's map calls was full",
    ):
        assert gap in output
    for name in SERVICES:
        assert name == "python" or list_denied(recorded.folder, name) - recorded.denied[name] == set()
    recording = yaml.safe_load((recorded.folder / f"{SERVICES['python']}.yml").read_text(encoding="utf-8"))
    assert "getpriority" in recording["denied_calls"]
    assert [entry for entry in recording["access"] if entry.get("denied") and entry.get("path") == "/held-out/"]
    host.check_output(f"docker rm -f {HELD_OUT}")
    assert host.check_output(STATE) == recorded.before
    assert not host.file(FOLDER).exists and not host.file(PINS).exists
