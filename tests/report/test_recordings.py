# SPDX-License-Identifier: GPL-3.0-or-later
"""The output, the files and the exit codes of report_recordings, with what hosts recorded earlier."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_playbooks import run_playbook

DAY = 86400.0
START = 1795132800.0
SERVICES = "container_recorder_services"


def make_recorded(name: str = "web", **instance: Any) -> dict[str, Any]:
    seen = {"count": 1, "first": START, "last": START + DAY}
    return {
        "format": 1,
        "recorder": {"id": "0000000a", "since": START, "at": START + DAY, "boot_id": "b", "version": "v"},
        "host": {"kernel": "6.12.1", "machine": "x86_64", "engine": "26", "runtime": "runc 1", "libseccomp": "2", "apparmor_parser": "4"},
        "sources": {"calls": {"status": "recording", "reason": ""}, "access": {"status": "off", "reason": "it is switched off"}},
        "gaps": [],
        "instances": [
            {
                "id": "1" * 64, "engine": "", "name": name, "image": "nginx:1", "image_id": "sha256:" + "a" * 64, "labels": {},
                "running": True, "first": START, "last": START + DAY, "user": "", "seccomp": "builtin", "apparmor": "docker-default",
                "no_new_privileges": True, "userns": "host", "read_only": False, "capabilities": [], "networks": [], "ports": [],
                "mounts": [], "command": [], "peaks": {}, "denied_calls": [], "access": [], "written": [],
                "events": {"starts": 1, "start_seen": True},
                "calls": [{"name": "read", "abi": "x86_64", "argument": None, **seen}],
                **instance,
            }
        ],
    }  # fmt: skip


def make_host(recorded: dict[str, Any] | None, *services: dict[str, Any], **desired: Any) -> dict[str, Any]:
    values = {
        SERVICES: list(services),
        "seccomp_profiles_directory": "/etc/docker/seccomp",
        "seccomp_profiles_daemon_default": "",
        "seccomp_profiles_list": [],
        **desired,
    }
    return {"__container_recorder_plan": {"desired": values}, "__container_recorder_result": {"recorded": recorded, "changed": False}}


def merge(folder: Path, hosts: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    return run_playbook("tests/report/recordings.yml", folder, hosts, "-e", f"bulkhead_recordings={folder}/recordings", *more)


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "recordings").glob("*"))


def test_recordings_are_written_once(tmp_path: Path) -> None:
    hosts = {"web1": make_host(make_recorded()), "web2": make_host(None)}
    first = merge(tmp_path, hosts, "--check")
    assert (first.returncode, list_files(tmp_path)) == (0, []), first.stdout
    assert merge(tmp_path, hosts).returncode == 0
    assert list_files(tmp_path) == ["web.generated.yml", "web.proposed.yml", "web.yml"]
    again = merge(tmp_path, hosts)
    assert again.returncode == 0 and "changed=1" not in again.stdout
    (service,) = json.loads((tmp_path / "reports/recordings.json").read_text())["services"]
    assert (service["service"], service["stage"], service["hosts"]) == ("web", "record", ["web1"])


def test_a_gate_that_is_not_passed_fails_and_keeps_files(tmp_path: Path) -> None:
    assert merge(tmp_path, {"web1": make_host(make_recorded(), {"name": "web", "stage": "log"})}).returncode == 0
    generated = tmp_path / "recordings/web.generated.yml"
    former = generated.read_text()
    result = merge(tmp_path, {"web1": make_host(make_recorded(), {"name": "web", "stage": "enforce"})})
    assert (result.returncode, generated.read_text()) == (2, former)
    assert "stage enforce needs a passed gate" in result.stdout
    entry = {"name": "web", "stage": "enforce", "reason": "tested by hand"}
    assert merge(tmp_path, {"web1": make_host(make_recorded(), entry)}).returncode == 0
    assert "stage: enforce" in generated.read_text() and "tested by hand" in generated.read_text()
    assert merge(tmp_path, {"web1": make_host(make_recorded(), {"name": "web", "stage": "log"})}).returncode == 0
    assert generated.read_text() == former


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, "role container_recorder has no result; run without tags"),
        ({"__container_recorder_plan": {"failed": True, "msg": "x: is wrong", "desired": {SERVICES: "web"}}}, "x: is wrong"),
        ({**make_host(None), "__container_recorder_result": {"failed": True, "msg": "no BTF"}}, "no BTF"),
        ({**make_host(None), "__container_recorder_result": {"unreachable": True, "msg": "timed out"}}, "timed out"),
    ],
)
def test_other_hosts_are_merged(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    result = merge(tmp_path, {"web1": make_host(make_recorded()), "web2": other})
    assert result.returncode == (4 if "timed out" in message else 2)
    assert message in result.stdout + result.stderr
    assert "web.yml" in list_files(tmp_path)


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (
            {
                "web1": make_host(make_recorded(), {"name": "web", "stage": "log"}),
                "web2": make_host(None, {"name": "web", "stage": "enforce"}),
            },
            "has different entries for web1 and web2",
        ),
        ({"web1": make_host(make_recorded(), container_recorder_gate_days=-1)}, "-1 is not a number from 0"),
    ],
)
def test_mistakes_of_the_inventory_write_nothing(tmp_path: Path, hosts: dict[str, Any], message: str) -> None:
    for more in ((), ("-e", "only_check=true")):
        result = merge(tmp_path, hosts, *more)
        assert (result.returncode, list_files(tmp_path)) == (2, [])
        assert message in " ".join(result.stdout.split())
        assert ("Nothing was changed." if more else "Nothing was written.") in result.stdout


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("")
    result = merge(tmp_path, {"web1": make_host(make_recorded())})
    assert result.returncode == 2 and "Nothing was written." in result.stdout
    (tmp_path / "recordings").unlink()
    (tmp_path / "reports").write_text("")
    result = merge(tmp_path, {"web1": make_host(make_recorded())})
    assert result.returncode == 2 and "is not a folder" in " ".join(result.stdout.split())
    assert list_files(tmp_path) == []


def test_recorders_stay_if_something_would_be_lost(tmp_path: Path) -> None:
    two = [make_recorded(name)["instances"][0] for name in ("blue", "green")]
    conflict = make_recorded()
    conflict["instances"] += [{**each, "labels": {"bulkhead.service": "red"}} for each in two[:1]] + [
        {**each, "name": "red", "id": "2" * 64} for each in two[1:]
    ]
    result = merge(tmp_path, {"web1": make_host(conflict)}, "-e", "only_keep=true")
    assert result.returncode == 2 and "No recorder was removed" in result.stdout and "red" in result.stdout
    assert list_files(tmp_path) == ["web.generated.yml", "web.proposed.yml", "web.yml"]
    (tmp_path / "recordings/web.yml").unlink()
    result = merge(tmp_path, {"web1": make_host(make_recorded(), {"name": "web", "stage": "enforce"})}, "-e", "only_keep=true")
    assert result.returncode == 0 and "web.yml" in list_files(tmp_path), "a closed gate loses nothing"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    for name, content in (("web.yml", b"\xff"), ("db.yml", b"format: 1\n")):
        path = tmp_path / "recordings" / name
        path.write_bytes(content)
        result = merge(tmp_path, {"web1": make_host(make_recorded())}, "-e", "only_check=true")
        assert result.returncode == 2 and f"{name}" in result.stdout and "Nothing was changed." in result.stdout
        path.unlink()


def test_an_unknown_value_of_bulkhead_record_changes_nothing(tmp_path: Path) -> None:
    result = run_playbook("playbooks/record.yml", tmp_path, {"web1": {"ansible_connection": "local"}}, "-e", "bulkhead_record=stpo")
    assert result.returncode == 2
    assert "bulkhead_record: stpo is unknown; write stop" in " ".join(result.stdout.split())


def test_a_state_in_the_inventory_is_not_ignored(tmp_path: Path) -> None:
    local = {"ansible_connection": "local", "container_recorder_state": "stopped"}
    result = run_playbook("playbooks/record.yml", tmp_path, {"web1": local})
    assert result.returncode == 2
    assert "container_recorder_state: stopped has no effect here" in " ".join(result.stdout.split())


def test_a_mistake_is_found_before_hosts_are_visited(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "web.yml").write_text("format: 1\n")
    away = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    result = run_playbook(
        "playbooks/record.yml", tmp_path, {"web1": away}, "-e", "bulkhead_record=stop", "-e", f"bulkhead_recordings={folder}"
    )
    assert result.returncode == 2 and "web.yml" in result.stdout and "unreachable" not in result.stdout.lower().replace("unreachable=0", "")
