# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of a rootless engine: the baseline has the user namespace, and no other layer gets its credit."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attribution, matrix
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.catalog import LAYER_NAMES
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.configurations import (
    AttackConfiguration,
    build_for_container,
    build_for_host,
    get_role_settings,
    list_surplus_layers,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance

FULL = "1ffffffffff"
BARE = {
    "Seccomp": "0", "NoNewPrivs": "0", "label": "unconfined", "uid_map": "0 990 1 1 296608 65536", "CapBnd": FULL, "masked": 0,
    "root_read_only": False, "Uid": "0",
}  # fmt: skip
USERS = Instance("rootless", 990, 990, "/home/rootless")
COLUMNS = build_for_host(get_role_settings({"apparmor_profile": "web"}, "{}"), 128, True, rootless=True)
BY_NAME = {column.name: column for column in COLUMNS}


def test_baseline_is_the_user_namespace_alone() -> None:
    assert [(c.name, c.layers) for c in COLUMNS if c.kind == "baseline"] == [("userns", ("userns",))]
    assert [c.name for c in COLUMNS[1:]] == [*(name for name in LAYER_NAMES if name != "userns"), "engine", "host", "stacked"]
    assert all("userns" in c.layers for c in COLUMNS)
    assert (BY_NAME["seccomp"].title, BY_NAME["seccomp"].layers) == ("seccomp with userns", ("userns", "seccomp"))


def test_unsupported_layer_is_in_no_other_column() -> None:
    assert "device controller" in BY_NAME["devices"].unavailable
    assert not any("devices" in c.layers for c in COLUMNS if c.name != "devices")


def test_plain_engine_has_no_apparmor() -> None:
    assert "apparmor=unconfined" in BY_NAME["engine"].host_config["SecurityOpt"]
    assert "apparmor" not in BY_NAME["engine"].layers
    assert "apparmor" in BY_NAME["host"].layers


def test_sibling_has_the_same_baseline() -> None:
    columns = build_for_container("shop", {"HostConfig": {}, "Config": {"User": ""}}, 128, rootless=True)
    assert (columns[0].name, columns[-1].name) == ("userns", "container")
    assert "none" not in {column.name for column in columns}


def test_the_user_namespace_is_no_surplus() -> None:
    assert list_surplus_layers(BY_NAME["userns"], BARE, FULL) == []
    assert list_surplus_layers(BY_NAME["seccomp"], {**BARE, "Seccomp": "2"}, FULL) == []
    assert list_surplus_layers(BY_NAME["seccomp"], {**BARE, "NoNewPrivs": "1"}, FULL) == ["no_new_privileges"]


def found(outcomes: dict[str, str], uid_map: str = BARE["uid_map"]) -> dict[str, Any]:
    columns: list[AttackConfiguration] = [BY_NAME["userns"], BY_NAME["apparmor"]]
    make_results = {
        column.name: {
            "records": [
                {"confinement": {**BARE, "uid_map": uid_map}},
                {"attack": "bpf", "outcome": outcomes[column.name], "step": "bpf", "errno": "EPERM", "detail": ""},
            ],
            "error": "",
            "seconds": 1.0,
        }
        for column in columns
    }
    return attribution.build_rows(columns, make_results, {}, ["bpf"], FULL)


def test_attack_stopped_in_baseline_is_inconclusive() -> None:
    row = found({"userns": "blocked", "apparmor": "blocked"})["attacks"][0]
    assert row["reason"] == "it fails in the user namespace alone too, because of it or of the kernel: bpf with EPERM"
    assert (row["stopped_by"], row["cells"]["apparmor"]["outcome"]) == ([], "inconclusive")


def test_attack_that_passes_baseline_credits_the_layer() -> None:
    row = found({"userns": "succeeded", "apparmor": "blocked"})["attacks"][0]
    assert (row["stopped_by"], row["cells"]["apparmor"]["by"]) == (["apparmor"], ["apparmor"])


def test_baseline_without_user_namespace_is_unknown() -> None:
    seen = found({"userns": "succeeded", "apparmor": "blocked"}, "0 0 4294967295")
    assert "not in a user namespace" in seen["configurations"][0]["problem"]
    assert seen["attacks"][0]["conclusive"] is False


@pytest.mark.parametrize(
    ("instance", "options", "words"),
    [
        (ROOTFUL, ["name=seccomp,profile=builtin"], None),
        (USERS, ["name=rootless"], None),
        (ROOTFUL, ["name=rootless"], "set user to the user who runs it"),
        (USERS, None, "is not the rootless one of rootless"),
    ],
)
def test_engine_of_the_wrong_kind_is_rejected(instance: Instance, options: list[str] | None, words: str | None) -> None:
    if words is None:
        matrix.check_kind(instance, "/run/docker.sock", {"SecurityOptions": options})
        return
    with pytest.raises(matrix.AttackError, match=words):
        matrix.check_kind(instance, "/run/docker.sock", {"SecurityOptions": options})
