# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that migrates the engine's data to another root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fake_host import PATH, UNMANAGED, FakeHost, failure, run, states


@dataclass
class FakeMigration:
    """A migration that copies nothing and logs its steps. breaks: the step that fails."""

    fake: FakeHost
    breaks: str = ""
    root: str = "/var/lib/docker/231072.231072"
    used: str = ""  # the root with which the engine starts afterwards, if it is another one
    leave: frozenset[str] = frozenset()

    def prepare(self, info: dict[str, Any], orphans: Any = ()) -> None:
        self._do("prepare")

    def migrate(self) -> None:
        assert self.fake.active == "inactive"
        assert self.fake.host.read(PATH) == UNMANAGED, "the old configuration is in use until everything is migrated"
        self._do("migrate")
        self.fake.host.path(self.root).mkdir(parents=True)
        self.fake.root = self.used or self.root

    def _do(self, what: str) -> None:
        self.fake.log.append(what)
        if what == self.breaks:
            raise ValueError("no space")


MIGRATE = {"options": {"userns-remap": "default"}, "stop_containers": True}


def test_migrated_containers_are_started(fake: FakeHost) -> None:
    outcome = run(fake, **MIGRATE, migration=FakeMigration(fake))
    assert fake.log == ["prepare", "stop web", "stop", "migrate", "restart", "start web"]
    assert (outcome.containers_restarted, states(fake)) == (["web"], ["committed"])


def test_data_that_cannot_be_migrated_changes_nothing(fake: FakeHost) -> None:
    assert "no space" in str(failure(fake, **MIGRATE, migration=FakeMigration(fake, "prepare")))
    assert (fake.log, fake.host.read(PATH), states(fake)) == (["prepare"], UNMANAGED, [])


def test_failed_migration_keeps_the_old_root(fake: FakeHost) -> None:
    assert "no space; the previous configuration is restored" in str(failure(fake, **MIGRATE, migration=FakeMigration(fake, "migrate")))
    assert fake.log == ["prepare", "stop web", "stop", "migrate", "restart", "start web"]
    assert (fake.host.read(PATH), fake.containers["web"]) == (UNMANAGED, "running")


def test_an_engine_with_another_map_is_undone(fake: FakeHost) -> None:
    """Otherwise it would have an empty root, and its containers would count as removed by --rm."""
    failed = failure(fake, **MIGRATE, migration=FakeMigration(fake, used="/var/lib/docker/300000.300000"))
    assert "the engine uses /var/lib/docker/300000.300000 instead of /var/lib/docker/231072.231072" in str(failed)
    assert fake.host.read(PATH) == UNMANAGED


def test_migrated_root_that_was_used_is_set_aside(fake: FakeHost) -> None:
    fake.rejected_text = "userns"
    failed = failure(fake, **MIGRATE, migration=FakeMigration(fake))
    assert not fake.host.path(FakeMigration.root).exists()
    assert any("which the engine has used" in warning for warning in failed.outcome.warnings)
    assert fake.host.path(f"/var/lib/docker/.231072.231072.undone-{failed.outcome.transaction}").is_dir()
