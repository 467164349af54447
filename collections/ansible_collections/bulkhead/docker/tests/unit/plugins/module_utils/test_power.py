# SPDX-License-Identifier: GPL-3.0-or-later
"""A power cut at every step of each change leaves the previous or the desired state, and the next run completes the change."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import changes
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import install as apparmor
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import engine_restart
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.transaction import list_open
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import APPARMOR, Host, load_managed_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import cleanup, images_list
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.migrate import DataRootMigration
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp import install as seccomp
from ansible_collections.bulkhead.docker.plugins.module_utils.subid.ranges import SUBUID

from ..builders import write_files
from .apparmor import machine as apparmor_machine
from .apparmor import test_install as apparmor_test
from .containerd import test_containerd_view as containerd_test
from .engine_config.fake_host import PATH, UNMANAGED, FakeHost, make_fake_host, run
from .migration import test_migrate as migrate_test
from .power import cut_at_every_step
from .seccomp import test_install as seccomp_test
from .subid import test_apply as subid_test


class Clock:
    """A clock that advances with every reading."""

    def __init__(self) -> None:
        self.now = 1e9

    def time(self) -> float:
        self.now += 0.5
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(engine_restart, "time", Clock())


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return a folder in memory, where there is one: these tests create and remove a hundred thousand folders."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(memory: Path) -> Path:
    folder = memory / "test"
    folder.mkdir()
    return folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return make_fake_host(tmp_path, monkeypatch)


@pytest.fixture
def fresh(memory: Path) -> Callable[[Path], Callable[[], Path]]:
    """Return a function that saves a host's folder, and returns a function that restores it."""

    def copies(host: Path) -> Callable[[], Path]:
        kept = Path(tempfile.mkdtemp(dir=memory))
        shutil.copytree(host, kept, symlinks=True, dirs_exist_ok=True)

        def make() -> Path:
            for entry in host.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            shutil.copytree(kept, host, symlinks=True, dirs_exist_ok=True)
            return host

        return make

    return copies


def boot(fake: FakeHost) -> None:
    """Start the engine with the present daemon.json, as after a boot: its containers have ended."""
    json.loads(fake.host.read(PATH) or "{}")
    fake.active, fake.live_restore = "active", False
    fake.containers = dict.fromkeys(fake.containers, "exited")


MANAGED: dict[str, Any] = {"options": {"icc": False, "live-restore": True}, "pids_limit": 100}
NOTHING: dict[str, Any] = {"options": {}, "pids_limit": 0}


@pytest.mark.parametrize(("from_managed", "to"), [(False, MANAGED), (True, MANAGED), (True, NOTHING)])
def test_power_cut_during_a_change_of_the_configuration(
    fake: FakeHost,
    fresh: Callable[[Path], Callable[[], Path]],
    from_managed: bool,
    to: dict[str, Any],
) -> None:
    if from_managed:
        run(fake, options={"icc": False}, pids_limit=50)
    make, before = fresh(fake.host.root), fake.host.read(PATH)

    def act(_root: Path) -> None:
        fake.active, fake.live_restore, fake.containers = "active", False, {"web": "running", "old": "exited"}
        run(fake, **to)

    make()
    act(fake.host.root)
    desired, limit = fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in)
    for at, _root in cut_at_every_step(fake.host.root, make, act):
        boot(fake)
        now = fake.host.read(PATH)
        assert now in (before, desired), at
        if now == desired != before:
            assert fake.host.read(ROOTFUL.drop_in) == limit, at
        run(fake, **to)
        assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in), list_open(fake.host)) == (desired, limit, []), at
        run(fake, options={}, pids_limit=0)
        assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in), state.load(fake.host, "daemon")) == (UNMANAGED, None, {}), at
        assert not list(fake.host.path("/etc").rglob(".*.bulkhead")), at


def test_power_cut_during_a_revert(fake: FakeHost, fresh: Callable[[Path], Callable[[], Path]]) -> None:
    run(fake, options={"icc": False}, pids_limit=50)
    make, changed = fresh(fake.host.root), fake.host.read(PATH)

    def act(_root: Path) -> None:
        boot(fake)
        run(fake, revert=True)

    for at, _root in cut_at_every_step(fake.host.root, make, act):
        boot(fake)
        assert fake.host.read(PATH) in (changed, UNMANAGED), at
        run(fake, recover=True)
        if fake.host.read(PATH) != UNMANAGED:
            run(fake, revert=True)
        assert (fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in), state.load(fake.host, "daemon")) == (UNMANAGED, None, {}), at


@pytest.mark.parametrize("there", [None, "profile web {\n}\n", "managed"])
def test_power_cut_with_apparmor_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Callable[[Path], Callable[[], Path]], there: str | None
) -> None:
    monkeypatch.setattr(changes, "unload_profile", apparmor_test.unload)
    host = apparmor_machine.machine(tmp_path / "host")
    old_text = apparmor_test.TEXT.replace("/a", "/old")
    if there == "managed":
        apparmor_test.apply(host, apparmor.AppArmorRequest("web", old_text))
    elif there:
        host.path(apparmor_test.FILE).write_text(there)
    before, make = host.read(apparmor_test.FILE), fresh(host.root)
    desired = apparmor.AppArmorRequest("web", apparmor_test.TEXT, force=True)
    for at, root in cut_at_every_step(host.root, make, lambda root: apparmor_test.apply(Host(root), desired) and None):
        host = Host(root)
        assert host.read(apparmor_test.FILE) in (before, apparmor_test.TEXT), at
        apparmor_test.apply(host, desired)
        assert host.read(apparmor_test.FILE) == apparmor_test.TEXT, at
        apparmor_test.apply(host, apparmor.AppArmorRequest("web", present=False))
        assert host.read(apparmor_test.FILE) == (None if there == "managed" else there), at
        assert load_managed_profiles(host, APPARMOR) == {}, at


@pytest.mark.parametrize("there", [None, seccomp_test.GENERAL])
def test_power_cut_with_seccomp_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Callable[[Path], Callable[[], Path]], there: str | None
) -> None:
    monkeypatch.setattr(seccomp, "_has_loose_permissions", lambda path: bool(path.stat().st_mode & 0o022))
    root, path = tmp_path / "host", f"{seccomp_test.FOLDER}/web.json"
    (root / "proc").mkdir(parents=True)
    (root / "var" / "lib").mkdir(parents=True)
    if there:
        write_files(root, {path: there})
    desired = seccomp_test.present(force=True)
    for at, left in cut_at_every_step(root, fresh(root), lambda root: seccomp_test.run(Host(root), desired) and None):
        host = Host(left)
        assert host.read(path) in (there, seccomp_test.WEB), at
        seccomp_test.run(host, desired)
        assert host.read(path) == seccomp_test.WEB, at
        seccomp_test.run(host, seccomp_test.absent())
        assert host.read(path) == there, at


def test_power_cut_with_subordinate_ranges(tmp_path: Path, fresh: Callable[[Path], Callable[[], Path]]) -> None:
    root = tmp_path / "host"
    for folder in ("etc", "proc", "var/lib"):
        (root / folder).mkdir(parents=True)
    accounts = (
        ("passwd", subid_test.PASSWD),
        ("group", subid_test.GROUP),
        ("subuid", subid_test.UNMANAGED),
        ("subgid", subid_test.UNMANAGED),
    )
    for name, text in accounts:
        (root / "etc" / name).write_bytes(text.encode())
    make = fresh(root)

    def act(root: Path) -> None:
        subid_test.run(Host(root), subid_test.Tools(Host(root)))

    make()
    act(root)
    desired = Host(root).read(SUBUID)
    for at, left in cut_at_every_step(root, make, act):
        host = Host(left)
        for lock in host.path("/etc").glob("*.lock"):  # the shadow package has them taken away at boot (tmpfiles.d/passwd.conf)
            lock.unlink()
        assert host.read(SUBUID) in (subid_test.UNMANAGED, desired), at
        act(left)
        assert host.read(SUBUID) == desired == host.read("/etc/subgid"), at
        subid_test.run(host, subid_test.Tools(host), subid_test.GONE)
        for file in (SUBUID, "/etc/subgid"):  # its last line ends as lines do, since a range was added after it
            assert (host.read(file) or "").rstrip("\n") == subid_test.UNMANAGED, at


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_power_cut_during_migration_and_cleanup(tmp_path: Path, fresh: Callable[[Path], Callable[[], Path]]) -> None:
    host = migrate_test.make_host(tmp_path / "host")
    top = host.path(migrate_test.ROOT)
    before = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def originals(root: Path) -> dict[str, bytes]:
        place = Host(root).path(migrate_test.ROOT)
        hidden = (".bulkhead", "231072")
        return {
            str(path.relative_to(place)): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file() and not str(path.relative_to(place)).startswith(hidden)
        }

    def migrate(root: Path) -> None:
        migration = DataRootMigration(Host(root), migrate_test.IDS)
        migration.prepare(migrate_test.INFO)
        migration.migrate()

    def check(root: Path, at: int) -> None:
        target = Host(root).path(migrate_test.TARGET)
        assert (target / "volumes/data/_data/row").read_text() == "1", at
        assert (target / f"overlay2/l/{'A' * 26}/file").read_text() == migrate_test.LAYER, at
        assert json.loads((target / f"containers/{migrate_test.CONTAINER}/config.v2.json").read_text())["Name"] == "/web", at

    make = fresh(host.root)
    for at, root in cut_at_every_step(host.root, make, migrate):
        assert originals(root) == before, at
        if Host(root).path(migrate_test.TARGET).exists():
            check(root, at)
        migrate(root)
        check(root, at)
        assert originals(root) == before, at

    make()
    migrate(host.root)
    remapped = {"DockerRootDir": migrate_test.TARGET}

    def finalize(root: Path) -> None:
        host = Host(root)
        entries = cleanup.list_migrated(host, remapped)
        if entries:
            cleanup.remove_migrated(host, entries)

    for at, root in cut_at_every_step(host.root, fresh(host.root), finalize):
        check(root, at)
        finalize(root)
        check(root, at)
        assert originals(root) == {}, at


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_power_cut_during_a_migration_from_containerd(
    tmp_path: Path, fresh: Callable[[Path], Callable[[], Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = containerd_test.FakeContainerd(tmp_path / "host")
    target = own.root / "231072.231072"
    kept = {path: path.read_bytes() for path in own.host.root.rglob("*") if path.is_file()}
    monkeypatch.setattr(images_list, "read_output", lambda command: containerd_test.LISTED)

    def migrate(_root: Path) -> None:
        own.write_view()
        migration = DataRootMigration(own.host, containerd_test.IDS)
        migration.prepare(containerd_test.INFO)
        migration.migrate()

    def check(at: int) -> None:
        mount = (target / f"image/overlay2/layerdb/mounts/{containerd_test.CONTAINER}/mount-id").read_text()
        assert (target / "overlay2" / mount / "diff/written").read_bytes() == b"by the container", at
        top = own.chains[-1].partition(":")[2]
        assert (target / "overlay2" / top / "diff/etc/top").read_bytes() == b"top", at
        assert (target / f"image/overlay2/layerdb/sha256/{top}/tar-split.json.gz").stat().st_size, at
        assert own.config in (target / "image/overlay2/repositories.json").read_text(), at
        assert json.loads((target / f"containers/{containerd_test.CONTAINER}/config.v2.json").read_text())["Image"] == own.config, at

    make = fresh(own.host.root)
    for at, root in cut_at_every_step(own.host.root, make, migrate):
        assert root == own.host.root
        if target.exists():
            check(at)
        migrate(root)
        check(at)
        assert {path: path.read_bytes() for path in kept} == kept, at
