# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning a rootless engine: what a virgin host needs, what stands in the way, and that a settled host needs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless import plan as room
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns import plan as userns
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import texts

from .rootless_host import USER, WANTED, settled, virgin


def planned(host: dict[str, Any], **wanted: Any) -> Any:
    return room.plan(host, {**WANTED, **wanted})


def test_a_virgin_host_gets_everything() -> None:
    plan = planned(virgin())
    assert plan.refusals == []
    said = "; ".join(change.summary for change in plan.changes)
    for word in (
        "user rootless is created",
        "/etc/subuid: add rootless:296608:65536",
        "lingers",
        "stop and mask the rootful engine",
        "context",
    ):
        assert word in said
    written = {file["path"] for file in plan.apply["files"]}
    assert {texts.UNIT, texts.ENABLED, texts.WRAPPER, texts.delegation(None), texts.MODULES, texts.LOGIN} == written
    assert plan.daemon_keys == {"runtimes": {"bulkhead": {"path": texts.WRAPPER}}, "default-runtime": "bulkhead"}


def test_a_settled_host_needs_nothing() -> None:
    plan = planned(settled())
    assert (plan.changes, plan.refusals, plan.warnings) == ([], [], [])


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"rootless_docker_user": "root"}, "rootless_docker_user: root is the user"),
        ({"rootless_docker_user": "a b"}, "rootless_docker_user: 'a b' is no user's name"),
        ({"userns_remap_layer": "required"}, "write userns_remap_layer: disabled for this host"),
        ({"docker_daemon_options": {"userns-remap": "default"}}, "docker_daemon_options['userns-remap']"),
        ({"rootless_docker_range_size": 1000}, "rootless_docker_range_size: 1000 is too few"),
        ({"rootless_docker_range_start": 5}, "rootless_docker_range_start: 5 lies among"),
        ({"rootless_docker_first_port": 8080}, "rootless_docker_first_port: 8080 is no such port"),
        ({"rootless_docker_apparmor_profile": "mine"}, "rootless_docker_apparmor_profile: mine is not in apparmor_profiles_list"),
    ],
)
def test_bad_input_is_one_sentence(wanted: dict[str, Any], sentence: str) -> None:
    refusals = planned(virgin(), **wanted).refusals
    assert len(refusals) == 1 and sentence in refusals[0]


@pytest.mark.parametrize(
    ("here", "wanted", "sentence"),
    [
        ({"script": None}, {}, "there is no dockerd-rootless.sh"),
        ({"user_bus": False}, {"rootless_docker_install_packages": False}, "dbus-user-session: missing on this host"),
        ({}, {"rootless_docker_create_user": False}, "there is no user rootless on this host"),
        ({"files": {texts.UNIT: {"text": "mine", "mode": 0o644, "uid": 0}}}, {}, f"{texts.UNIT}: is somebody else's"),
        ({"state": {"user": "old", "files": []}}, {}, "this host has the engine of old"),
        ({"error": "/var/lib/bulkhead/rootless.json: not valid JSON"}, {}, "not valid JSON"),
        ({"unprivileged_userns": False}, {}, "unprivileged_userns_clone is 0"),
    ],
)
def test_what_stands_in_the_way(here: dict[str, Any], wanted: dict[str, Any], sentence: str) -> None:
    refusals = planned(virgin(**here), **wanted).refusals
    assert any(sentence in text for text in refusals), refusals


def test_containers_of_the_rootful_engine_are_not_stopped_unasked() -> None:
    host = virgin(rootful={"pid": 7, "present": ["docker.service"], "masked": [], "listening": True, "containers": ["web", "db"]})
    assert "these containers run in it: web, db" in planned(host).refusals[0]
    allowed = planned(host, rootless_docker_stop_containers=True)
    assert not allowed.refusals and "with it: web, db" in allowed.effects[0]
    kept = planned(host, rootless_docker_disable_rootful=False)
    assert not kept.refusals and "kept beside" in kept.warnings[0]


def test_missing_tools_become_packages() -> None:
    host = virgin(tools={"pasta": None}, user_bus=False)
    assert planned(host).apply["packages"] == ["dbus-user-session", "rootlesskit", "slirp4netns", "uidmap"]
    old = virgin(tools={"newuidmap": "x", "newgidmap": "x", "rootlesskit": "x", "pasta": "x"})
    old["system"]["kernel"] = "5.10.0-1"
    plan = planned(old)
    assert plan.apply["packages"] == ["fuse-overlayfs"]
    assert any("ROOTLESSKIT_NET=pasta" in file["content"] for file in plan.apply["files"])
    docker_ce = virgin(script=None, tools={"newuidmap": "x", "newgidmap": "x", "slirp4netns": "x"})
    docker_ce["engine"]["package"] = "docker-ce"
    assert planned(docker_ce).apply["packages"] == ["docker-ce-rootless-extras"]


def test_a_unit_of_the_users_own_stays() -> None:
    plan = planned(virgin(own_unit="/home/rootless/.config/systemd/user/docker.service"))
    assert texts.UNIT not in {file["path"] for file in plan.apply["files"]}
    assert "is used as it is" in plan.notices[0]


def test_without_apparmor_there_is_no_runtime_of_ours() -> None:
    host = virgin()
    host["layers"]["apparmor"]["enabled"] = False
    for plan in (
        planned(host),
        planned(virgin(), rootless_docker_apparmor_profile=""),
        planned(virgin(), apparmor_profiles_layer="disabled"),
    ):
        assert plan.daemon_keys == {} and texts.WRAPPER not in {file["path"] for file in plan.apply["files"]}


def test_ubuntus_restriction_gets_a_profile_for_rootlesskit() -> None:
    host = virgin(restrict_userns=True)
    assert texts.ROOTLESSKIT in {file["path"] for file in planned(host).apply["files"]}
    host["layers"]["apparmor"]["modes"] = {"rootlesskit": "unconfined"}
    assert texts.ROOTLESSKIT not in {file["path"] for file in planned(host).apply["files"]}


def test_what_is_not_ours_is_not_taken_back() -> None:
    plan = planned(virgin(), rootless_docker_layer="disabled")
    assert (plan.changes, plan.apply) == ([], {})


def test_taking_back_leaves_the_users_data() -> None:
    plan = planned(settled(), rootless_docker_layer="disabled")
    assert plan.apply == {"state": "absent", "user": "rootless", "stop_containers": False, "timeout": 300}
    assert "the user rootless stays" in plan.notices[0]
    host = settled(containers=["ab" * 32])
    assert "1 containers run in it" in planned(host, rootless_docker_layer="disabled").refusals[0]
    assert not planned(host, rootless_docker_layer="disabled", rootless_docker_stop_containers=True).refusals


@pytest.mark.parametrize(("requirement", "refused"), [("required", True), ("optional", False), ("disabled", False)])
def test_userns_remap_is_not_for_a_rootless_engine(requirement: str, refused: bool) -> None:
    plan = userns.plan(settled(), {**WANTED, "userns_remap_layer": requirement})
    assert bool(plan.refusals) == refused
    assert plan.applicable == (requirement == "disabled")
    assert plan.changes == [] and plan.daemon_keys == {}


def test_the_default_profile_is_added_once() -> None:
    listed = room.complete(WANTED)
    assert [entry["name"] for entry in listed] == ["bulkhead-rootless"]
    assert room.complete({**WANTED, "apparmor_profiles_list": listed}) == listed
    assert room.complete({**WANTED, "rootless_docker_layer": "disabled"}) == []
    assert room.complete({**WANTED, "apparmor_profiles_layer": "disabled"}) == []


def test_expectation() -> None:
    found = room.expectation(WANTED)
    assert (found["user"], found["profile"], found["wrapper"]["path"]) == (USER.user, "bulkhead-rootless", texts.WRAPPER)
    assert room.expectation({**WANTED, "rootless_docker_layer": "disabled"}) == {"user": None}
