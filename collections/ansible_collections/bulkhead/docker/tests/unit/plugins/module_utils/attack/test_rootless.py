# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of a rootless engine: the control has the user namespace, and nothing is claimed that it may have done."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attribution, matrix
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.catalog import LAYER_NAMES
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.configurations import (
    Configuration,
    as_intended,
    asked_of_role,
    of_container,
    of_host,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance

FULL = "1ffffffffff"
BARE = {
    "Seccomp": "0", "NoNewPrivs": "0", "label": "unconfined", "uid_map": "0 990 1 1 296608 65536", "CapBnd": FULL, "masked": 0,
    "root_read_only": False, "Uid": "0",
}  # fmt: skip
USERS = Instance("rootless", 990, 990, "/home/rootless")
COLUMNS = of_host(asked_of_role({"apparmor_profile": "web"}, "{}"), 128, True, rootless=True)
BY_NAME = {column.name: column for column in COLUMNS}


def test_the_control_is_the_user_namespace_alone() -> None:
    assert [(c.name, c.layers) for c in COLUMNS if c.kind == "control"] == [("userns", ("userns",))]
    assert [c.name for c in COLUMNS[1:]] == [*(name for name in LAYER_NAMES if name != "userns"), "engine", "host", "stacked"]
    assert all("userns" in c.layers for c in COLUMNS)
    assert (BY_NAME["seccomp"].title, BY_NAME["seccomp"].layers) == ("seccomp beside userns", ("userns", "seccomp"))


def test_a_layer_that_the_engine_cannot_have_is_unknown_and_in_no_other_column() -> None:
    assert "device controller" in BY_NAME["devices"].unavailable
    assert not any("devices" in c.layers for c in COLUMNS if c.name != "devices")


def test_an_engine_that_nobody_hardened_confines_nothing_by_apparmor() -> None:
    assert "apparmor=unconfined" in BY_NAME["engine"].host_config["SecurityOpt"]
    assert "apparmor" not in BY_NAME["engine"].layers
    assert "apparmor" in BY_NAME["host"].layers


def test_a_sibling_of_a_container_has_the_same_control() -> None:
    columns = of_container("shop", {"HostConfig": {}, "Config": {"User": ""}}, 128, rootless=True)
    assert (columns[0].name, columns[-1].name) == ("userns", "container")
    assert "none" not in {column.name for column in columns}


def test_the_user_namespace_is_no_surplus() -> None:
    assert as_intended(BY_NAME["userns"], BARE, FULL) == []
    assert as_intended(BY_NAME["seccomp"], {**BARE, "Seccomp": "2"}, FULL) == []
    assert as_intended(BY_NAME["seccomp"], {**BARE, "NoNewPrivs": "1"}, FULL) == ["no_new_privileges"]


def found(outcomes: dict[str, str], uid_map: str = BARE["uid_map"]) -> dict[str, Any]:
    columns: list[Configuration] = [BY_NAME["userns"], BY_NAME["apparmor"]]
    played = {
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
    return attribution.attribute(columns, played, {}, ["bpf"], FULL)


def test_what_the_control_refuses_is_no_other_layers_merit() -> None:
    row = found({"userns": "blocked", "apparmor": "blocked"})["attacks"][0]
    assert row["reason"] == "it fails in the user namespace alone as well, whether by it or by the kernel: bpf with EPERM"
    assert (row["stopped_by"], row["cells"]["apparmor"]["outcome"]) == ([], "inconclusive")


def test_what_the_control_lets_through_is_the_layers_alone() -> None:
    row = found({"userns": "succeeded", "apparmor": "blocked"})["attacks"][0]
    assert (row["stopped_by"], row["cells"]["apparmor"]["by"]) == (["apparmor"], ["apparmor"])


def test_a_control_without_its_user_namespace_shows_nothing() -> None:
    seen = found({"userns": "succeeded", "apparmor": "blocked"}, "0 0 4294967295")
    assert "no user namespace" in seen["configurations"][0]["trouble"]
    assert seen["attacks"][0]["provable"] is False


@pytest.mark.parametrize(
    ("instance", "options", "words"),
    [
        (ROOTFUL, ["name=seccomp,profile=builtin"], None),
        (USERS, ["name=rootless"], None),
        (ROOTFUL, ["name=rootless"], "name the user who runs it"),
        (USERS, None, "is not the rootless one of rootless"),
    ],
)
def test_an_engine_of_the_other_kind_is_refused(instance: Instance, options: list[str] | None, words: str | None) -> None:
    if words is None:
        matrix.check_kind(instance, "/run/docker.sock", {"SecurityOptions": options})
        return
    with pytest.raises(matrix.CannotPlay, match=words):
        matrix.check_kind(instance, "/run/docker.sock", {"SecurityOptions": options})
