# SPDX-License-Identifier: GPL-3.0-or-later
"""The output and the exit codes of the playbooks, without a VM: with unreachable hosts, and with verifications of an earlier run."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


def find_closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_playbook(playbook: str, folder: Path, hosts: dict[str, dict[str, Any]], *more: str) -> subprocess.CompletedProcess[str]:
    inventory = folder / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"docker_hosts": {"hosts": hosts}}))
    command = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        inventory,
        playbook,
        "-e",
        f"bulkhead_report_dir={folder}/reports",
        *more,
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_COMPACT_PROGRESS_SECONDS": "0",
    }
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def replay(folder: Path, reports: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    hosts = {f"host{number}": {"report": report} for number, report in enumerate(reports)}
    return run_playbook("tests/report/replay.yml", folder, hosts, *more)


def read_conditions(folder: Path) -> dict[str, str]:
    state = json.loads((folder / "reports" / "fleet.json").read_text())
    return {name: host["condition"] for name, host in state["hosts"].items()}


def test_an_unreachable_host_loses_its_good_report(tmp_path: Path) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    assert replay(tmp_path, ["web1"]).returncode == 0
    assert read_conditions(tmp_path) == {"host0": "verified"}
    done = run_playbook("playbooks/verify.yml", tmp_path, {"host0": away})
    assert done.returncode == 4, done.stdout + done.stderr
    assert read_conditions(tmp_path) == {"host0": "unreachable"}
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert (report["enforced"], report["unreachable"], report["verification"]) == (False, True, {})
    assert "Connection refused" in report["error"]
    assert "Fleet: 0 of 1 hosts verified" in done.stdout
    assert "host0: host: verified -> unreachable" in done.stdout, "the output names what got worse since the last run"


def test_a_host_with_blockers_loses_its_good_report(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = run_playbook("playbooks/verify.yml", tmp_path, {"host0": {"docker_daemon_default_pids_limit": "many"}})
    assert done.returncode == 2, done.stdout + done.stderr
    assert read_conditions(tmp_path) == {"host0": "unverified"}
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert "docker_daemon_default_pids_limit: 'many' is not an integer" in report["error"]


def test_a_blocked_host_prints_only_its_blockers(tmp_path: Path) -> None:
    wrong = {"docker_daemon_default_pids_limit": "many", "docker_daemon_icc": "perhaps"}
    done = run_playbook("playbooks/harden.yml", tmp_path, {"host0": {**wrong, "ansible_connection": "local"}})
    assert done.returncode == 2, done.stdout + done.stderr
    output = done.stdout + done.stderr
    assert "failed: [host0]: Nothing was changed. 2 blockers:" in output
    assert "docker_daemon_icc: 'perhaps' is not true or false" in output
    assert "desired:" not in output and "ansible_facts" not in output


def test_a_verification_of_an_earlier_play_is_not_reused(tmp_path: Path) -> None:
    verify = {"ansible.builtin.include_tasks": str(REPOSITORY / "playbooks/tasks/verify.yml")}
    tasks = [
        {"name": "Reach no host", "ignore_unreachable": True, "block": [verify]},
        {"name": "Plan a blocked host", "vars": {"docker_daemon_default_pids_limit": "many"}, "block": [verify]},
    ]
    (tmp_path / "twice.yml").write_text(
        yaml.safe_dump([{"name": "Verify twice", "hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}])
    )
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    done = run_playbook(str(tmp_path / "twice.yml"), tmp_path, {"host0": away})
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert "'many' is not an integer" in report["error"], done.stdout
    assert not report["unreachable"]


@pytest.mark.parametrize(
    ("reports", "code", "words"),
    [
        (["web1", "web1"], 0, "Fleet: 2 of 2 hosts verified"),
        # Verified, but one of its containers is privileged and has the engine's socket.
        (["web1", "web2"], 2, "Fleet: 2 of 2 hosts verified"),
        (["web1", "web3"], 2, "host1: required and not enforced: pids_limit (absent), seccomp (absent)"),
        (["web4"], 2, "Fleet: 0 of 1 hosts verified"),
    ],
)
def test_exit_codes(tmp_path: Path, reports: list[str], code: int, words: str) -> None:
    done = replay(tmp_path, reports)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout
    assert " seccomp " in done.stdout, "few hosts have one table each"


@pytest.fixture
def exposed(tmp_path: Path) -> str:
    """Write a verification of a verified host with a container that has the engine's socket, and return its folder."""
    report = json.loads((REPOSITORY / "tests/report/verifications/verify-web1.json").read_text())
    socket = {
        "id": "engine_socket:/run/docker.sock", "kind": "engine_socket", "object": "/run/docker.sock", "severity": "critical",
        "text": "/run/docker.sock of the host is mounted at /run/docker.sock", "source": "/proc/1/mountinfo", "value": "/run/docker.sock",
    }  # fmt: skip
    finding = {
        "id": "container.engine_socket", "text": "container traefik can command the engine", "status": "degraded", "remedy": "",
        "exposures": [socket["id"]],
    }  # fmt: skip
    own = {"name": "traefik", "id": "c0ffee", "image": "traefik", "pid": 1, "layers": [], "opted_out": [], "disagreements": []}
    report["verification"]["containers"].append({**own, "exposures": [socket], "findings": [finding]})
    folder = tmp_path / "replayed"
    folder.mkdir()
    (folder / "verify-traefik.json").write_text(json.dumps(report))
    return str(folder)


WAIVER = {"finding": "CIS-5.32", "container": "traefik*", "reason": "it reads labels", "until": date(2099, 12, 31)}


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({}, 2, "containers exposed on host0: traefik (engine_socket); evidence in"),
        ({"bulkhead_containers_forbid": ["host_pid"]}, 0, "  ! engine_socket: traefik: its processes can command the engine"),
        ({"bulkhead_containers_forbid": []}, 0, "  ! engine_socket: traefik: "),
        ({"replay_rollout": True}, 0, "  x engine_socket, forbidden: traefik: "),
        ({"bulkhead_waivers": [WAIVER]}, 0, "  ~ engine_socket, waived until 2099-12-31: it reads labels: traefik: "),
        ({"bulkhead_waivers": [{**WAIVER, "until": "2099-12-31"}]}, 0, "  ~ engine_socket, waived"),
        (
            {"bulkhead_waivers": [{**WAIVER, "until": date(2020, 1, 1)}]},
            2,
            "waiver.expired: the waiver of CIS-5.32 (container traefik*) expired",
        ),
        (
            {"bulkhead_waivers": [{**WAIVER, "host": "db*"}]},
            2,
            "waiver.unused: the waiver of CIS-5.32 (host db*, container traefik*) until 2099",
        ),
        (
            {"replay_expect": {"containers": {"traefik": {"allow_exposures": ["engine_socket"]}}}},
            0,
            "  i engine_socket, allowed: traefik: ",
        ),
    ],
)
def test_exit_codes_of_exposed_containers(tmp_path: Path, exposed: str, variables: dict[str, Any], code: int, words: str) -> None:
    done = run_playbook("tests/report/replay.yml", tmp_path, {"host0": {"report": "traefik", "replay_folder": exposed, **variables}})
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert words in output, output
    assert "Fleet: 1 of 1 hosts verified" in output, "the host itself is verified"
    assert read_conditions(tmp_path) == {"host0": "verified"}
    report = json.loads((tmp_path / "reports" / "verify-host0.json").read_text())
    assert (report["problem"], report["enforced"]) == ("", True)
    is_exposed = code == 2 or "replay_rollout" in variables
    assert [entry["container"] for entry in report["exposed"]] == (["traefik"] if is_exposed else [])


BAD_POLICIES = [
    (
        {"bulkhead_containers_forbid": ["engine_sockt"]},
        "bulkhead_containers_forbid[0]: 'engine_sockt' is not a kind of exposure; write engine_socket",
    ),
    ({"bulkhead_containers_forbid": "host_pid"}, "bulkhead_containers_forbid: 'host_pid' is not a list; write a list of kinds of exposure"),
    ({"bulkhead_containers_forbid": None}, "bulkhead_containers_forbid: has no value; leave it out, or write []"),
    (
        {"bulkhead_waivers": [{**WAIVER, "until": "soon"}]},
        "bulkhead_waivers[0].until: 'soon' is not a date; write the last day as YYYY-MM-DD",
    ),
    (
        {"bulkhead_waivers": [WAIVER, {**WAIVER, "reason": ""}]},
        "bulkhead_waivers[1].reason: '' is empty; write why the finding is accepted",
    ),
    ({"bulkhead_waivers": [{**WAIVER, "untill": 1}]}, "bulkhead_waivers[0].untill: is not a key of a waiver; write until"),
    ({"bulkhead_waivers": {"finding": "CIS-5.32"}}, "bulkhead_waivers: {'finding': 'CIS-5.32'} is not a list; write a list of waivers"),
]


@pytest.mark.parametrize(("variables", "message"), BAD_POLICIES)
def test_a_wrong_policy_stops_before_any_host(tmp_path: Path, variables: dict[str, Any], message: str) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    done = run_playbook("playbooks/verify.yml", tmp_path, {"host0": {**away, **variables}, "host1": {**away, **variables}})
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert f"Nothing was changed. {message}" in output, output
    assert output.count("TASK [") == 1 and "unreachable=1" not in output, output
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("playbook", ["harden", "verify", "watch"])
def test_a_wrong_policy_of_one_host_names_it(tmp_path: Path, playbook: str) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    wrong = {"bulkhead_waivers": [{"finding": "userns.overlap", "until": "2099-12-31"}]}
    done = run_playbook(f"playbooks/{playbook}.yml", tmp_path, {"host0": away, "host1": {**away, **wrong}})
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert "Nothing was changed. host1: bulkhead_waivers[0].reason: is missing; write why the finding is accepted" in output
    assert output.count("TASK [") == 1 and "unreachable=1" not in output, output


def test_output_for_many_hosts_is_compact(tmp_path: Path) -> None:
    done = replay(tmp_path, ["web1"] * 28 + ["web3"] * 2)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 2
    assert "Fleet: 28 of 30 hosts verified" in lines
    assert "    30 of 30 hosts, 2 failed" in lines
    assert "30 hosts: 28 ok, 0 changed, 2 failed, 0 unreachable" in lines
    assert len([line for line in lines if line.startswith("failed: [host2")]) == 2
    assert len([line for line in lines if "host7" in line]) == 0
    assert len([line for line in lines if not line.startswith("    ")]) < 25, done.stdout

    done = replay(tmp_path, ["web1"] * 22, "-e", "bulkhead_show=all")
    assert done.returncode == 0
    assert done.stdout.count(" pids_limit ") == 22
    assert "host7                      : ok=2" in done.stdout


def test_output_for_few_hosts_can_be_compact(tmp_path: Path) -> None:
    done = replay(tmp_path, ["web1"], "-e", "bulkhead_show=failing")
    assert " pids_limit " not in done.stdout
    assert "ok: [host0]" not in done.stdout


def test_hosts_outside_a_limit_keep_their_condition(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1", "web1", "web1"]).returncode == 0
    done = replay(tmp_path, ["web1", "web3"], "--limit", "host1")
    assert done.returncode == 2
    assert "Fleet: 1 of 2 hosts verified" in done.stdout
    assert read_conditions(tmp_path) == {"host0": "verified", "host1": "failing", "host2": "gone"}
    done = subprocess.run(["make", "report", f"REPORTS={tmp_path}/reports"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_conditions(tmp_path) == {"host0": "verified", "host1": "failing", "host2": "verified"}, (
        "without an inventory, hosts that were removed are unknown"
    )


def test_an_unreachable_host_loses_its_attack_report(tmp_path: Path) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    assert replay(tmp_path, ["web1", "web1"]).returncode == 0
    (tmp_path / "reports" / "attack-host0.json").write_text(
        json.dumps({"host": "host0", "written": "2026-01-01T00:00:00+00:00", "met": True, "unmet": [], "matrix": {}})
    )
    done = run_playbook("playbooks/attack.yml", tmp_path, {"host0": away, "host1": away, "host2": away})
    assert done.returncode == 4, done.stdout + done.stderr
    assert read_conditions(tmp_path) == dict.fromkeys(("host0", "host1", "host2"), "unreachable"), "also a host that was never verified"
    report = json.loads((tmp_path / "reports" / "attack-host0.json").read_text())
    assert (report["met"], report["unreachable"], report["matrix"]) == (False, True, {})
    assert "Connection refused" in report["error"]
    assert "Fleet: 0 of 3 hosts verified" in done.stdout
    assert "host1: host: verified -> unreachable" in done.stdout
    # A later verification counts. There is no matrix of these hosts.
    assert replay(tmp_path, ["web1", "web1", "web1"]).returncode == 0
    assert set(read_conditions(tmp_path).values()) == {"verified"}


def test_a_host_without_attacks_is_not_verified(tmp_path: Path) -> None:
    assert replay(tmp_path, ["web1"]).returncode == 0
    done = run_playbook("playbooks/attack.yml", tmp_path, {"host0": {"attack_matrix_required": {"host_dsik": 1}}})
    assert done.returncode == 2, done.stdout + done.stderr
    assert read_conditions(tmp_path) == {"host0": "unverified"}
    assert "host_dsik" in json.loads((tmp_path / "reports" / "attack-host0.json").read_text())["error"]


def test_skipped_tasks_are_shown_only_when_verbose(tmp_path: Path) -> None:
    tasks = [{"name": name, "ansible.builtin.debug": {"msg": name}, "when": name == "Keep this"} for name in ("Skip this", "Keep this")]
    play = {"name": "Skip", "hosts": "docker_hosts", "connection": "local", "gather_facts": False, "tasks": tasks}
    (tmp_path / "skip.yml").write_text(yaml.safe_dump([play]))
    done = run_playbook(str(tmp_path / "skip.yml"), tmp_path, {"host0": {}})
    assert "TASK [Keep this]" in done.stdout and "Skip this" not in done.stdout and "skipping" not in done.stdout
    done = run_playbook(str(tmp_path / "skip.yml"), tmp_path, {"host0": {}}, "-v")
    assert "TASK [Skip this]" in done.stdout and "skipping: [host0]" in done.stdout


FILES = sorted((REPOSITORY / "playbooks").glob("*.yml"))
IMPORTED = {name for path in FILES for name in re.findall(r"import_playbook: (\w+)\.yml", path.read_text())}
PLAYBOOKS = [path.stem for path in FILES if path.stem not in IMPORTED]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_former_variable_stops_a_playbook_before_any_host(tmp_path: Path, playbook: str) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    done = run_playbook(
        f"playbooks/{playbook}.yml", tmp_path, {"host0": away, "host1": away}, "-e", "target=host1", "-e", "bulkhead_shw=all"
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert "bulkhead_shw: is not a known variable; write bulkhead_show; target: was renamed; write -e bulkhead_target=" in output
    assert output.count("TASK [") == 1 and "unreachable=1" not in output and "host0" not in output.replace("host1", ""), output
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_each_playbook_checks_hosts_and_variables_first(playbook: str) -> None:
    plays = [play for play in yaml.safe_load((REPOSITORY / f"playbooks/{playbook}.yml").read_text()) if "hosts" in play]
    plays = plays if playbook == "rollback" else plays[:1]  # the others of harden.yml have hosts of the first one
    for play in plays:
        assert "lookup('bulkhead.docker.targets'," in play["hosts"] or playbook == "report"
        first = (play.get("pre_tasks") or play["tasks"])[0]
        check = first["bulkhead.docker.check_variables"] or {}
        assert first["run_once"] and first["tags"] == ["always"]
        assert check.get("layers", False) is (playbook in ("harden", "rollback"))


@pytest.mark.parametrize("playbook", ["verify", "rollback"])
def test_a_playbook_without_a_host_does_not_succeed(tmp_path: Path, playbook: str) -> None:
    done = run_playbook(f"playbooks/{playbook}.yml", tmp_path, {"host0": {}}, "-e", "bulkhead_target=nosuch")
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, output
    assert "Nothing was done: no host of the inventory matches nosuch; put hosts into group docker_hosts" in output


def test_a_playbook_without_tags_rejects_one(tmp_path: Path) -> None:
    done = run_playbook("playbooks/verify.yml", tmp_path, {"host0": {"ansible_connection": "local"}}, "--tags", "seccomp")
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert "--tags seccomp: this playbook has no tags" in output and output.count("TASK [") == 1


@pytest.mark.parametrize("playbook", ["harden", "rollback"])
def test_a_tag_that_is_no_layer_stops_the_run(tmp_path: Path, playbook: str) -> None:
    done = run_playbook(f"playbooks/{playbook}.yml", tmp_path, {"host0": {"ansible_connection": "local"}}, "--tags", "sekcomp")
    assert done.returncode == 2 and "--tags sekcomp: is not the tag of a layer; write seccomp" in done.stdout + done.stderr


def test_a_misspelt_policy_stops_a_verification(tmp_path: Path) -> None:
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port(), "bulkhead_containers_forbidden": ["host_network"]}
    done = run_playbook("playbooks/verify.yml", tmp_path, {"host0": away})
    assert done.returncode == 2, done.stdout
    assert "bulkhead_containers_forbidden: is not a known variable; write bulkhead_containers_forbid" in done.stdout + done.stderr


def test_a_former_target_that_no_inventory_knows_is_an_error(tmp_path: Path) -> None:
    inventory = tmp_path / "web.yml"
    inventory.write_text(yaml.safe_dump({"web": {"hosts": {"web0": {}}}}))
    done = run_playbook("playbooks/verify.yml", tmp_path, {}, "-i", str(inventory), "-e", "target=web")
    assert done.returncode == 2, done.stdout + done.stderr


def test_former_variables_of_an_inventory_are_ignored(tmp_path: Path) -> None:
    others = {"target": "nobody", "show": "nothing", "container": {"name": "web"}, "since": "ever", "report_dir": "/nowhere", "batch": 0}
    away = {"ansible_host": "127.0.0.1", "ansible_port": find_closed_port()}
    for playbook in ("harden", "verify"):
        done = run_playbook(f"playbooks/{playbook}.yml", tmp_path, {"host0": {**away, **others}})
        assert done.returncode == 4, done.stdout + done.stderr
        assert read_conditions(tmp_path) == {"host0": "unreachable"}, "the report is in its usual folder"
