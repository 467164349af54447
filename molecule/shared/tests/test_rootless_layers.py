# SPDX-License-Identifier: GPL-3.0-or-later
"""Every layer is enforced in the user's engine. The tests use the user's own client, and read the kernel with other means than the module."""

from __future__ import annotations

from typing import Any

import pytest
from rootless import CONFINED, USER, assert_confined, inspect_engine
from testinfra.host import Host


@pytest.fixture(scope="module")
def seen(host: Host) -> dict[str, Any]:
    return inspect_engine(host)


def test_a_container_without_options_has_every_layer(seen: dict[str, Any]) -> None:
    assert_confined(seen)
    assert seen["plain"]["uid_map"] == [["0", seen["uid"], "1"], ["1", "296608", "65536"]]


def test_programs_of_docker_exec_are_confined(seen: dict[str, Any]) -> None:
    assert (seen["plain"]["exec --privileged"], seen["plain"]["health"]) == (CONFINED, CONFINED)


def test_a_requested_profile_is_enforced_after_a_restart_too(seen: dict[str, Any]) -> None:
    assert {key: seen["named"][key] for key in ("label", "entered", "restarted")} == dict.fromkeys(
        ("label", "entered", "restarted"), "bulkhead-web (enforce)"
    )


def test_a_compose_service_is_confined_on_a_privileged_port(seen: dict[str, Any]) -> None:
    page = seen["compose"]
    assert page["up"] == "", page
    labels = {name: page[name] for name in ("answers", "entered", "health", "restarted", "answers again")}
    assert labels == dict.fromkeys(labels, CONFINED), page
    assert page["left"] == "", page


def test_the_network_is_pasta(seen: dict[str, Any]) -> None:
    assert seen["host"]["network"] == ["pasta"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--privileged", "unconfined"),
        ("--security-opt apparmor=unconfined", "unconfined"),
        ("--runtime runc", CONFINED),
        ("--security-opt no-new-privileges=false", CONFINED),
    ],
)
def test_options_have_the_same_effect_as_in_a_rootful_engine(seen: dict[str, Any], options: str, shown: str) -> None:
    assert seen["options"][options] == shown


def test_a_profile_that_does_not_exist_starts_nothing(seen: dict[str, Any]) -> None:
    said = seen["options"]["--security-opt apparmor=nonesuch"]
    assert said.startswith("failed: ") and "apparmor" in said


def test_root_owns_the_files_that_could_disable_layers(seen: dict[str, Any]) -> None:
    host = seen["host"]
    assert host["dockerd"] == [seen["uid"]]
    content = host["daemon.json"]
    assert content["default-runtime"] == "bulkhead" and content["no-new-privileges"] is True and content["icc"] is False
    assert host["owners"] == {
        f"/home/{USER}/.config/docker/daemon.json": [USER, "0600"],
        "/etc/systemd/user/docker.service": ["root", "0644"],
        content["runtimes"]["bulkhead"]["path"]: ["root", "0755"],
        f"/run/user/{seen['uid']}/docker.sock": [USER, "0660"],
    }


def test_the_user_reaches_only_the_rootless_engine(seen: dict[str, Any]) -> None:
    host = seen["host"]
    assert "rootless" in host["context"]
    assert host["DOCKER_HOST"] == f"unix:///run/user/{seen['uid']}/docker.sock"
    assert host["rootful"] == ["masked", "masked"]
