# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of daemon.json and the drop-in."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.drop_in_text import render_drop_in
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from .world import PATH, UNMANAGED, World, failure, run, states


def test_change_of_file_and_drop_in(world: World) -> None:
    outcome = run(world, pids_limit=100)
    assert json.loads(world.host.read(PATH) or "") == {"debug": True, "icc": False, "live-restore": True}
    assert world.host.read(ROOTFUL.drop_in) == render_drop_in(100)
    assert (outcome.changed, outcome.restarted, outcome.containers_restarted) == (True, True, [])
    # live-restore is taken over first, so that the containers survive even this restart.
    assert world.log == ["daemon-reload", "reload", "restart"]
    assert world.containers == {"web": "running", "old": "exited"}
    assert states(world) == ["committed"]


def test_second_run_changes_nothing(world: World) -> None:
    run(world, pids_limit=100)
    world.log.clear()
    outcome = run(world, pids_limit=100)
    assert (outcome.changed, outcome.transaction, world.log) == (False, None, [])


def test_check_mode_changes_nothing(world: World) -> None:
    outcome = run(world, pids_limit=100, check=True)
    assert outcome.changed and outcome.diff.keys() == {PATH, ROOTFUL.drop_in}
    assert (world.host.read(PATH), world.host.read(ROOTFUL.drop_in), world.log) == (UNMANAGED, None, [])
    assert not world.host.path("/var/lib/bulkhead").exists()


@pytest.mark.parametrize("check", [True, False])
def test_invalid_configuration_is_not_written(world: World, check: bool) -> None:
    failed = failure(world, options={"iccc": False}, check=check)
    assert "nothing was changed: unknown directive: iccc" in str(failed)
    assert (world.host.read(PATH), world.log, states(world)) == (UNMANAGED, [], [])
    assert not failed.outcome.changed


def test_concurrent_run_is_rejected(world: World) -> None:
    with state.lock_host(world.host):
        assert "another run is changing this host (it holds /var/lib/bulkhead/lock); run again when it has ended" in str(failure(world))


def test_removing_everything_leaves_no_file(world: World) -> None:
    world.host.path(PATH).unlink()
    run(world, pids_limit=100)
    run(world, options={}, pids_limit=0)
    assert (world.host.read(PATH), world.host.read(ROOTFUL.drop_in)) == (None, None)
    assert state.load(world.host, "daemon") == {}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (PATH, '{"icc": tru}', "line 1, column 9"),
        ("/var/lib/bulkhead/daemon.json", "{", "not valid JSON"),
    ],
)
def test_damaged_files_are_named(world: World, path: str, text: str, message: str) -> None:
    world.host.path(path).parent.mkdir(exist_ok=True)
    world.host.path(path).write_text(text)
    assert f"{path}: " in str(failure(world)) and message in str(failure(world))


def test_flag_that_is_planned_clashes(world: World) -> None:
    message = str(failure(world, command=("/usr/sbin/dockerd", "--icc=true")))
    assert "icc is also set by --icc=true in the command line of docker.service" in message


def test_flag_of_the_running_process_clashes(world: World) -> None:
    folder = world.host.path("/proc/7")
    folder.mkdir(parents=True)
    for name, text in (("comm", "dockerd\n"), ("status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"), ("uid_map", "0 0 4294967295\n")):
        (folder / name).write_text(text)
    (folder / "cmdline").write_text("/usr/sbin/dockerd\0--icc=true\0")
    assert "icc is also set by --icc=true" in str(failure(world))


def test_files_of_a_rootless_engine(world: World) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    world.host.path("/home/u").mkdir(parents=True)
    run(world, instance=user, options={"icc": False}, pids_limit=100)
    assert json.loads(world.host.read(user.config) or "") == {"icc": False}
    assert world.host.path(user.config).stat().st_mode & 0o777 == 0o600
    assert world.host.read(user.drop_in) == render_drop_in(100)
    assert state.load(world.host, "daemon-u")["files"].keys() == {user.config}
    assert world.host.read(PATH) == UNMANAGED and state.load(world.host, "daemon") == {}


def test_file_outside_of_the_users_home_is_not_written(world: World) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    error = failure(world, instance=user, path=PATH, options={"debug": False})
    assert str(error).startswith(f"nothing was changed: {PATH}: ") and "outside of /home/u" in str(error)
    assert world.host.read(PATH) == UNMANAGED and world.log == [] and states(world) == []


def test_containers_without_swap_keep_the_limit(world: World) -> None:
    for name, swap in (("a", "0"), ("b", "max"), ("c", "4096")):
        folder = world.host.path(f"/sys/fs/cgroup/system.slice/docker-{name * 64}.scope")
        folder.mkdir(parents=True)
        (folder / "memory.swap.max").write_text(f"{swap}\n")
    run(world, pids_limit=100)
    told = f"docker-{'a' * 64}.scope MemorySwapMax=0"
    assert [entry for entry in world.log if entry.startswith("docker-")] == [told]
    assert world.log.index(told) < world.log.index("daemon-reload")
