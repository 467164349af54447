# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.formatting import format_contents, format_size
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns.plan_switch import build_chown_command

from .userns_host import CONTENTS, DEBIAN, DESIRED, LINE, observed, seen, with_user

MANAGED = {"users": {"dockremap": {"/etc/subuid": [[231072, 65536]], "/etc/subgid": [[231072, 65536]], "user": True}}}
REMAPPED = {"remapped": "231072.231072"}
ROOT_ON_DISK = [
    {"path": "/var/lib/docker", "remapped": None, "containers": 0, "volumes": 0, "images": 0},
    {"path": "/var/lib/docker/231072.231072", "remapped": "231072.231072", "containers": 1, "volumes": 0, "images": 2},
]
PATH = "/etc/docker/daemon.json"
MANAGED_KEY = {
    "daemon_json": {"path": PATH},
    "managed": {"files": {PATH: {"keys": {"/userns-remap": {"value": "default"}}}}},
}


def desired(**more: Any) -> dict[str, Any]:
    return {**DESIRED, **{f"userns_remap_{key}": value for key, value in more.items()}}


def test_new_host() -> None:
    found = plan(observed(), DESIRED)
    assert found.blockers == []
    assert found.daemon_keys == {"userns-remap": "default"}
    assert [(change.path, change.before, change.after) for change in found.changes] == [
        ("/etc/passwd", "", "dockremap\n"),
        ("/etc/subuid", DEBIAN, DEBIAN + LINE),
        ("/etc/subgid", DEBIAN, DEBIAN + LINE),
    ]
    assert found.changes[1].summary == "/etc/subuid: add dockremap:231072:65536"
    assert found.apply == {
        "subject": "userns",
        "ranges": [
            {
                "user": "dockremap",
                "group": "dockremap",
                "start": 231072,
                "size": 65536,
                "exact": False,
                "create": True,
                "state": "present",
            }
        ],
    }
    assert len(found.effects) == 1


def test_host_in_desired_state() -> None:
    found = plan(observed(with_user(state=MANAGED), **REMAPPED, contents=CONTENTS, live_restore=True), DESIRED)
    assert (found.blockers, found.warnings, found.changes, found.effects) == ([], [], [], [])
    assert found.daemon_keys == {"userns-remap": "default"}


@pytest.mark.parametrize(
    ("setting", "here", "value", "group"),
    [
        ("default", seen(), "default", "dockremap"),
        ("dockremap", seen(), "dockremap", "dockremap"),
        ("default", seen(configured="dockremap"), "dockremap", "dockremap"),
        ("dockremap", seen(configured="default"), "default", "dockremap"),
        ("alice", seen(), "alice", None),
        ("alice", seen(gids={"users": 1000}), "alice:users", "users"),
        ("alice:users", seen(), "alice:users", "users"),
        ("mapper", seen(), "mapper", None),
        ("mapper:maps", seen(), "mapper:maps", "maps"),
    ],
)
def test_the_value_of_the_key(setting: str, here: dict[str, Any], value: str, group: str | None) -> None:
    found = plan(observed(here), desired(user=setting))
    assert found.blockers == []
    assert found.daemon_keys == {"userns-remap": value}
    assert found.apply["ranges"][0]["group"] == group


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"user": "root"}, "userns_remap_user: root cannot be remapped to itself"),
        ({"user": "0"}, "userns_remap_user: root"),
        ({"user": "00"}, "userns_remap_user: root"),
        ({"user": "1001"}, "userns_remap_user: 1001: no user has the ID 1001 on this host (getent passwd 1001)"),
        ({"user": "alice:1001"}, "userns_remap_user: alice:1001: no group has the ID 1001 on this host (getent group 1001)"),
        ({"user": ""}, "userns_remap_user: '' is not a user"),
        ({"user": "two words"}, "userns_remap_user: 'two words' is not a user"),
        ({"user": "alice:"}, "userns_remap_user: 'alice:' is not a user"),
        ({"user": "a:b:c"}, "userns_remap_user: 'a:b:c' is not a user"),
        ({"user": "-x"}, "userns_remap_user: '-x' is not a user"),
        ({"range_size": 1000}, "userns_remap_range_size: 1000 is too few"),
        ({"range_size": 0}, "userns_remap_range_size: 0 is too few"),
        ({"scan_timeout": 0}, "userns_remap_scan_timeout: 0 is not a number of seconds"),
        ({"range_start": 1000}, "userns_remap_range_start: 1000 is among the host's own accounts"),
        ({"range_start": -1}, "userns_remap_range_start: -1 is among"),
        ({"range_start": 4294967000}, "userns_remap_range_start: 4294967000, with userns_remap_range_size 65536"),
        (
            {"range_start": 100000, "range_exact": True},
            "100000:65536 cannot be allocated to dockremap: /etc/subuid:1 (alice:100000:65536) has IDs of it; "
            "write another userns_remap_range_start",
        ),
    ],
)
def test_bad_input(variables: dict[str, Any], message: str) -> None:
    found = plan(observed(), desired(**variables))
    assert len(found.blockers) == 1
    assert message in found.blockers[0]
    assert not found.changes
    assert not found.daemon_keys


@pytest.mark.parametrize(
    ("here", "message"),
    [
        (seen("dockremap:231072:65536\nb:296607:65536\n"), "/etc/subuid:1 (dockremap:231072:65536) overlaps /etc/subuid:2"),
        (seen("#" + "x" * 65535 + "\n"), "has 65536 bytes or more; shorten it; no engine starts under userns-remap with such a line"),
        (seen("dockremap:231072:1000\n"), "/etc/subuid gives dockremap 1000 IDs, too few"),
        (seen("dockremap:x:65536\n"), "/etc/subuid:1 (dockremap:x:65536) has the start 'x'"),
        (seen("some words\n"), "/etc/subuid:1 (some words) has 1 fields"),
        (seen("dockremap:65000:65536\n"), "contains the ID of the user nobody"),
        (seen(unreadable={"/etc/subuid": "Permission denied"}), "/etc/subuid cannot be read: Permission denied"),
        (seen(max_user_namespaces=0), "/proc/sys/user/max_user_namespaces is 0"),
        (seen(max_user_namespaces=None), "no user namespaces"),
        (seen(host_namespace=None), "no user namespaces"),
    ],
)
def test_host_blockers(here: dict[str, Any], message: str) -> None:
    found = plan(observed(here), DESIRED)
    assert any(message in blocker for blocker in found.blockers), found.blockers
    assert not found.changes


def test_optional_on_unsupported_host() -> None:
    found = plan(observed(seen(max_user_namespaces=0)), desired(layer="optional"))
    assert found.blockers == []
    assert not found.applicable
    assert not found.daemon_keys


def test_malformed_line_since_engine_28() -> None:
    found = plan(observed(seen("some words\n"), version="28.5.2"), DESIRED)
    assert found.blockers == []
    assert any("/etc/subuid:1 (some words)" in text for text in found.notices)
    assert found.warnings == []
    assert found.changes[1].after == "some words\n" + LINE


def test_sssd_is_warned_of() -> None:
    assert "sssd" in plan(observed(seen(id_files={"/etc/sssd/sssd.conf": ["[sssd]"]})), DESIRED).warnings[0]


def test_directory_services_are_warned_of() -> None:
    silent = seen(
        id_files={"/etc/sssd/sssd.conf": ["[sssd]"]},
        directory={"uids": {}, "gids": {}, "unchecked": ["sss for passwd: it lists no account, and it may have some"]},
    )
    assert ["it lists no account" in text for text in plan(observed(silent), DESIRED).warnings] == [True]
    (warning,) = plan(observed(seen(subid_sources=["sss"])), DESIRED).warnings
    assert "names sss for subid" in warning and "getsubids" in warning
    assert plan(observed(seen(subid_sources=["files"])), DESIRED).warnings == []
    settled = with_user(subid_sources=["sss"])
    assert plan(observed(settled, remapped="231072.231072"), DESIRED).warnings == [], "no range is added"


def test_new_range_avoids_accounts_of_a_directory() -> None:
    result = plan(observed(seen(directory={"uids": {"ann": 240000}, "gids": {}, "unchecked": []})), DESIRED)
    assert any("the user ann has the ID 240000" in text for text in result.notices)
    assert "dockremap:296608:65536" in "".join(change.after for change in result.changes)


# --- users and groups by ID, and those of directory services ---

ALICE = "alice:231072:65536\n"


@pytest.mark.parametrize(
    ("setting", "configured", "value"),
    [
        ("1000", None, "1000"),
        ("1000:1000", None, "1000:1000"),
        ("alice:100", None, "alice:100"),
        ("+1000", None, "+1000"),
        ("alice", "1000", "1000"),  # the same user, so nothing changes
        ("1000", "alice:alice", "alice:alice"),
        ("alice", "alice:100", "alice:100"),
    ],
)
def test_ids_are_resolved_as_the_engine_does(setting: str, configured: str | None, value: str) -> None:
    """moby#39353, moby#20751; moby daemon/daemon_unix.go, parseRemappedRoot."""
    found = plan(observed(seen(ALICE, configured=configured), remapped="231072.231072"), desired(user=setting))
    assert (found.blockers, found.changes, found.daemon_keys) == ([], [], {"userns-remap": value})
    assert found.apply["ranges"][0]["user"] == "alice"


def test_id_whose_group_does_not_exist_gets_the_primary_group() -> None:
    """dockerd wants a group with the same ID as the user, and would not start."""
    here = seen("bob:231072:65536\n", named={"users": {"1001": ["bob", 1001, 100]}, "groups": {"1001": [], "100": ["users", 100]}})
    assert plan(observed(here), desired(user="1001")).daemon_keys == {"userns-remap": "1001:users"}


def test_data_of_a_stopped_engine_whose_user_is_an_id() -> None:
    """The root of the engine is 231072.231072 now, and another user would hide it."""
    here = seen(ALICE, configured="1000", roots=ROOT_ON_DISK)
    assert any("231072.231072 to" in text for text in plan(observed(here, running=False, contents=None), DESIRED).blockers)
    assert plan(observed(here, running=False, contents=None), desired(user="alice")).blockers == []


def test_range_of_a_user_configured_by_id_is_not_removed() -> None:
    memory = {"users": {"alice": {"/etc/subuid": [[231072, 65536]], "/etc/subgid": [[231072, 65536]]}}}
    here = seen(ALICE, configured="1000", state=memory)
    found = plan(observed(here, running=False, contents=None), desired(layer="disabled"))
    assert (found.changes, found.apply) == ([], {})


@pytest.mark.parametrize("asked", ["ann", "Ann", "ann@corp.example", "CORP\\ann", "240000000"])
def test_user_of_a_directory_service_is_not_created(asked: str) -> None:
    """moby#20191: getent finds it, and /etc/passwd does not have it."""
    here = seen(named={"users": {asked: ["ann", 240000000, 240000000]}, "groups": {asked: ["ann", 240000000]}})
    found = plan(observed(here), desired(user=asked))
    assert found.blockers == []
    assert [change.path for change in found.changes] == ["/etc/subuid", "/etc/subgid"]
    assert "ann:231072:65536" in found.changes[0].after
    assert found.daemon_keys == {"userns-remap": asked}


# --- what would become invisible ---


@pytest.mark.parametrize(
    ("here", "engine", "message"),
    [
        (
            seen(),
            {"contents": CONTENTS},
            "the engine's data root changes from /var/lib/docker to /var/lib/docker/231072.231072, and 2 images (nginx:1, redis:7; 200 MB), "
            "2 containers (web running, db exited), 1 volume (data) would become invisible; set userns_remap_existing_data: migrate",
        ),
        (seen(), {"contents": CONTENTS}, "userns_remap_existing_data: migrate to copy them"),
        (
            seen(),
            {"contents": CONTENTS, "orphans": [{"id": "c" * 64, "uid_map": [[0, 0, 4294967295]]}]},
            "the engine does not list: cccccccccccc",
        ),
        (seen(), {"contents": None, "error": "timed out"}, "its content is not known: timed out"),
        # the remapped root itself moves
        (with_user(), {"remapped": "500000.500000", "contents": CONTENTS}, "from /var/lib/docker/500000.500000 to"),
        (with_user(), {"remapped": "231072.100000", "contents": CONTENTS}, "from /var/lib/docker/231072.100000 to"),
        # an engine that does not run, judged by the files on disk
        (
            seen(roots=[{**ROOT_ON_DISK[1], "remapped": None}]),
            {"running": False, "contents": None},
            "2 images, 1 container would become invisible",
        ),
        (
            seen(
                "dockremap:231072:65536\nmapper:400000:65536\n",
                configured="mapper",
                roots=[{**ROOT_ON_DISK[1], "remapped": "400000.400000"}],
            ),
            {"running": False},
            "from /var/lib/docker/400000.400000 to /var/lib/docker/231072.231072",
        ),
    ],
)
def test_existing_data_is_a_blocker(here: dict[str, Any], engine: dict[str, Any], message: str) -> None:
    found = plan(observed(here, **engine), DESIRED)
    assert any(message in blocker for blocker in found.blockers), found.blockers
    assert not found.changes
    assert not found.daemon_keys


@pytest.mark.parametrize(("others", "containers", "blocked"), [(["plugins/c1", "backup"], 0, True), ([], 0, False), (["backup"], 1, False)])
def test_migration_into_a_root_with_something_else_is_blocked(others: list[str], containers: int, blocked: bool) -> None:
    """A root with data is judged on the host, which knows an interrupted migration."""
    path = "/var/lib/docker/231072.231072"
    root = {"path": path, "remapped": "231072.231072", "others": others, "containers": containers, "volumes": 0, "images": 0}
    found = plan(observed(seen(roots=[root]), contents={**CONTENTS, "containers": []}), desired(existing_data="migrate"))
    message = f"{path} has no image, container, volume or network, but it holds plugins/c1, backup"
    assert [message in text for text in found.blockers] == ([True] if blocked else [])


def test_migrate_is_planned() -> None:
    web = {"name": "web", "state": "exited"}
    found = plan(observed(contents={**CONTENTS, "containers": [web]}), desired(existing_data="migrate"))
    assert found.blockers == []
    assert found.apply["migrate"] is True
    assert found.apply["uid_map"] == found.apply["gid_map"] == [[0, 231072, 65536]]
    assert any("are migrated" in notice for notice in found.notices)


def test_chown_command_for_bind_mounts(tmp_path: Path) -> None:
    """With a chown that only says what it would do: who runs the tests need not be root."""
    folder, programs = tmp_path / "the data", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    (folder / "file").write_text("")
    (folder / "file").chmod(0o4711)
    (folder / "again").hardlink_to(folder / "file")
    for name, text in (
        ("chown", 'echo "$@"'),
        ("stat", 'case "$3" in */file) echo 1000 33 4711;; */again) echo 232072 33 4711;; *) echo 0 0 755;; esac'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    command = build_chown_command(str(folder), ([[0, 231072, 65536]], [[0, 300000, 65536]]))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [f"-h 231072:300000 {folder}", f"-h 232072:300033 {folder}/file"]
    assert (folder / "file").stat().st_mode & 0o7777 == 0o4711


@pytest.mark.parametrize(
    ("engine", "more", "message"),
    [
        ({"running": False}, {}, "start it, then migrate"),
        ({"contents": CONTENTS}, {"docker_daemon_restart": False}, "docker_daemon_restart: false would leave the switch"),
        ({"contents": CONTENTS, "remapped": "500000.500000"}, {}, "would become invisible"),
    ],
)
def test_migration_blockers(engine: dict[str, Any], more: dict[str, Any], message: str) -> None:
    here = seen(roots=[{**ROOT_ON_DISK[1], "remapped": None}]) if engine.get("running") is False else seen()
    found = plan(observed(here, **engine), {**desired(existing_data="migrate"), **more})
    assert any(message in blocker for blocker in found.blockers), found.blockers
    assert not found.apply.get("migrate")


def test_hide_is_planned() -> None:
    found = plan(observed(contents=CONTENTS), desired(existing_data="hide"))
    assert found.blockers == []
    assert "stay in the plain data root, invisible until" in found.warnings[0]
    assert len(found.warnings) == 1


def test_orphans_are_explained() -> None:
    found = plan(observed(contents=CONTENTS, live_restore=True), desired(existing_data="hide"))
    assert found.blockers == []
    assert "live-restore is on, yet the engine's restart stops web" in found.warnings[1]


@pytest.mark.parametrize(
    ("here", "engine"),
    [
        (with_user(), {**REMAPPED, "contents": CONTENTS, "live_restore": True}),
        (with_user(), {"running": False, "contents": None}),
        (seen(), {"running": False, "contents": None}),
        (with_user(roots=ROOT_ON_DISK), {"running": False, "contents": None}),
    ],
)
def test_no_blocker_for_same_or_empty_data_root(here: dict[str, Any], engine: dict[str, Any]) -> None:
    assert plan(observed(here, **engine), DESIRED).blockers == []


def test_reused_data_root_is_announced() -> None:
    found = plan(observed(seen(roots=ROOT_ON_DISK)), DESIRED)
    assert any("2 images, 1 container become visible again" in notice for notice in found.notices)


# --- switched off ---


def test_disabled_from_the_start() -> None:
    found = plan(observed(contents=CONTENTS), desired(layer="disabled"))
    assert (found.blockers, found.changes, found.apply, found.daemon_keys) == ([], [], {}, {})


def test_disabled_while_remapped_by_others() -> None:
    found = plan(observed(with_user(), **REMAPPED, contents=CONTENTS), desired(layer="disabled"))
    assert (found.blockers, found.changes) == ([], [])


def test_disabling_hides_data_too() -> None:
    seen_ = {**observed(with_user(state=MANAGED), **REMAPPED, contents=CONTENTS), **MANAGED_KEY}
    found = plan(seen_, desired(layer="disabled"))
    assert "from /var/lib/docker/231072.231072 to /var/lib/docker, and 2 images" in found.blockers[0]
    found = plan(seen_, desired(layer="disabled", existing_data="hide"))
    assert found.blockers == []
    assert found.changes == []  # the engine still needs the ranges when it restarts, or has to go back
    assert "dockremap stay reserved" in found.notices[0]


def test_return_after_migration_needs_old_data_root() -> None:
    plain = {"path": "/var/lib/docker", "remapped": None, "containers": 2, "volumes": 1, "images": 2}
    for root, is_blocked in ((plain, False), ({**plain, "containers": 0, "volumes": 0, "images": 0}, True)):
        there = {**observed(with_user(state=MANAGED, roots=[root]), **REMAPPED, contents=CONTENTS), **MANAGED_KEY}
        found = plan(there, desired(layer="disabled", existing_data="migrate"))
        assert bool(found.blockers) == is_blocked, root
        assert any("the plain data root is as it was before the migration" in w for w in found.warnings) != is_blocked
    assert "userns_remap_existing_data: hide to leave them" in found.blockers[0]


@pytest.mark.parametrize(
    ("before", "options", "message"),
    [
        ("alice", {}, "from /var/lib/docker/231072.231072 to /var/lib/docker/100000.100000"),
        ("dockremap", {}, ""),
        (None, {"userns-remap": "default"}, ""),
    ],
)
def test_disabling_restores_previous_state(before: str | None, options: dict[str, str], message: str) -> None:
    key = {"value": "default", **({"before": before} if before else {})}
    there = {
        **observed(with_user(state=MANAGED), **REMAPPED, contents=CONTENTS),
        "daemon_json": {"path": PATH},
        "managed": {"files": {PATH: {"keys": {"/userns-remap": key}}}},
    }
    found = plan(there, {**desired(layer="disabled"), "docker_daemon_options": options})
    assert [message in blocker for blocker in found.blockers] == ([True] if message else [])


def test_ranges_stay_while_their_files_exist() -> None:
    here = {**with_user(state=MANAGED, roots=ROOT_ON_DISK), "configured": None}
    assert plan(observed(here), desired(layer="disabled")).changes == []


def test_unused_ranges_are_removed() -> None:
    here = {**with_user(state=MANAGED), "configured": None}
    found = plan(observed(here), desired(layer="disabled"))
    assert found.apply == {"subject": "userns", "ranges": [{"user": "dockremap", "state": "absent"}]}
    assert [(change.path, change.after) for change in found.changes] == [
        ("/etc/passwd", ""),
        ("/etc/subuid", DEBIAN),
        ("/etc/subgid", DEBIAN),
    ]


def test_unit_flag_counts_as_configured() -> None:
    here = {**with_user(state=MANAGED), "configured": None}
    flagged = {**observed(here), "unit": {"flags": {"userns-remap": "default"}}}
    assert plan(flagged, desired(layer="disabled")).changes == []


def test_another_user_than_before() -> None:
    here = {**with_user(state=MANAGED), "configured": None}
    found = plan(observed(here), desired(user="mapper"))
    assert found.blockers == []
    assert [(entry["user"], entry["state"]) for entry in found.apply["ranges"]] == [("mapper", "present"), ("dockremap", "absent")]
    assert found.changes[-1].after == DEBIAN + "mapper:296608:65536\n"


def test_expectation() -> None:
    assert expectation(DESIRED) == {"requirement": "required", "user": "dockremap", "size": 65536, "start": None}
    assert expectation(desired(user="alice:users", range_exact=True))["user"] == "alice"
    assert expectation(desired(range_exact=True))["start"] == 231072


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000_000, "1.2 GB"), (5 * 10**15, "5000 TB")]
)
def test_format_size(size: int, words: str) -> None:
    assert format_size(size) == words


def test_long_lists_are_cut() -> None:
    images = [{"name": f"i{n}", "bytes": 1} for n in range(7)]
    assert format_contents({"images": images}) == "7 images (i0, i1, i2, i3, i4, and 2 more; 7 B)"
    assert format_contents({"volumes": [{"name": "ab" * 32}, {"name": "v" * 50}]}) == f"2 volumes ({'ab' * 6}, {'v' * 39}…)"


@pytest.mark.parametrize("more", [{"used_roots": ["231072.231072"]}, {"data_root": None}])
def test_ranges_stay_while_a_data_root_may_have_files(more: dict[str, Any]) -> None:
    """Also below another data root, and while a stopped engine's flags are not known (kubespray#7086)."""
    here = {**with_user(state=MANAGED, roots=[]), "configured": None, **more}
    found = plan(observed(here, running=False), desired(layer="disabled"))
    assert (found.changes, found.apply) == ([], {})
    assert "the subordinate ranges of dockremap stay reserved" in found.notices[0]
    free = plan(observed({**here, "used_roots": [], "data_root": "/srv/docker"}, running=False), desired(layer="disabled"))
    assert any(change.path == "/etc/passwd" for change in free.changes)


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({"data_root": None, "roots": []}, "from an unknown data root to"),
        (
            {"roots": [{**ROOT_ON_DISK[0], "unknown": "/var/lib/containerd"}]},
            "an unknown number of images in /var/lib/containerd, which cannot be counted while the engine is stopped",
        ),
    ],
)
def test_unknown_data_of_a_stopped_engine_is_a_blocker(here: dict[str, Any], message: str) -> None:
    stopped = observed(seen(**here), running=False, contents=None)
    blockers = plan(stopped, DESIRED).blockers
    assert len(blockers) == 1 and message in blockers[0] and "hide to leave them" in blockers[0]
    assert plan(stopped, desired(existing_data="hide")).blockers == []
