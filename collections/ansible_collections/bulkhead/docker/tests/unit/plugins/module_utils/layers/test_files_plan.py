# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.judge import judge
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files.rules import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan

from ...builders import build_evidence
from .files_host import DESIRED, USER, make_file, make_observed

KEY, SOCKET, CONFIG = "/etc/ssl/private/host.key", "/run/docker.sock", "/etc/docker/daemon.json"


def run(path: str, file: dict[str, Any], desired: dict[str, Any] | None = None, **more: Any) -> LayerPlan:
    return plan(make_observed({path: file}, **more), {**DESIRED, **(desired or {})})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_closed_and_never_loosened(kind: str) -> None:
    limit = KINDS[kind].mode
    for mode in range(0o1000):
        planned = run("/x", make_file(kind, mode))
        steps = planned.apply.get("files", [])
        assert bool(steps) == bool(mode & ~limit)
        for step in steps:
            assert int(step["mode"], 8) == mode & limit


@pytest.mark.parametrize(
    ("kind", "uid", "gid", "owner"),
    [
        ("config", 1000, 0, (0, 0)),
        ("config", 0, 1000, (0, 0)),
        ("config", 0, 0, None),
        ("socket", 0, 103, None),
        ("socket", 0, 0, None),
        ("socket", 0, 1000, (0, 103)),
        ("socket", 1000, 0, (0, 0)),
        ("containerd_socket", 0, 103, (0, 0)),
    ],
)
def test_owner_and_group(kind: str, uid: int, gid: int, owner: tuple[int, int] | None) -> None:
    steps = run("/x", make_file(kind, 0o400, uid, gid)).apply.get("files", [])
    assert [(step["uid"], step["gid"]) for step in steps] == ([owner] if owner else [])


def test_a_change_names_old_and_new_value() -> None:
    planned = run(CONFIG, make_file("config", 0o664, 1000, 0))
    (change,) = planned.changes
    assert (change.path, change.summary) == (CONFIG, "alice:root 0664 becomes root:root 0644")
    assert (change.before, change.after) == ("alice:root 0664\n", "root:root 0644\n")
    assert planned.apply == {"files": [{"path": CONFIG, "mode": "0644", "uid": 0, "gid": 0}], "restore": [], "user": ""}


@pytest.mark.parametrize("kind", KINDS)
def test_bits_that_open_nothing_stay(kind: str) -> None:
    mode = KINDS[kind].mode
    assert run("/x", make_file(kind, mode | 0o1000)).changes == []
    (change,) = run("/x", make_file(kind, mode | 0o1002)).changes
    assert change.after == f"root:root {mode | 0o1000:04o}\n"
    assert bool(run("/x", make_file(kind, mode | 0o2000)).changes) == (not kind.endswith(("folder", "socket")))


def test_bits_of_folders_that_open_nothing_stay() -> None:
    assert run("/etc/docker", make_file("folder", 0o3755)).changes == []
    (change,) = run("/etc/docker", make_file("folder", 0o2775)).changes
    assert change.after == "root:root 2755\n"
    assert run(CONFIG, make_file("config", 0o4644)).changes


@pytest.mark.parametrize(
    ("kind", "file", "text"),
    [
        ("tls_key", (0o640, 0, 110), "group ssl-cert can no longer read it;"),
        ("config", (0o666, 0, 0), "other users can no longer write it;"),
        ("config", (0o664, 1000, 110), "user alice can no longer write it, group ssl-cert can no longer write it;"),
        ("socket", (0o666, 0, 103), "other users can no longer use it, also from containers that mount it;"),
        ("socket", (0o660, 0, 1000), "group alice can no longer use it, also"),
        ("registry_key", (0o600, 1000, 1000), "user alice can no longer read or write it;"),
        ("registry_certificate", (0o644, 0, 0), ""),
        ("registry_key", (0o600, 0, 0), ""),
    ],
)
def test_who_loses_access_is_said(kind: str, file: tuple[int, int, int], text: str) -> None:
    planned = run("/x", make_file(kind, *file))
    assert planned.changes
    assert (len(planned.warnings) == 1 and text in planned.warnings[0]) if text else planned.warnings == []


@pytest.mark.parametrize(
    ("more", "observed", "desired", "reason"),
    [
        ({"target": "/srv/daemon.json"}, {}, {}, "it leads to /srv/daemon.json by a symbolic link"),
        ({"links": 2}, {}, {}, "it is one of 2 hard links"),
        ({}, {"fixed": f"{CONFIG}: cannot be changed"}, {}, "it cannot be changed"),
        ({}, {}, {"docker_files_keep": [f"{CONFIG}/"]}, "it is listed in docker_files_keep"),
    ],
)
def test_a_file_that_stays_is_named(more: dict[str, Any], observed: dict[str, Any], desired: dict[str, Any], reason: str) -> None:
    planned = run(CONFIG, make_file("config", 0o666, **more), desired, **observed)
    assert (planned.changes, planned.apply) == ([], {})
    (warning,) = planned.warnings
    assert "stays root:root 0666 instead of root:root 0644" in warning and reason in warning


def test_files_of_a_rootless_engine_stay_their_users() -> None:
    path = "/home/alice/.config/docker/daemon.json"
    planned = run(path, make_file("config", 0o666, 1000, 1000), user=USER)
    assert planned.apply == {"files": [{"path": path, "mode": "0644", "uid": 1000, "gid": 1000}], "restore": [], "user": "alice"}
    assert run(path, make_file("config", 0o644, 1000, 110), user=USER).changes == []
    planned = run(path, make_file("config", 0o666, 0, 0), user=USER)
    assert planned.changes == [] and "it belongs to another user than the engine" in planned.warnings[0]
    assert run("/run/user/1000/docker.sock", make_file("socket", 0o660, 1000, 1000), user=USER).changes == []
    assert run("/etc/systemd/user/docker.service", make_file("unit", 0o644, 1000, 0), user=USER).changes


@pytest.mark.parametrize(
    ("kind", "path", "is_changed"),
    [
        ("tls_key", "/etc/passwd", False),
        ("tls_certificate", "/etc/systemd/user/x", False),
        ("tls_ca", "/home/alicette/x", False),
        ("config", "/etc/passwd", False),
        ("socket", "/run/dbus/system_bus_socket", False),
        ("containerd_socket", "/run/dbus/system_bus_socket", False),
        ("unit", "/etc/shadow", False),
        ("unit", "/etc/systemd/user/docker.service", True),
        ("unit", "/etc/systemd/system/docker.service.d/x.conf", True),
        ("containerd_socket", "/run/containerd/containerd.sock", True),
        ("folder", "/etc/docker", True),
        ("registry_key", "/etc/docker/certs.d/x/client.key", True),
        ("defaults", "/etc/default/docker", True),
    ],
)
def test_a_user_cannot_have_root_change_any_file(kind: str, path: str, is_changed: bool) -> None:
    """The user's daemon.json and unit name them: /etc/passwd as a key would get mode 0400, and stop the host."""
    file = {path: make_file(kind, 0o777)}
    assert bool(plan(make_observed(file, user=USER), DESIRED).changes) == is_changed
    assert bool(judge(build_evidence(make_observed(file, user=USER)), {"requirement": "required"}).findings) == is_changed
    assert plan(make_observed(file), DESIRED).changes


@pytest.mark.parametrize(
    ("desired", "observed", "text"),
    [
        ({"docker_files_socket_group": "dockers"}, {}, "docker_files_socket_group: 'dockers' is not a group in /etc/group"),
        ({"docker_files_keep": ["etc"]}, {}, "docker_files_keep: 'etc' is not an absolute path"),
        ({}, {"error": "/var/lib/bulkhead/files.json: not valid JSON"}, "not valid JSON"),
    ],
)
def test_blockers(desired: dict[str, Any], observed: dict[str, Any], text: str) -> None:
    (blocker,) = run(SOCKET, make_file("socket", 0o660, 0, 103), desired, **observed).blockers
    assert text in blocker


@pytest.mark.parametrize("configured", ["ssl-cert", "110"])
def test_the_configured_group_of_the_socket_stays(configured: str) -> None:
    settings = {"socket": [[1, configured, "SocketGroup= in /etc/x.conf"]]}
    planned = run(SOCKET, make_file("socket", 0o660, 0, 110), settings=settings)
    assert (planned.changes, planned.warnings) == (
        [],
        [
            f"{SOCKET} keeps group ssl-cert, which SocketGroup= in /etc/x.conf sets at each start; correct that setting,"
            " or write docker_files_socket_group: ssl-cert"
        ],
    )
    (change,) = run(SOCKET, make_file("socket", 0o666, 0, 110), settings=settings).changes
    assert change.after == "root:ssl-cert 0660\n"
    (change,) = run(SOCKET, make_file("socket", 0o660, 0, 110)).changes
    assert change.after == "root:docker 0660\n"
    assert run(SOCKET, make_file("socket", 0o660, 0, 110), {"docker_files_socket_group": "ssl-cert"}, settings=settings).warnings == []


@pytest.mark.parametrize("value", ["0666", "666"])
def test_a_mode_that_each_start_sets_again_is_not_changed(value: str) -> None:
    settings = {"socket": [[2, value, "SocketMode= in /etc/x.conf"]]}
    planned = run(SOCKET, make_file("socket", 0o1666, 0, 103), settings=settings)
    assert (planned.changes, planned.warnings) == (
        [],
        [f"{SOCKET} keeps mode 1666, which SocketMode= in /etc/x.conf sets at each start; correct that setting"],
    )
    (change,) = run(SOCKET, make_file("socket", 0o664, 0, 103), settings=settings).changes
    assert change.after == "root:docker 0660\n"


def test_an_owner_that_each_start_sets_again_is_not_changed() -> None:
    settings = {"containerd_socket": [[0, "1000", "uid in /x"], [1, "110", "gid in /x"]]}
    planned = run("/c", make_file("containerd_socket", 0o660, 1000, 110), settings=settings)
    assert planned.changes == []
    assert [warning.partition(" sets")[0] for warning in planned.warnings] == [
        "/c keeps owner alice, which uid in /x",
        "/c keeps group ssl-cert, which gid in /x",
    ]
    (change,) = run("/c", make_file("containerd_socket", 0o666, 1000, 0), settings=settings).changes
    assert change.after == "alice:root 0660\n"


def test_members_of_the_sockets_group_are_named() -> None:
    (notice,) = run(SOCKET, make_file("socket", 0o660, 0, 103)).notices
    assert "members of group docker can use the engine" in notice and notice.endswith("ann, bob")
    assert run(SOCKET, make_file("socket", 0o600, 0, 103)).notices == []


def test_disabled_restores_what_is_as_it_was_left() -> None:
    managed = {"before": [1000, 0, 0o666], "after": [0, 0, 0o644]}
    off = {"docker_files_layer": "disabled"}
    planned = run(CONFIG, make_file("config", 0o644), off, managed={CONFIG: managed})
    assert [(change.before, change.after) for change in planned.changes] == [("root:root 0644\n", "alice:root 0666\n")]
    assert planned.apply == {"files": [], "restore": [CONFIG], "user": ""}
    (change,) = run(CONFIG, make_file("config", 0o600), off, managed={CONFIG: managed}).changes
    assert (change.summary, change.after) == ("is no longer managed, and stays as it is", "")
    assert run(CONFIG, make_file("config", 0o666), off).changes == []
    assert run(CONFIG, make_file("config", 0o644), {}, managed={CONFIG: managed}).changes == []
    assert run(CONFIG, make_file("config", 0o644), {"docker_files_keep": [CONFIG]}, managed={CONFIG: managed}).apply["restore"] == [CONFIG]


def test_what_verification_expects() -> None:
    assert expectation({**DESIRED, "docker_files_keep": ["/a/"]}) == {"group": "docker", "keep": ["/a"]}
