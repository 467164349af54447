# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of daemon.json and the drop-in."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.drop_in_text import render_drop_in
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from ...builders import write_files
from .fake_host import PATH, UNMANAGED, FakeHost, failure, run, states


def test_change_of_file_and_drop_in(fake: FakeHost) -> None:
    outcome = run(fake, pids_limit=100)
    assert json.loads(fake.host.read(PATH) or "") == {"debug": True, "icc": False, "live-restore": True}
    assert fake.host.read(ROOTFUL.drop_in) == render_drop_in(100)
    assert (outcome.changed, outcome.restarted, outcome.containers_restarted) == (True, True, [])
    # live-restore is taken over first, so that the containers survive even this restart.
    assert fake.log == ["daemon-reload", "reload", "restart"]
    assert fake.containers == {"web": "running", "old": "exited"}
    assert states(fake) == ["committed"]


def test_second_run_changes_nothing(fake: FakeHost) -> None:
    run(fake, pids_limit=100)
    fake.log.clear()
    outcome = run(fake, pids_limit=100)
    assert (outcome.changed, outcome.transaction, fake.log) == (False, None, [])


def test_check_mode_changes_nothing(fake: FakeHost) -> None:
    outcome = run(fake, pids_limit=100, check=True)
    assert outcome.changed and outcome.diff.keys() == {PATH, ROOTFUL.drop_in}
    assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in), fake.log) == (UNMANAGED, None, [])
    assert not fake.host.path("/var/lib/bulkhead").exists()


@pytest.mark.parametrize("check", [True, False])
def test_invalid_configuration_is_not_written(fake: FakeHost, check: bool) -> None:
    failed = failure(fake, options={"iccc": False}, check=check)
    assert "nothing was changed: unknown directive: iccc" in str(failed)
    assert (fake.host.read(PATH), fake.log, states(fake)) == (UNMANAGED, [], [])
    assert not failed.outcome.changed


def test_concurrent_run_is_rejected(fake: FakeHost) -> None:
    with state.lock_host(fake.host):
        assert "another run is changing this host (it holds /var/lib/bulkhead/lock); run again when it has ended" in str(failure(fake))


def test_removing_everything_leaves_no_file(fake: FakeHost) -> None:
    fake.host.path(PATH).unlink()
    run(fake, pids_limit=100)
    run(fake, options={}, pids_limit=0)
    assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in)) == (None, None)
    assert state.load(fake.host, "daemon") == {}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (PATH, '{"icc": tru}', "line 1, column 9"),
        ("/var/lib/bulkhead/daemon.json", "{", "not valid JSON"),
    ],
)
def test_damaged_files_are_named(fake: FakeHost, path: str, text: str, message: str) -> None:
    write_files(fake.host, {path: text})
    assert f"{path}: " in str(failure(fake)) and message in str(failure(fake))


def test_flag_that_is_planned_clashes(fake: FakeHost) -> None:
    message = str(failure(fake, command=("/usr/sbin/dockerd", "--icc=true")))
    assert "icc is also set by --icc=true in the command line of docker.service" in message


def test_flag_of_the_running_process_clashes(fake: FakeHost) -> None:
    files = {"comm": "dockerd\n", "status": "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n", "uid_map": "0 0 4294967295\n"}
    write_files(fake.host.path("/proc/7"), {**files, "cmdline": "/usr/sbin/dockerd\0--icc=true\0"})
    assert "icc is also set by --icc=true" in str(failure(fake))


def test_files_of_a_rootless_engine(fake: FakeHost) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    fake.host.path("/home/u").mkdir(parents=True)
    run(fake, instance=user, options={"icc": False}, pids_limit=100)
    assert json.loads(fake.host.read(user.config) or "") == {"icc": False}
    assert fake.host.path(user.config).stat().st_mode & 0o777 == 0o600
    assert fake.host.read(user.drop_in) == render_drop_in(100)
    assert state.load(fake.host, "daemon-u")["files"].keys() == {user.config}
    assert fake.host.read(PATH) == UNMANAGED and state.load(fake.host, "daemon") == {}


def test_file_outside_of_the_users_home_is_not_written(fake: FakeHost) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    error = failure(fake, instance=user, path=PATH, options={"debug": False})
    assert str(error).startswith(f"nothing was changed: {PATH}: ") and "outside of /home/u" in str(error)
    assert fake.host.read(PATH) == UNMANAGED and fake.log == [] and states(fake) == []


def test_containers_without_swap_keep_the_limit(fake: FakeHost) -> None:
    for name, swap in (("a", "0"), ("b", "max"), ("c", "4096")):
        write_files(fake.host, {f"/sys/fs/cgroup/system.slice/docker-{name * 64}.scope/memory.swap.max": f"{swap}\n"})
    run(fake, pids_limit=100)
    told = f"docker-{'a' * 64}.scope MemorySwapMax=0"
    assert [entry for entry in fake.log if entry.startswith("docker-")] == [told]
    assert fake.log.index(told) < fake.log.index("daemon-reload")
