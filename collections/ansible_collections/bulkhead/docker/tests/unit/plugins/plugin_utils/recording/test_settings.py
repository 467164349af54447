# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of services in the inventories of several hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.settings import SERVICES, ServiceSettings, read_recording_settings


def list_entries(*entries: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {SERVICES: list(entries), **values}


def test_one_entry_on_all_hosts() -> None:
    found = read_recording_settings(
        {"a": list_entries({"name": "web", "stage": "log"}), "b": list_entries({"name": "web", "stage": "log"})}
    )
    assert (found.services, found.problems) == ({"web": ServiceSettings("log")}, [])


def test_an_entry_of_a_group_only_is_enough() -> None:
    found = read_recording_settings({"a": {SERVICES: None}, "b": list_entries({"name": "web", "stage": "enforce", "reason": None})})
    assert (found.services, found.problems) == ({"web": ServiceSettings("enforce")}, [])


def test_different_entries_name_the_hosts_that_have_them() -> None:
    entries = {"a": {}, "b": list_entries({"name": "web", "stage": "log"}), "c": list_entries({"name": "web", "stage": "enforce"})}
    assert read_recording_settings(entries).problems == [
        f"{SERVICES}: web has different entries for b and c; write one for all hosts of the service"
    ]


def test_an_entry_that_is_listed_twice_is_a_problem() -> None:
    found = read_recording_settings({"a": list_entries({"name": "web"}, {"name": "web", "stage": "log"})})
    assert found.problems == [f"{SERVICES}: web is listed twice for a; write it once"]


def test_gates_that_differ_are_a_problem() -> None:
    found = read_recording_settings({"a": {"container_recorder_gate_days": 7}, "b": {"container_recorder_gate_days": 1}})
    assert found.problems == ["container_recorder_gate_days: is 7 for a and 1 for b; write one value for all hosts"]


def test_a_wrong_number_is_reported_once() -> None:
    found = read_recording_settings({host: {"container_recorder_gate_days": -1} for host in ("a", "b")})
    assert found.problems == ["container_recorder_gate_days: -1 is not a number from 0; write one, such as 7"]
