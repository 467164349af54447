# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rootless engine: the changes of a new host, the blockers, and no change for a configured host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless import plan as rootless_plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns import plan as userns
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import managed_files, names, rendering

from .rootless_host import DESIRED, USER, settled, virgin


def planned(host: dict[str, Any], **desired: Any) -> Any:
    return rootless_plan.plan(host, {**DESIRED, **desired})


def test_new_host_gets_everything() -> None:
    plan = planned(virgin())
    assert plan.blockers == []
    said = "; ".join(change.summary for change in plan.changes)
    for word in (
        "create user rootless",
        "/etc/subuid: add rootless:296608:65536",
        "enable lingering",
        "stop and mask the rootful engine",
        "context",
    ):
        assert word in said
    written = {file["path"] for file in plan.apply["files"]}
    assert {names.UNIT, names.ENABLED, names.WRAPPER, names.build_delegation_path(None), names.MODULES, names.LOGIN} == written
    assert plan.daemon_keys == {"runtimes": {"bulkhead": {"path": names.WRAPPER}}, "default-runtime": "bulkhead"}


@pytest.mark.parametrize(("sources", "blocked"), [([], False), (["files", "sss"], False), (["sss"], True), (["sss", "files"], True)])
def test_range_in_files_that_newuidmap_ignores_is_blocked(sources: list[str], blocked: bool) -> None:
    host = virgin()
    host["layers"]["userns"]["subid_sources"] = sources
    messages = planned(host).blockers
    assert [text.partition(";")[0] for text in messages] == (
        [f"/etc/nsswitch.conf names sss for subid, so newuidmap ignores {path}" for path in ("/etc/subuid", "/etc/subgid")]
        if blocked
        else []
    )
    host = settled()
    host["layers"]["userns"]["subid_sources"] = sources
    assert planned(host).blockers == [], "nothing is added"


@pytest.mark.parametrize(
    ("line", "blocked"), [("rootless:296608:65536 ", True), ("rootless:296608:65536\r", True), ("other:1:2 \r", False)]
)
def test_a_range_that_newuidmap_rejects_is_blocked(line: str, blocked: bool) -> None:
    """podman#21071: the rootful engine was masked, and the rootless one did not start."""
    host = settled()
    host["layers"]["userns"]["subuid"]["text"] = line + "\n" + ("" if blocked else host["layers"]["userns"]["subuid"]["text"])
    blockers = planned(host).blockers
    assert bool(blockers) is blocked
    assert not blocked or blockers[0].startswith("/etc/subuid:1 (rootless:296608:65536) has a blank or carriage return before or after it")


def test_new_range_is_outside_the_range_of_winbind() -> None:
    host = virgin()
    host["layers"]["userns"]["id_files"] = {"/etc/samba/smb.conf": ["idmap config * : range = 290000-370000"]}
    plan = planned(host)
    assert (plan.blockers, plan.apply["range"]["start"]) == ([], 427680)
    assert any("/etc/samba/smb.conf" in text for text in plan.notices)
    (warning,) = [text for text in planned(host, rootless_docker_range_start=300000).warnings if "smb.conf" in text]
    assert "write another rootless_docker_range_start" in warning


def test_user_of_a_directory_service_is_not_created() -> None:
    """The name services found it (engine/instance.py), and /etc/passwd does not have it."""
    host = settled()
    host["layers"]["userns"]["uids"].pop("rootless", None)
    plan = planned(host)
    assert (plan.changes, plan.blockers) == ([], [])


@pytest.mark.parametrize("name", ["alice@corp.example", "CORP\\alice", "a" * 40])
def test_names_of_a_directory_service(name: str) -> None:
    host = virgin()
    host["instance"] = {"user": name, "uid": 70001, "gid": 70001, "home": "/home/x"}
    found = planned(host, rootless_docker_user=name)
    assert found.blockers == []
    text = {file["path"]: file["content"] for file in found.apply["files"]}
    # The ID needs no quotes in the unit and in the script.
    plain = "@" not in name and "\\" not in name
    assert f"\nConditionUser={name if plain else 70001}\n" in text[names.UNIT]
    assert ('"$(id -u)" = 70001 ]' in text[names.LOGIN]) is not plain


def test_linger_file_of_a_name_with_a_backslash() -> None:
    assert names.build_linger_path("CORP\\alice") == "/var/lib/systemd/linger/CORP\\\\alice"
    assert names.build_linger_path("alice@corp.example") == "/var/lib/systemd/linger/alice@corp.example"


def test_complete_host_needs_no_change() -> None:
    plan = planned(settled())
    assert (plan.changes, plan.blockers, plan.warnings) == ([], [], [])


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        ({"rootless_docker_user": "root"}, "rootless_docker_user: a rootless engine of root"),
        ({"rootless_docker_user": "a b"}, "rootless_docker_user: 'a b' contains ' ', which unit files and shells read as something else"),
        ({"rootless_docker_user": "a/b"}, "contains '/', which separates folders"),
        ({"rootless_docker_user": "a:b"}, "contains ':', which separates fields in /etc/subuid"),
        ({"rootless_docker_user": "a%i"}, "contains '%', which begins a specifier in the unit"),
        ({"rootless_docker_user": "1000"}, "is not a user name"),
        ({"rootless_docker_user": "-a"}, "is not a user name"),
        ({"rootless_docker_user": "alice@corp"}, "this host does not know the user (getent passwd); join the host to the service first"),
        ({"userns_remap_layer": "required"}, "write userns_remap_layer: disabled for this host"),
        ({"docker_daemon_options": {"userns-remap": "default"}}, "docker_daemon_options['userns-remap']"),
        ({"rootless_docker_range_size": 1000}, "rootless_docker_range_size: 1000 is too few"),
        ({"rootless_docker_range_start": 5}, "rootless_docker_range_start: 5 is among"),
        ({"rootless_docker_first_port": 8080}, "rootless_docker_first_port: 8080 is not valid"),
        ({"rootless_docker_apparmor_profile": "mine"}, "rootless_docker_apparmor_profile: mine is not in apparmor_profiles_list"),
    ],
)
def test_bad_input_is_one_message(desired: dict[str, Any], message: str) -> None:
    blockers = planned(virgin(), **desired).blockers
    assert len(blockers) == 1 and message in blockers[0]


@pytest.mark.parametrize(
    ("here", "desired", "message"),
    [
        ({"script": None}, {}, "dockerd-rootless.sh was not found"),
        ({"user_bus": False}, {"rootless_docker_install_packages": False}, "dbus-user-session: missing on this host"),
        ({}, {"rootless_docker_create_user": False}, "the user rootless does not exist on this host"),
        ({"files": {names.UNIT: {"text": "mine", "mode": 0o644, "uid": 0}}}, {}, f"{names.UNIT}: has other content"),
        ({"state": {"user": "old", "files": []}}, {}, "this host has the engine of old"),
        ({"error": "/var/lib/bulkhead/rootless.json: not valid JSON"}, {}, "not valid JSON"),
        ({"unprivileged_userns": False}, {}, "unprivileged_userns_clone is 0"),
    ],
)
def test_host_blockers(here: dict[str, Any], desired: dict[str, Any], message: str) -> None:
    blockers = planned(virgin(**here), **desired).blockers
    assert any(message in text for text in blockers), blockers


def test_rootful_containers_are_not_stopped_unasked() -> None:
    host = virgin(rootful={"pid": 7, "present": ["docker.service"], "masked": [], "listening": True, "containers": ["web", "db"]})
    assert "these containers run in it: web, db" in planned(host).blockers[0]
    allowed = planned(host, rootless_docker_stop_containers=True)
    assert not allowed.blockers and "with it: web, db" in allowed.effects[0]
    kept = planned(host, rootless_docker_disable_rootful=False)
    assert not kept.blockers and "next to the rootless one" in kept.warnings[0]


def test_rootful_engine_is_restored_when_kept() -> None:
    kept = planned(settled(), rootless_docker_disable_rootful=False)
    assert [change.summary for change in kept.changes] == ["unmask the rootful engine, and start it if it ran before"]
    host = settled()
    del host["layers"]["rootless"]["state"]["rootful"]
    assert planned(host, rootless_docker_disable_rootful=False).changes == []


def test_missing_tools_become_packages() -> None:
    host = virgin(tools={"pasta": None}, user_bus=False)
    assert planned(host).apply["packages"] == ["dbus-user-session", "passwd", "rootlesskit", "slirp4netns", "uidmap"]
    old = virgin()
    old["system"]["kernel"] = "5.10.0-1"
    old["layers"]["rootless"]["tools"]["fuse-overlayfs"] = None
    assert planned(old).apply["packages"] == ["fuse-overlayfs"]
    docker_ce = virgin(script=None, tools={"newuidmap": "x", "newgidmap": "x", "slirp4netns": "x", "useradd": "x"})
    docker_ce["engine"]["package"] = "docker-ce"
    assert planned(docker_ce).apply["packages"] == ["docker-ce-rootless-extras"]


PASTA = {"newuidmap": "x", "newgidmap": "x", "rootlesskit": "/usr/bin/rootlesskit", "pasta": "x", "useradd": "x"}


@pytest.mark.parametrize(
    ("tools", "takes_pasta", "choice", "packages", "driver"),
    [
        (PASTA, True, "auto", [], "NET=pasta"),
        (PASTA, False, "auto", ["slirp4netns"], ""),
        (PASTA | {"slirp4netns": "x"}, True, "auto", [], ""),
        (PASTA | {"slirp4netns": "x"}, True, "pasta", [], "NET=pasta"),
        (PASTA, True, "slirp4netns", ["slirp4netns"], "NET=slirp4netns"),
        (PASTA | {"pasta": None}, False, "pasta", ["passt"], "NET=pasta"),
    ],
)
def test_the_networks_driver(tools: dict[str, Any], takes_pasta: bool, choice: str, packages: list[str], driver: str) -> None:
    plan = planned(virgin(tools=tools, takes_pasta=takes_pasta), rootless_docker_network=choice)
    (unit,) = (file["content"] for file in plan.apply["files"] if file["path"] == names.UNIT)
    assert (plan.blockers, plan.apply["packages"]) == ([], packages)
    assert f"ROOTLESSKIT_{driver}\n" in unit if driver else "ROOTLESSKIT" not in unit
    assert ("PORT_DRIVER=implicit" in unit) == (driver == "NET=pasta")


def test_pasta_needs_support_in_rootlesskit() -> None:
    (blocker,) = planned(virgin(tools=PASTA), rootless_docker_network="pasta").blockers
    assert blocker.startswith("rootless_docker_network: pasta, but /usr/bin/rootlesskit of this host does not support it")


def test_changed_first_port_is_set_again() -> None:
    host = settled(first_port="1024")
    texts_of = [change.path for change in planned(host, rootless_docker_first_port=80).changes]
    assert names.FIRST_PORT in texts_of
    host["layers"]["rootless"]["first_port"] = "80"
    assert names.FIRST_PORT not in [change.path for change in planned(host, rootless_docker_first_port=80).changes]


def test_context_with_another_address_is_kept() -> None:
    host = settled()
    host["layers"]["rootless"]["context"] = {"meta": False, "elsewhere": "tcp://far", "current": "default", "error": None}
    plan = planned(host)
    assert plan.changes == [] and "has the address tcp://far" in plan.notices[0]


def test_own_unit_is_kept() -> None:
    plan = planned(virgin(own_unit="/home/rootless/.config/systemd/user/docker.service"))
    assert names.UNIT not in {file["path"] for file in plan.apply["files"]}
    assert "is used as it is" in plan.notices[0]


def test_no_wrapper_without_apparmor() -> None:
    host = virgin()
    host["layers"]["apparmor"]["enabled"] = False
    for plan in (
        planned(host),
        planned(virgin(), rootless_docker_apparmor_profile=""),
        planned(virgin(), apparmor_profiles_layer="disabled"),
    ):
        assert plan.daemon_keys == {} and names.WRAPPER not in {file["path"] for file in plan.apply["files"]}


def test_userns_restriction_needs_a_rootlesskit_profile() -> None:
    host = virgin(restrict_userns=True)
    assert names.ROOTLESSKIT in {file["path"] for file in planned(host).apply["files"]}
    host["layers"]["apparmor"]["modes"] = {"rootlesskit": "unconfined"}
    assert names.ROOTLESSKIT not in {file["path"] for file in planned(host).apply["files"]}
    # The distribution's profile is for its own path.
    host["layers"]["rootless"]["tools"]["rootlesskit"] = "/usr/local/bin/rootlesskit"
    (profile,) = (file["content"] for file in planned(host).apply["files"] if file["path"] == names.ROOTLESSKIT)
    assert "profile bulkhead-rootlesskit /usr/local/bin/rootlesskit flags=(unconfined) {\n  userns,\n}" in profile


def test_unfinished_steps_are_changes() -> None:
    host = settled(restrict_userns=True)
    kit = managed_files.ManagedFile(names.ROOTLESSKIT, rendering.render_rootlesskit_profile("/usr/bin/rootlesskit"))
    here = host["layers"]["rootless"]
    here["files"][kit.path] = {"text": kit.content, "mode": kit.mode, "uid": 0}
    here["state"]["files"].append(kit.path)
    host["layers"]["apparmor"]["modes"] = {"docker-default": "enforce", names.PROFILE: "unconfined"}
    assert rootless_plan.plan(host, DESIRED).changes == []
    host["layers"]["apparmor"]["modes"] = {"docker-default": "enforce"}
    here["state"]["stopped"] = [{"id": "1", "name": "web"}]
    assert [change.summary for change in rootless_plan.plan(host, DESIRED).changes] == [
        "load the profile bulkhead-rootlesskit",
        "start what an interrupted run stopped: web",
    ]


def test_unmanaged_ranges_are_not_removed() -> None:
    plan = planned(virgin(), rootless_docker_layer="disabled")
    assert (plan.changes, plan.apply) == ([], {})


def test_removal_keeps_user_data() -> None:
    plan = planned(settled(), rootless_docker_layer="disabled")
    assert plan.apply == {"state": "absent", "user": "rootless", "stop_containers": False, "timeout": 300}
    assert (
        "the user rootless and its subordinate ranges are kept" in plan.notices[0]
        and "remove them and create them again" in plan.notices[1]
    )
    host = settled(containers=["ab" * 32])
    assert "1 containers run in it" in planned(host, rootless_docker_layer="disabled").blockers[0]
    assert not planned(host, rootless_docker_layer="disabled", rootless_docker_stop_containers=True).blockers


@pytest.mark.parametrize(("requirement", "is_blocked"), [("required", True), ("optional", False), ("disabled", False)])
def test_userns_remap_excludes_rootless(requirement: str, is_blocked: bool) -> None:
    plan = userns.plan(settled(), {**DESIRED, "userns_remap_layer": requirement})
    assert bool(plan.blockers) == is_blocked
    assert plan.applicable == (requirement == "disabled")
    assert plan.changes == [] and plan.daemon_keys == {}


def test_the_default_profile_is_added_once() -> None:
    listed = rootless_plan.add_default_profile(DESIRED)
    assert [entry["name"] for entry in listed] == ["bulkhead-rootless"]
    assert rootless_plan.add_default_profile({**DESIRED, "apparmor_profiles_list": listed}) == listed
    assert rootless_plan.add_default_profile({**DESIRED, "rootless_docker_layer": "disabled"}) == []
    assert rootless_plan.add_default_profile({**DESIRED, "apparmor_profiles_layer": "disabled"}) == []


def test_containers_that_stop_with_the_engine() -> None:
    host, off = settled(containers=["ab" * 32]), {**DESIRED, "rootless_docker_layer": "disabled"}
    assert rootless_plan.list_stopping_containers(host, {**off, "rootless_docker_stop_containers": True}) == {"ab" * 32}
    assert (
        rootless_plan.list_stopping_containers(host, off)
        == rootless_plan.list_stopping_containers(host, {**DESIRED, "rootless_docker_stop_containers": True})
        == set()
    )
    assert rootless_plan.list_stopping_containers(virgin(containers=["ab" * 32]), {**off, "rootless_docker_stop_containers": True}) == set()


def test_missing_profile_is_a_blocker() -> None:
    host = virgin()
    assert "bulkhead-rootless, is not loaded" in rootless_plan.explain_missing_profile(host, DESIRED)
    assert rootless_plan.explain_missing_profile(host, {**DESIRED, "rootless_docker_apparmor_profile": ""}) == ""
    host["layers"]["apparmor"]["modes"] = {"bulkhead-rootless": "enforce"}
    assert rootless_plan.explain_missing_profile(host, DESIRED) == ""
    assert rootless_plan.explain_missing_profile({"layers": {"apparmor": {"enabled": False}}}, DESIRED) == ""


def test_expectation() -> None:
    found = rootless_plan.expectation(DESIRED)
    assert (found["user"], found["profile"], found["wrapper"]["path"]) == (USER.user, "bulkhead-rootless", names.WRAPPER)
    assert rootless_plan.expectation({**DESIRED, "rootless_docker_layer": "disabled"}) == {"user": None}
