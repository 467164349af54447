# SPDX-License-Identifier: GPL-3.0-or-later
"""Attribution: who stops what, from what the player said in each configuration."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attribution
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.configurations import (
    Configuration,
    as_intended,
    asked_of_role,
    of_host,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.run import mark

FULL = "1ffffffffff"
BARE = {
    "Seccomp": "0", "NoNewPrivs": "0", "label": "unconfined", "uid_map": "0 0 4294967295", "CapBnd": f"00000{FULL}", "masked": 0,
    "root_read_only": False, "Uid": "0",
}  # fmt: skip
COLUMNS = [
    Configuration("none", "no layer", "control", ()),
    Configuration("seccomp", "seccomp alone", "alone", ("seccomp",)),
    Configuration("apparmor", "apparmor alone", "alone", ("apparmor",)),
    Configuration("host", "the host's defaults", "together", ("seccomp", "apparmor")),
]
ON: dict[str, dict[str, Any]] = {
    "none": {}, "seccomp": {"Seccomp": "2"}, "apparmor": {"label": "docker-default (enforce)"},
    "host": {"Seccomp": "2", "label": "docker-default (enforce)"},
}  # fmt: skip


def record(outcome: str, position: int = 0, errno: str | None = "EPERM") -> dict[str, Any]:
    found: dict[str, Any] = {"attack": "mount_tmpfs", "comm": f"{mark(position)}00", "outcome": outcome, "detail": ""}
    return {**found, "step": "mount", "errno": errno} if outcome == "blocked" else found


def played(**outcomes: str) -> dict[str, dict[str, Any]]:
    """Configuration → outcome of the one attack; `dead` for a player that did not start."""
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


def row(denials: dict[str, list[str]] | None = None, heard: bool = True, **outcomes: str) -> dict[str, Any]:
    found = attribution.attribute(COLUMNS, played(**outcomes), denials or {}, ["mount_tmpfs"], FULL, heard)
    return dict(found["attacks"][0])


@pytest.mark.parametrize(
    ("outcomes", "stopped_by", "cells", "by"),
    [
        ("succeeded blocked succeeded blocked", ["seccomp"], "succeeded blocked succeeded blocked", ["seccomp"]),
        ("succeeded blocked blocked blocked", ["seccomp", "apparmor"], "succeeded blocked blocked blocked", ["seccomp", "apparmor"]),
        ("succeeded succeeded succeeded succeeded", [], "succeeded succeeded succeeded succeeded", []),
        # Only together: no layer gets the merit.
        ("succeeded succeeded succeeded blocked", [], "succeeded succeeded succeeded blocked", []),
        # What fails in the control as well proves nothing of any layer.
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
    assert found["provable"] == outcomes.startswith("succeeded")


def test_no_proof_has_its_reason() -> None:
    assert row(none="blocked", seccomp="blocked", apparmor="blocked", host="blocked")["reason"] == (
        "it fails without any layer as well: mount with EPERM"
    )
    assert row(none="dead", seccomp="blocked", apparmor="blocked", host="blocked")["reason"].startswith("the control is unknown")


def test_denials_are_matched_by_the_name_of_the_process() -> None:
    told = {f"{mark(2)}00": ["type=1400 apparmor=DENIED"], "somebody": ["type=1400"]}
    cells = row(told, none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")["cells"]
    assert (cells["apparmor"]["logged"], cells["apparmor"]["log"]) == (True, ["type=1400 apparmor=DENIED"])
    assert cells["seccomp"]["logged"] is False
    assert "flag LOG" in cells["seccomp"]["silent"]


def test_a_log_that_cannot_be_read_is_not_silence() -> None:
    cells = row(heard=False, none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")["cells"]
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
        ({"CapBnd": "a80425fb"}, ["capabilities"]),
        ({"CapBnd": "3fffffffff"}, []),  # all that engine 20.10 knows
        ({"CapBnd": "1fffffffff"}, ["capabilities"]),
        ({"masked": 3}, ["masked_paths"]),
        ({"root_read_only": True}, ["read_only_root"]),
        ({"root_read_only": None}, ["read_only_root"]),
        ({"Uid": "65534"}, ["non_root_user"]),
    ],
)
def test_a_layer_that_could_not_be_switched_off_is_seen(seen: dict[str, Any], still_on: list[str]) -> None:
    assert as_intended(COLUMNS[0], {**BARE, **seen}, FULL) == still_on


def test_a_column_that_is_not_what_it_should_be_shows_nothing() -> None:
    runs = played(none="succeeded", seccomp="blocked", apparmor="blocked", host="blocked")
    runs["seccomp"]["records"][0]["confinement"]["label"] = "docker-default (enforce)"
    found = attribution.attribute(COLUMNS, runs, {}, ["mount_tmpfs"], FULL)
    assert found["attacks"][0]["cells"]["seccomp"]["outcome"] == "unknown"
    assert found["configurations"][1]["trouble"] == "apparmor could not be switched off"


@pytest.mark.parametrize(
    ("required", "words"),
    [
        ({}, None),
        ({"mount_tmpfs": 1}, None),
        ({"mount_tmpfs": 0}, None),
        ({"mount_tmpfs": 2}, "stopped by 1 layers (seccomp), and 2 have to stop it"),
        ({"bpf": 1}, "bpf was not played"),
    ],
)
def test_demands(required: dict[str, int], words: str | None) -> None:
    rows = [row(none="succeeded", seccomp="blocked", apparmor="succeeded", host="blocked")]
    unmet = attribution.demands(rows, required)
    assert unmet == [] if words is None else words in unmet[0]


def test_a_demand_is_not_met_by_an_attack_that_proves_nothing() -> None:
    rows = [row(none="blocked", seccomp="blocked", apparmor="blocked", host="blocked")]
    assert "proves nothing here" in attribution.demands(rows, {"mount_tmpfs": 1})[0]
    assert attribution.demands(rows, {"mount_tmpfs": 0}) == []


def test_each_column_asks_for_what_its_name_says() -> None:
    columns = {c.name: c for c in of_host(asked_of_role({"apparmor_profile": "web", "capabilities": ["CHOWN"]}, "{}"), 128, None)}
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
