# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container an audit message is of."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import attribution
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.attribution import Attribution, list_groups

from ...builders import write_files

WEB, DB, OTHER = "a" * 64, "b" * 64, "c" * 64
MANAGER = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"


def build(
    host: Host, groups: dict[int, int] | None = None, known: dict[str, bool] | None = None, confined: dict[str, list[str]] | None = None
) -> Attribution:
    return Attribution(
        host, None if groups is None else groups.get, (known or {}).get, lambda profile: (confined or {})[profile], (MANAGER,)
    )


def write_cgroup(host: Host, pid: int, path: str) -> None:
    write_files(host, {f"/proc/{pid}/cgroup": f"0::{path}\n"})


def test_the_kernel_part_knows_processes_that_have_ended(host: Host) -> None:
    found = build(host, {50: 7})
    found.learn_paths({7: f"/system.slice/docker-{WEB}.scope"})
    assert found.attribute(50, "x", False) == WEB


def test_proc_is_the_second_source(host: Host) -> None:
    write_cgroup(host, 50, f"/system.slice/docker-{WEB}.scope/below")
    assert build(host).attribute(50, "x", False) == WEB
    assert build(host, {}).attribute(50, "x", False) == WEB


def test_without_a_source_it_is_counted(host: Host) -> None:
    found = build(host)
    assert found.attribute(50, "x", False) is None
    assert (found.take_unknown(), found.take_unknown()) == (1, 0)


def test_an_access_waits_for_the_path_of_its_group(host: Host) -> None:
    found = build(host, {50: 7, 51: 8})
    for pid in (50, 50, 51):
        assert found.attribute(pid, "x", False) is None
    found.learn_paths({7: f"/docker/{WEB}"})
    assert found.take_resolved() == [(WEB, "x", False, 2)]
    assert found.take_unknown() == 1
    assert found.take_resolved() == []


def test_what_waits_is_limited(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "MAX_PENDING", 2)
    found = build(host, {50: 7})
    for number in range(5):
        found.attribute(50, str(number), False)
        found.attribute_later("web", str(number), False)
    found.attribute(50, "0", False)
    assert (len(found.pending), len(found.waiting)) == (2, 2)
    assert found.take_unknown() == 6


def test_a_message_waits_for_the_container_of_its_profile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    confined: dict[str, list[str]] = {"web": [], "probe": []}
    found = build(host, confined=confined)
    for profile in ("web", "web", "probe"):
        found.attribute_later(profile, "x", False)
    assert (found.take_resolved(), found.has_pending()) == ([], True)
    confined["web"] = [WEB]
    assert found.take_resolved() == [(WEB, "x", False, 2)]
    monkeypatch.setattr(attribution, "EVENT_SECONDS", 0.0)
    assert (found.take_resolved(), found.has_pending(), found.take_unknown()) == ([], False, 0)


def test_each_container_of_a_profile_has_what_was_allowed(host: Host) -> None:
    found = build(host, confined={"web": [WEB, DB]})
    found.attribute_later("web", "x", False)
    found.attribute_later("web", "y", True)
    assert found.take_resolved() == [(WEB, "x", False, 1), (DB, "x", False, 1)]
    assert found.take_unknown() == 1


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (f"/system.slice/docker-{WEB}.scope", WEB),
        (f"/docker/{WEB}/init", WEB),
        (f"/custom/{DB}", DB),  # below another parent, but of the engine
        (f"/custom/{WEB}", None),
        (f"/machine.slice/libpod-{WEB}.scope", None),
        (f"/system.slice/docker-{OTHER}.scope", None),  # ignored
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{WEB}.scope", WEB),
        (f"/user.slice/user-1001.slice/user@1001.service/user.slice/docker-{WEB}.scope", None),
        ("/system.slice/ssh.service", None),
    ],
)
def test_paths_of_control_groups(host: Host, path: str, owner: str | None) -> None:
    found = build(host, known={DB: True, OTHER: False})
    found.learn_paths({7: path})
    assert found.find_owner(7) == owner


def test_folders_of_running_containers_are_known_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = host.path("/sys/fs/cgroup/docker/x")
    folder.mkdir(parents=True)
    found = build(host, {50: folder.stat().st_ino})
    found.learn_folder("/sys/fs/cgroup/docker/x", WEB)
    assert found.attribute(50, "x", False) == WEB
    found.learn_paths({})
    assert found.attribute(50, "x", False) == WEB
    found.forget(WEB)
    found.learn_paths({})
    monkeypatch.setattr(attribution, "_PID_SECONDS", 0.0)
    assert found.attribute(50, "x", False) is None


def test_all_control_groups_are_listed(host: Host) -> None:
    folder = host.path("/sys/fs/cgroup/a/b")
    folder.mkdir(parents=True)
    assert list_groups(host) == {folder.parent.stat().st_ino: "/a", folder.stat().st_ino: "/a/b"}
    assert list_groups(Host(host.root / "missing")) == {}


def test_a_process_is_looked_up_once_per_second(host: Host) -> None:
    groups = {50: 7}
    found = build(host, groups)
    found.learn_paths({7: f"/docker/{WEB}"})
    assert found.attribute(50, "x", False) == WEB
    groups.clear()
    assert found.attribute(50, "x", False) == WEB
