# SPDX-License-Identifier: GPL-3.0-or-later
"""Attribution: who stops what, from the results of the runner in each configuration."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attribution, traces
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.configurations import (
    AttackConfiguration,
    build_for_host,
    get_role_settings,
    list_surplus_layers,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.run import build_mark
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.traces import describe_trace
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters.counts import CountedDenial

FULL = "1ffffffffff"
BARE = {
    "Seccomp": "0", "NoNewPrivs": "0", "label": "unconfined", "uid_map": "0 0 4294967295", "CapBnd": f"00000{FULL}", "masked": 0,
    "root_read_only": False, "Uid": "0",
}  # fmt: skip
COLUMNS = [
    AttackConfiguration("none", "no layer", "baseline", ()),
    AttackConfiguration("seccomp", "seccomp alone", "alone", ("seccomp",)),
    AttackConfiguration("apparmor", "apparmor alone", "alone", ("apparmor",)),
    AttackConfiguration("host", "the host's defaults", "together", ("seccomp", "apparmor")),
]
ON: dict[str, dict[str, Any]] = {
    "none": {}, "seccomp": {"Seccomp": "2"}, "apparmor": {"label": "docker-default (enforce)"},
    "host": {"Seccomp": "2", "label": "docker-default (enforce)"},
}  # fmt: skip


def record(outcome: str, position: int = 0, errno: str | None = "EPERM") -> dict[str, Any]:
    found: dict[str, Any] = {"attack": "mount_tmpfs", "comm": f"{build_mark(position)}00", "outcome": outcome, "detail": ""}
    return {**found, "step": "mount", "errno": errno} if outcome == "blocked" else found


def make_results(**outcomes: str) -> dict[str, dict[str, Any]]:
    """Configuration → outcome of the one attack; `dead` for a runner that did not start."""
    return {
        column.name: {
            "records": [{"stray": "Traceback"}]
            if outcomes[column.name] == "dead"
            else [{"confinement": {**BARE, **ON[column.name]}}, record(outcomes[column.name], position)],
            "error": "",
            "seconds": 1.0,
        }
        for position, column in enumerate(COLUMNS)
    }


def row(denials: dict[str, list[str]] | None = None, is_log_read: bool = True, **outcomes: str) -> dict[str, Any]:
    found = attribution.build_rows(COLUMNS, make_results(**outcomes), denials or {}, ["mount_tmpfs"], FULL, is_log_read)
    return dict(found["attacks"][0])


@pytest.mark.parametrize(
    ("outcomes", "stopped_by", "cells", "by"),
    [
        ("succeeded blocked succeeded blocked", ["seccomp"], "succeeded blocked succeeded blocked", ["seccomp"]),
        ("succeeded blocked blocked blocked", ["seccomp", "apparmor"], "succeeded blocked blocked blocked", ["seccomp", "apparmor"]),
        ("succeeded succeeded succeeded succeeded", [], "succeeded succeeded succeeded succeeded", []),
        # Only together: no layer gets the credit.
        ("succeeded succeeded succeeded blocked", [], "succeeded succeeded succeeded blocked", []),
        # An attack that fails in the baseline too is inconclusive.
        ("blocked blocked blocked blocked", [], "inconclusive inconclusive inconclusive inconclusive", []),
        ("unknown blocked succeeded blocked", [], "unknown inconclusive succeeded inconclusive", []),
        # A layer that got no answer is not one that stops it.
        ("succeeded unknown blocked blocked", ["apparmor"], "succeeded unknown blocked blocked", ["apparmor"]),
        ("succeeded dead blocked blocked", ["apparmor"], "succeeded unknown blocked blocked", ["apparmor"]),
    ],
)
def test_who_stops_it(outcomes: str, stopped_by: list[str], cells: str, by: list[str]) -> None:
    names = [column.name for column in COLUMNS]
    found = row(**dict(zip(names, outcomes.split(), strict=True)))
    assert found["stopped_by"] == stopped_by
    assert [found["cells"][name]["outcome"] for name in names] == cells.split()
    assert found["cells"]["host"]["by"] == by
    assert found["layers"] == len(stopped_by)
    assert found["conclusive"] == outcomes.startswith("succeeded")


def test_inconclusive_attack_has_a_reason() -> None:
    assert row(none="blocked", seccomp="blocked", apparmor="blocked", host="blocked")["reason"] == (
        "it fails without any layer too: mount with EPERM"
    )
    assert row(none="dead", seccomp="blocked", apparmor="blocked", host="blocked")["reason"].startswith("the baseline is unknown")


def test_denials_are_matched_by_process_name() -> None:
    messages = {f"{build_mark(2)}00": ["type=1400 apparmor=DENIED"], "somebody": ["type=1400"]}
    cells = row(messages, none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")["cells"]
    assert (cells["apparmor"]["logged"], cells["apparmor"]["log"]) == (True, ["type=1400 apparmor=DENIED"])
    assert cells["seccomp"]["logged"] is False
    assert "flag LOG" in cells["seccomp"]["silent"]


def test_unread_log_is_not_silence() -> None:
    cells = row(is_log_read=False, none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")["cells"]
    assert cells["seccomp"]["logged"] is None
    assert "silent" not in cells["seccomp"]


@pytest.mark.parametrize(
    ("seen", "still_on"),
    [
        ({}, []),
        ({"Seccomp": "2"}, ["seccomp"]),
        ({"NoNewPrivs": "1"}, ["no_new_privileges"]),
        ({"label": "docker-default (enforce)"}, ["apparmor"]),
        ({"label": "unreadable: Invalid argument"}, []),  # no LSM that labels
        ({"label": "unreadable: Permission denied"}, ["apparmor"]),
        ({"label": "runc (unconfined)"}, []),  # the distribution's name for runc, which confines nothing
        ({"label": "docker-default (complain)"}, ["apparmor"]),
        ({"uid_map": "0 231072 65536"}, ["userns"]),
        ({"uid_map": "0 100000 65536", "user_namespace": "user:[1]", "host_namespace": "user:[1]"}, []),  # an unprivileged LXC
        ({"uid_map": "0 0 4294967295", "user_namespace": "user:[2]", "host_namespace": "user:[1]"}, ["userns"]),
        ({"CapBnd": "a80425fb"}, ["capabilities"]),
        ({"CapBnd": "3fffffffff"}, []),  # all that engine 20.10 knows
        ({"CapBnd": "1fffffffff"}, ["capabilities"]),
        ({"masked": 3}, ["masked_paths"]),
        ({"root_read_only": True}, ["read_only_root"]),
        ({"root_read_only": None}, ["read_only_root"]),
        ({"Uid": "65534"}, ["non_root_user"]),
    ],
)
def test_layer_that_stays_on_is_found(seen: dict[str, Any], still_on: list[str]) -> None:
    assert list_surplus_layers(COLUMNS[0], {**BARE, **seen}, FULL) == still_on


def test_column_with_surplus_layer_is_unknown() -> None:
    runs = make_results(none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")
    runs["seccomp"]["records"][0]["confinement"]["label"] = "docker-default (enforce)"
    found = attribution.build_rows(COLUMNS, runs, {}, ["mount_tmpfs"], FULL)
    assert found["attacks"][0]["cells"]["seccomp"]["outcome"] == "unknown"
    assert found["configurations"][1]["problem"] == "apparmor could not be switched off"


@pytest.mark.parametrize(
    ("required", "words"),
    [
        ({}, None),
        ({"mount_tmpfs": 1}, None),
        ({"mount_tmpfs": 0}, None),
        ({"mount_tmpfs": 2}, "stopped by 1 layers (seccomp), and 2 must stop it"),
        ({"bpf": 1}, "bpf was not run"),
    ],
)
def test_unmet_requirements(required: dict[str, int], words: str | None) -> None:
    rows = [row(none="succeeded", seccomp="blocked", apparmor="succeeded", host="blocked")]
    unmet = attribution.list_unmet(rows, required)
    assert unmet == [] if words is None else words in unmet[0]


def test_inconclusive_attack_meets_no_requirement() -> None:
    rows = [row(none="blocked", seccomp="blocked", apparmor="blocked", host="blocked")]
    assert "is inconclusive" in attribution.list_unmet(rows, {"mount_tmpfs": 1})[0]
    assert attribution.list_unmet(rows, {"mount_tmpfs": 0}) == []


def test_each_column_sets_what_its_name_says() -> None:
    columns = {
        c.name: c for c in build_for_host(get_role_settings({"apparmor_profile": "web", "capabilities": ["CHOWN"]}, "{}"), 128, None)
    }
    options = columns["none"].host_config["SecurityOpt"]
    assert sorted(options) == ["apparmor=unconfined", "no-new-privileges=false", "seccomp=unconfined"]
    assert columns["none"].host_config["UsernsMode"] == "host"
    assert columns["none"].host_config["PidsLimit"] == 128 + 64
    # A layer alone asks for nothing about itself, so that the host's default shows.
    assert "seccomp=unconfined" not in columns["seccomp"].host_config["SecurityOpt"]
    assert "UsernsMode" not in columns["userns"].host_config
    assert "PidsLimit" not in columns["pids_limit"].host_config
    assert "CapAdd" not in columns["capabilities"].host_config
    assert "MaskedPaths" not in columns["masked_paths"].host_config
    assert "SecurityOpt" not in columns["host"].host_config
    assert columns["non_root_user"].user != "0:0"
    assert columns["stacked"].host_config["CapDrop"] == ["ALL"]
    assert columns["stacked"].host_config["CapAdd"] == ["CHOWN"]
    for column in columns.values():
        assert column.host_config["Memory"] == column.host_config["MemorySwap"], "no swap"


def make_denial(container: str, cause: str, **changes: Any) -> CountedDenial:
    given = {"number": 165, "errno": 1, "capability": 21, "comm": f"{build_mark(1)}00"} | changes
    return CountedDenial(
        7, container, "", "x86_64", given["number"], given["errno"], cause, given["capability"], True, False, 1, 1.0, 1.0, given["comm"]
    )


@pytest.mark.parametrize(
    ("denials", "traced", "layer"),
    [
        ([make_denial("c" * 64, "seccomp", capability=None)], True, "seccomp"),
        ([make_denial("c" * 64, "capabilities")], False, "capabilities"),
        ([make_denial("d" * 64, "seccomp")], False, None),
        ([make_denial("c" * 64, "seccomp", comm=f"{build_mark(2)}00")], False, None),
        ([], False, None),
    ],
)
def test_trace_names_the_container_and_the_layer(denials: list[CountedDenial], traced: bool, layer: str | None) -> None:
    results = make_results(none="succeeded", seccomp="blocked", apparmor="succeeded", host="blocked")
    for result in results.values():
        result["container"] = "c" * 64
    last = {(denial.container, denial.comm): denial for denial in denials}
    (found,) = attribution.build_rows(COLUMNS, results, {}, ["mount_tmpfs"], FULL, True, last)["attacks"]
    cell = found["cells"]["seccomp"]
    assert cell["traced"] is traced
    assert (cell["trace"] or {}).get("layer") == layer
    assert found["cells"]["none"]["traced"] is None


def test_trace_is_described() -> None:
    denial = make_denial("c" * 64, "capabilities")
    assert describe_trace({(denial.container, denial.comm): denial}, "c" * 64, denial.comm) == {
        "container": "c" * 12, "layer": "capabilities", "operation": "mount", "detail": "errno=EPERM capability=SYS_ADMIN",
    }  # fmt: skip


def test_without_counters_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = row(none="succeeded", seccomp="blocked", apparmor="succeeded", host="blocked")["cells"]
    assert (cells["seccomp"]["traced"], cells["seccomp"]["trace"]) == (None, None)
    monkeypatch.setattr(traces, "find_counter_pins", lambda: None)
    assert traces.read_traces() == (None, traces.NOT_COUNTED)


def test_unreadable_counts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(traces, "find_counter_pins", lambda: "folder")
    monkeypatch.setattr(traces, "read_last_denials", fail)
    assert traces.read_traces() == (None, "the denials that the kernel counted cannot be read: Input/output error")
