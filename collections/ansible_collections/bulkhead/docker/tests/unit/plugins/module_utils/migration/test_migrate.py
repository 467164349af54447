# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of a whole root: blockers, interrupted runs, and what is removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import cleanup, migrate, survey
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.migrate import DataRootMigration
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.roots import MigrationBlocked, has_run

from ...builders import write_files

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

IDS = IdMaps([[0, 231072, 65536]], [[0, 231072, 65536]])
LAYER, MOUNT, CONTAINER = "a" * 64, "b" * 64, "d" * 64
INFO = {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}
ROOT = "/var/lib/docker"
TARGET = f"{ROOT}/231072.231072"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


def make_host(folder: Path) -> Host:
    host = Host(folder)
    root = host.path(ROOT)
    for name in (LAYER, MOUNT):
        write_files(root / "overlay2" / name, {"diff/file": name, "link": name[0].upper() * 26})
    (root / "overlay2" / MOUNT / "work").mkdir()
    database, own = "image/overlay2/layerdb", f"containers/{CONTAINER}"
    config = {"ID": CONTAINER, "Name": "/web", "Driver": "overlay2", "State": {"Running": True}, "LogPath": f"{ROOT}/{own}/log"}
    files = {
        f"{database}/sha256/{'1' * 64}/cache-id": LAYER,
        f"{database}/mounts/{CONTAINER}/mount-id": MOUNT,
        f"{own}/config.v2.json": json.dumps(config),
        f"{own}/hostconfig.json": "{}",
        "volumes/data/_data/row": "1",
    }
    write_files(root, files)
    write_files(host, {"/proc/self/mountinfo": ""})
    state.ensure_folder(host)
    return host


def container(host: Host, **changes: Any) -> None:
    host.path(f"{ROOT}/containers/{CONTAINER}/hostconfig.json").write_text(json.dumps(changes))


def moved(host: Host, **options: Any) -> DataRootMigration:
    made = DataRootMigration(host, IDS, **options)
    made.prepare(INFO)
    made.migrate()
    return made


def test_everything_is_copied_with_new_owners(host: Host) -> None:
    assert moved(host).root == TARGET
    target = host.path(TARGET)
    assert (target / "volumes" / "data" / "_data" / "row").stat().st_uid == 231072
    assert (target / "overlay2" / LAYER).stat().st_gid == 231072
    assert (target / "overlay2" / MOUNT / "work").stat().st_uid == 231072
    assert (target / "overlay2" / "l" / ("A" * 26)).readlink() == Path(f"../{LAYER}/diff")
    assert (target / "overlay2" / "l" / ("A" * 26) / "file").read_text() == LAYER
    configuration = json.loads((target / "containers" / CONTAINER / "config.v2.json").read_text())
    assert configuration["LogPath"] == f"{TARGET}/containers/{CONTAINER}/log"
    assert host.path(f"{ROOT}/volumes/data/_data/row").stat().st_uid == 0
    assert not has_run(target)
    assert [entry.name for entry in host.path(ROOT).iterdir() if entry.name.startswith(".")] == []


def test_copy_of_an_interrupted_run_is_reused_if_equal(host: Host) -> None:
    moved(host)
    # The run was interrupted between its last two steps, and the containers of the plain root ran on.
    host.path(f"{ROOT}/volumes/data/_data/row").write_text("2")
    shutil.rmtree(host.path(f"{ROOT}/containers/{CONTAINER}"))
    untouched = host.path(f"{TARGET}/overlay2/{LAYER}/diff/file").stat().st_ino
    moved(host)
    assert host.path(f"{TARGET}/volumes/data/_data/row").read_text() == "2"
    assert not host.path(f"{TARGET}/containers/{CONTAINER}").exists()
    assert host.path(f"{TARGET}/overlay2/{LAYER}/diff/file").stat().st_ino == untouched


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"Driver": "btrfs"}, "keeps images with btrfs"),
        (
            {"Driver": "stargz", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]},
            "keeps images with stargz of containerd",
        ),
        (
            {
                "Driver": "overlayfs",
                "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
                "Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"},
            },
            "starts its own containerd",
        ),
        ({"SecurityOptions": ["name=userns"]}, "remapped already"),
        ({"Swarm": {"LocalNodeState": "active"}}, "swarm node"),
        ({"Plugins": {"Volume": ["local", "vieux/sshfs:latest"]}}, "vieux/sshfs:latest"),
    ],
)
def test_engines_that_cannot_be_migrated(host: Host, info: dict[str, Any], words: str) -> None:
    with pytest.raises(MigrationBlocked, match=words):
        DataRootMigration(host, IDS).prepare({**INFO, **info})
    assert not host.path(f"{ROOT}/.bulkhead-231072.231072").exists()


def test_containers_that_would_not_start_must_be_accepted(host: Host) -> None:
    container(host, Privileged=True)
    with pytest.raises(MigrationBlocked, match="container web has --privileged"):
        DataRootMigration(host, IDS).prepare(INFO)
    moved(host, leave=frozenset(["web"]))


def test_stopped_container_that_would_not_start_is_migrated(host: Host) -> None:
    container(host, Privileged=True)
    file = host.path(f"{ROOT}/containers/{CONTAINER}/config.v2.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "State": {"Running": False}}))
    moved(host)
    assert host.path(f"{TARGET}/containers/{CONTAINER}/hostconfig.json").exists()


def test_leftover_folder_is_left_behind(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate.time, "sleep", lambda unused: None)
    host.path(f"{ROOT}/containers/{'e' * 64}").mkdir()
    host.path(f"{ROOT}/containers/{'e' * 64}/log").write_text("old")
    moved(host)
    assert os.listdir(host.path(f"{TARGET}/containers")) == [CONTAINER]
    assert host.path(f"{ROOT}/containers/{'e' * 64}/log").read_text() == "old"


def test_facts_for_the_plan_change_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate.time, "sleep", lambda unused: None)
    os.chown(host.path(f"{ROOT}/volumes/data/_data/row"), 70000, 100000)
    host.path(f"{ROOT}/containers/{'e' * 64}").mkdir()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in host.path(ROOT).rglob("*"))
    source = host.path(ROOT)
    facts = survey.read_facts(host, source, source / ".bulkhead-231072.231072", IDS)
    assert (facts["root"], facts["size"], facts["ignored"]) == (ROOT, 70001, {f"containers/{'e' * 64}": "it has no config.v2.json"})
    assert facts["containers"][0]["runs"] is True and facts["unread"] == [] and facts["inodes"] > 10
    assert survey.read_facts(host, source, source / "x", IDS, deadline=0)["unread"]
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in host.path(ROOT).rglob("*")) == before
    json.dumps(facts)


def test_unmapped_owner_is_rejected(host: Host) -> None:
    os.chown(host.path(f"{ROOT}/volumes/data/_data/row"), 70000, 0)
    with pytest.raises(MigrationBlocked, match=r"row: user ID 70000; raise userns_remap_range_size"):
        DataRootMigration(host, IDS).prepare(INFO)


def test_container_that_vanishes_during_the_survey(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving = host.path(f"{ROOT}/image/overlay2/layerdb/mounts/{'e' * 64}")
    leaving.mkdir()
    (leaving / "mount-id").write_text("f" * 64)
    slept: list[float] = []

    def gone(seconds: float) -> None:
        slept.append(seconds)
        shutil.rmtree(leaving, ignore_errors=True)

    monkeypatch.setattr(migrate.time, "sleep", gone)
    DataRootMigration(host, IDS).prepare(INFO)
    assert slept == [1]


def test_damaged_root_is_rejected(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(host.path(f"{ROOT}/overlay2/{MOUNT}/diff"))
    monkeypatch.setattr(migrate.time, "sleep", lambda unused: None)
    with pytest.raises(ValueError, match="the engine's root is damaged"):
        DataRootMigration(host, IDS).prepare(INFO)


def test_only_mounts_of_volume_options_are_not_surveyed(host: Host) -> None:
    data = host.path(f"{ROOT}/volumes/data")
    os.chown(data / "_data" / "row", 70000, 0)  # an unmapped owner shows that the file was read
    host.path("/proc/self/mountinfo").write_text(f"36 25 0:32 / {data / '_data'} rw - nfs4 server:/x rw\n")
    (data / "opts.json").write_text('{"MountType": "", "MountOpts": "", "MountDevice": "", "Quota": {"Size": 1}}')
    with pytest.raises(MigrationBlocked, match="user ID 70000"):
        DataRootMigration(host, IDS).prepare(INFO)
    (data / "opts.json").write_text('{"MountType": "nfs", "MountOpts": "addr=server", "MountDevice": ":/x", "Quota": {}}')
    DataRootMigration(host, IDS).prepare(INFO)


@pytest.mark.parametrize("there", [True, False])
def test_volume_that_is_a_symbolic_link_is_rejected(host: Host, there: bool) -> None:
    if there:
        host.path("/srv/data").mkdir(parents=True)
    host.path(f"{ROOT}/volumes/linked").mkdir()
    host.path(f"{ROOT}/volumes/linked/_data").symlink_to(host.path("/srv/data"))
    with pytest.raises(MigrationBlocked, match=r"linked/_data is a symbolic link to .*/srv/data"):
        DataRootMigration(host, IDS).prepare(INFO)


def test_orphans_and_a_small_disk_are_rejected(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MigrationBlocked, match="the engine does not know: eeeeeeeeeeee"):
        DataRootMigration(host, IDS).prepare(INFO, ["e" * 64])
    full = os.statvfs_result((4096, 4096, 10, 0, 0, 10, 5, 5, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda unused: full)
    with pytest.raises(MigrationBlocked, match="0 MiB free; enlarge the disk"):
        DataRootMigration(host, IDS).prepare(INFO)


def test_used_root_is_not_treated_as_a_draft(host: Host) -> None:
    moved(host)
    host.path(f"{TARGET}/buildkit").mkdir()
    with pytest.raises(MigrationBlocked, match="has been an engine's root before and contains 0 images, 1 containers, 1 volumes"):
        DataRootMigration(host, IDS).prepare(INFO)
    assert host.path(f"{TARGET}/volumes/data").exists()


def test_empty_remapped_root_is_replaced(host: Host) -> None:
    host.path(f"{TARGET}/buildkit").mkdir(parents=True)
    for path in ("plugins/storage/blobs", "plugins/tmp", "swarm", "trust", "volumes", "containers", "image/overlay2"):
        host.path(f"{TARGET}/{path}").mkdir(parents=True)
    host.path(f"{TARGET}/volumes/metadata.db").touch()
    assert cleanup.list_empty_roots(host, INFO) == ([host.path(TARGET)], [])
    moved(host)
    assert cleanup.list_empty_roots(host, INFO) == ([], [])


@pytest.mark.parametrize(
    "path",
    [f"plugins/{'c' * 64}/rootfs", "swarm/docker-state.json", "swarm/certificates/key", "backup/dump.sql", "note.txt", "volumes/old/file",
     "trust/key.json", "containers/mine/file", "vfs/dir/x", "containerd/daemon/x"],
)  # fmt: skip
def test_remapped_root_with_something_else_is_kept(host: Host, path: str) -> None:
    write_files(host, {f"{TARGET}/{path}": "precious"})
    name = "/".join(path.split("/")[: 1 if path.split("/")[0] in ("backup", "note.txt", "vfs", "containerd") else 2])
    message = f"{TARGET} has no image, container, volume or network, but it holds {name}; move that to another place"
    removed, kept = cleanup.list_empty_roots(host, INFO)
    assert (removed, [message in text for text in kept]) == ([], [True])
    with pytest.raises(MigrationBlocked, match=f"it holds {name}"):
        DataRootMigration(host, IDS).prepare(INFO)
    assert host.path(f"{TARGET}/{path}").read_text() == "precious"


def test_remapped_root_with_a_mount_is_kept(host: Host) -> None:
    folder = host.path(f"{TARGET}/overlay2/x/merged")
    folder.mkdir(parents=True)
    host.path("/proc/self/mountinfo").write_text(f"36 35 0:5 / {folder} rw - overlay overlay rw\n")
    assert cleanup.list_empty_roots(host, INFO) == ([], [f"{TARGET} is empty, but something is mounted on {folder}; unmount it first"])
    with pytest.raises(MigrationBlocked, match="something is mounted on"):
        DataRootMigration(host, IDS).prepare(INFO)


@pytest.mark.parametrize("path", [f"plugins/{'c' * 64}", "swarm/docker-state.json"])
def test_plugins_and_swarm_state_on_disk_are_not_left_behind(host: Host, path: str) -> None:
    """A disabled plugin is not in the engine's answer."""
    host.path(f"{ROOT}/{path}").mkdir(parents=True)
    with pytest.raises(MigrationBlocked, match=f"{path} of {ROOT} cannot be migrated"):
        DataRootMigration(host, IDS).prepare(INFO)


def test_cleanup_removes_only_the_plain_root(host: Host) -> None:
    moved(host)
    host.path(f"{ROOT}/mine").write_text("other data")
    with pytest.raises(MigrationBlocked, match="uses /var/lib/docker"):
        cleanup.list_migrated(host, INFO)
    entries = cleanup.list_migrated(host, {"DockerRootDir": TARGET})
    assert [entry.name for entry in entries] == ["containers", "image", "overlay2", "volumes"]
    cleanup.remove_migrated(host, entries)
    assert sorted(entry.name for entry in host.path(ROOT).iterdir()) == ["231072.231072", "mine"]
    assert cleanup.list_migrated(host, {"DockerRootDir": TARGET}) == []


def started(root: Path, moment: int) -> None:
    """Create what an engine creates when it starts with a root (moby daemon/daemon.go, prepareTempDir)."""
    (root / "buildkit").mkdir(exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    os.utime(root / "tmp", (moment, moment))


REMAPPED = {"DockerRootDir": TARGET}


def test_plain_root_used_since_is_not_removed(host: Host) -> None:
    """Migrated, rolled back, and after weeks hidden: the engine uses UID.GID again, and the plain root has data that exists nowhere else."""
    started(host.path(ROOT), 1)
    moved(host)
    started(host.path(TARGET), 2)
    assert cleanup.list_migrated(host, REMAPPED)
    started(host.path(ROOT), 3)
    host.path(f"{ROOT}/volumes/data/_data/row").write_text("weeks")
    with pytest.raises(
        MigrationBlocked, match=r"worked there since the migration .*tmp changed.*1 containers, 1 volumes; .*rm --recursive .*/volumes"
    ):
        cleanup.list_migrated(host, REMAPPED)


def test_plain_root_is_not_removed_after_an_undone_migration(host: Host) -> None:
    """The migrated root was renamed, the engine used the plain one, and then got an empty root of the same name."""
    started(host.path(ROOT), 1)
    moved(host)
    host.path(TARGET).rename(host.path(f"{ROOT}/.231072.231072.undone-x"))
    started(host.path(ROOT), 2)
    host.path(TARGET).mkdir()
    started(host.path(TARGET), 3)
    with pytest.raises(MigrationBlocked, match="an engine has worked there since"):
        cleanup.list_migrated(host, REMAPPED)


def test_plain_root_is_not_removed_for_another_remapped_root(host: Host) -> None:
    host.path(f"{ROOT}/engine-id").write_text("one")
    moved(host)
    assert cleanup.list_migrated(host, REMAPPED)
    host.path(f"{TARGET}/engine-id").write_text("other")
    with pytest.raises(MigrationBlocked, match="is not the root to which the data was migrated"):
        cleanup.list_migrated(host, REMAPPED)


def test_incomplete_state_file_removes_nothing(host: Host) -> None:
    moved(host)
    record = state.load(host, "migration")
    del record["left"]
    state.save(host, "migration", record)
    with pytest.raises(MigrationBlocked, match="is not removed"):
        cleanup.list_migrated(host, REMAPPED)


def test_cleanup_fails_for_a_mounted_volume(host: Host) -> None:
    moved(host)
    point = host.path(f"{ROOT}/volumes/data/_data")
    host.path("/proc/self/mountinfo").write_text(f"36 25 0:32 / {point} rw - ext4 /dev/vdb rw\n")
    with pytest.raises(MigrationBlocked, match="something is mounted"):
        cleanup.list_migrated(host, {"DockerRootDir": TARGET})


def test_cleanup_unmounts_stale_mounts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    moved(host)
    points = [host.path(f"{ROOT}/overlay2/{MOUNT}/merged"), host.path(f"{ROOT}/containers/{CONTAINER}/mounts/shm")]
    mounts = [f"36 25 0:32 / {point} rw - overlay overlay rw\n" for point in (*points, host.path(f"{TARGET}/overlay2/{MOUNT}/merged"))]
    host.path("/proc/self/mountinfo").write_text("".join(mounts))
    done: list[Path] = []
    monkeypatch.setattr(cleanup, "_unmount", done.append)
    entries = cleanup.list_migrated(host, {"DockerRootDir": TARGET})
    assert done == []
    cleanup.remove_migrated(host, entries)
    assert done == points[::-1]
