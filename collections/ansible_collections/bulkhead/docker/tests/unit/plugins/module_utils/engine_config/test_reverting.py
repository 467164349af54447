# SPDX-License-Identifier: GPL-3.0-or-later
"""The last change is reverted."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from .fake_host import PATH, UNMANAGED, FakeHost, failure, run


def test_changes_are_reverted_one_by_one(fake: FakeHost) -> None:
    run(fake, options={"icc": False})
    first = fake.host.read(PATH)
    run(fake, options={"icc": False, "no-new-privileges": True}, pids_limit=100)
    checked = run(fake, revert=True, check=True)
    assert checked.diff.keys() == {PATH, ROOTFUL.drop_in}
    outcome = run(fake, revert=True)
    assert (outcome.changed, fake.host.read(PATH), fake.host.read(ROOTFUL.drop_in)) == (True, first, None)
    assert run(fake, options={"icc": False}).changed is False, "what is remembered went back as well"
    run(fake, revert=True)
    assert (fake.host.read(PATH), state.load(fake.host, "daemon")) == (UNMANAGED, {})
    assert "there is no change" in str(failure(fake, revert=True))


def test_change_with_a_later_edit_is_not_reverted(fake: FakeHost) -> None:
    run(fake, options={"icc": False})
    fake.host.path(PATH).write_text('{"mine": 1}')
    assert f"{PATH} was edited after change" in str(failure(fake, revert=True))
    assert fake.host.read(PATH) == '{"mine": 1}'


def test_switch_of_root_is_reverted_only_with_permission(fake: FakeHost) -> None:
    run(fake, options={"data-root": "/srv"}, stop_containers=True)
    assert "gave the engine another data root (data-root)" in str(failure(fake, revert=True))
    run(fake, revert=True, stop_containers=True)
    assert fake.host.read(PATH) == UNMANAGED
