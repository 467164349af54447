# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts record to the generated file: merged, written, read again and generated."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.desired import read_apparmor_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.desired import read_seccomp_profiles
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.apparmor import generate_apparmor_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.base_choice import choose_apparmor_base, choose_seccomp_base
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.container import generate_container_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.file import read_recording, write_recording
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generated import (
    APPARMOR,
    CONTAINERS,
    SECCOMP,
    format_generated,
    read_generated,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.merge import merge
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import Recording
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.reduction import compare_with_default
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp import generate_seccomp_entry

from .recorded_hosts import make_access, make_call, make_instance, make_recorded


def record(number: int) -> dict[str, Any]:
    """Return what host `number` records: a replica each."""
    own = "epoll_wait" if number else "epoll_pwait"
    calls = [make_call("read"), make_call("accept4"), make_call("socket", argument=2), make_call("clone", argument=0), make_call(own)]
    capability = {key: value for key, value in make_access("").items() if key not in ("path", "mask", "owner")}
    access = [
        make_access("/etc/passwd"),
        make_access("/run/x.pid", "rw"),
        make_access("/x", denied=True),
        {**capability, "class": "capability", "name": "chown"},
    ]
    recorded = make_recorded(make_instance(str(number), calls=calls, access=access, written=["/data2/a"]), recorder=f"0000000{number}")
    return {**recorded, "sources": {kind: {"status": "recording", "reason": ""} for kind in ("calls", "access")}}


def merge_hosts(order: list[int]) -> Recording:
    recording = None
    for number in order:
        recording = merge(recording, "web", f"host{number}", record(number))
    assert recording
    return read_recording(write_recording(recording), "web.yml")


@pytest.mark.parametrize("stage", ["log", "enforce"])
def test_a_recording_of_two_hosts_becomes_valid_entries(stage: str) -> None:
    recording = merge_hosts([0, 1])
    text = format_generated(
        "web",
        stage,
        {
            SECCOMP: generate_seccomp_entry(recording, choose_seccomp_base(recording, {}), stage),
            APPARMOR: generate_apparmor_entry(recording, choose_apparmor_base(recording, []), stage),
            CONTAINERS: generate_container_entry(recording),
        },
    )
    entries = read_generated(text, "web.generated.yml")
    seccomp = read_seccomp_profiles(
        {"seccomp_profiles_list": entries[SECCOMP], "seccomp_profiles_directory": "/x", "seccomp_profiles_daemon_default": ""}
    )
    assert (seccomp.blockers, read_apparmor_profiles(entries[APPARMOR]).blockers) == ([], [])
    assert entries[CONTAINERS][0]["volumes"] == ["data:/data", "web-data2:/data2"] and entries[CONTAINERS][0]["capabilities"] == ["CHOWN"]
    assert (compare_with_default(seccomp.profiles[0].text).share > 0.6) == (stage == "enforce")
    assert "# recorded on host0, host1 since 2026-11-20" in text


def test_the_order_of_hosts_does_not_matter() -> None:
    entries = [
        generate_seccomp_entry(merge_hosts(order), choose_seccomp_base(Recording("web"), {}), "enforce") for order in ([0, 1], [1, 0])
    ]
    assert entries[0] == entries[1]
    assert {"epoll_wait", "accept4"} <= set(entries[0].entry["allow"])
