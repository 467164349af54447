# SPDX-License-Identifier: GPL-3.0-or-later
"""Denied calls from the recorder's file, and how they replace what the logs have of the same errno."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit import recorded
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.denials import count_equal_denials, parse_denial
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import RECORDED, Host

from ...builders import write_files
from . import samples

ID = "c0ffee" * 10 + "beef"


def make_call(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "abi": "x86_64", "errno": errno.EPERM, "count": 5, "first": samples.T, "last": samples.T + 9, **more}


def write_recorded(root: Path, content: Any) -> Host:
    return write_files(root, {RECORDED: content if isinstance(content, str) else json.dumps(content)})


def write_calls(root: Path, *calls: dict[str, Any]) -> Host:
    instance = {"id": ID, "name": "web", "image": "nginx", "apparmor": "docker-default", "denied_calls": list(calls)}
    return write_recorded(root, {"host": {"machine": "x86_64"}, "instances": [instance]})


def test_an_entry_names_call_errno_and_container(tmp_path: Path) -> None:
    host = write_calls(tmp_path, make_call("bpf"), make_call("mount", last=samples.T), make_call("clone3", errno=errno.ENOSYS))
    found, problem = recorded.read_recorded_denials(host, samples.T)
    assert not problem
    assert [(entry["operation"], entry["detail"]) for entry in found] == [
        ("bpf", "errno=EPERM (recorder)"),
        ("mount", "errno=EPERM (recorder)"),
    ]
    assert found[0]["container"] == {"id": ID, "name": "web", "image": "nginx"}
    assert (found[0]["by"], found[0]["denied"], found[0]["count"], found[0]["pids"]) == ("recorder", True, 5, [])


def test_a_count_that_began_earlier_says_since_when(tmp_path: Path) -> None:
    host = write_calls(tmp_path, make_call("bpf", first=0, abi="i386"), make_call("mount", first=0, last=samples.T - 1))
    found, unused = recorded.read_recorded_denials(host, samples.T)
    assert [entry["detail"] for entry in found] == ["errno=EPERM abi=i386 (recorder, counted since 1970-01-01 00:00:00 UTC)"]


def test_without_a_recorder_there_is_neither_entry_nor_problem(tmp_path: Path) -> None:
    assert recorded.read_recorded_denials(Host(tmp_path), 0) == ([], "")


@pytest.mark.parametrize(
    "content", ["{", "[]", {"instances": [{}], "host": {}}, {"instances": [{"denied_calls": [{"last": "x"}]}], "host": {}}]
)
def test_a_damaged_file_is_a_problem(tmp_path: Path, content: Any) -> None:
    found, problem = recorded.read_recorded_denials(write_recorded(tmp_path, content), 0)
    assert not found
    assert problem.startswith(f"{RECORDED} cannot be read")


@pytest.mark.parametrize(
    ("action", "owner", "total"),
    [
        ("errno", ID, 5),
        ("errno", "other", 6),
        ("kill_process", ID, 6),
    ],
)
def test_the_recorder_replaces_the_same_errno_in_the_logs(tmp_path: Path, action: str, owner: str, total: int) -> None:
    message = samples.filtered(1)
    message.fields["code"] = {"errno": "0x50001", "kill_process": "0x80000000"}[action]
    denial = parse_denial(message)
    assert denial
    found, unused = recorded.read_recorded_denials(write_calls(tmp_path, make_call(denial.operation)), 0)
    known = {"container": {"id": owner}, "scope": "container", "by": "pid", "candidates": []}
    entries, number = count_equal_denials([message], lambda unused, also: known, 10, found)
    assert number == total
    assert [entry["by"] for entry in entries] == ["recorder", "pid"][: total - 4]


def test_the_limit_includes_entries_of_the_recorder(tmp_path: Path) -> None:
    found, unused = recorded.read_recorded_denials(write_calls(tmp_path, *(make_call(f"call{n}") for n in range(9))), 0)
    entries, total = count_equal_denials([], lambda unused, also: {}, 3, found)
    assert [entry["operation"] for entry in entries] == ["call0", "call1", "call2", "others"]
    assert total == 45 == sum(entry["count"] for entry in entries)
