# SPDX-License-Identifier: GPL-3.0-or-later
"""The last change is reverted."""

from __future__ import annotations

from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host import state

from .world import PATH, UNMANAGED, World, failure, run


def test_changes_are_reverted_one_by_one(world: World) -> None:
    run(world, options={"icc": False})
    first = world.host.read(PATH)
    run(world, options={"icc": False, "no-new-privileges": True}, pids_limit=100)
    checked = run(world, revert=True, check=True)
    assert checked.diff.keys() == {PATH, ROOTFUL.drop_in}
    outcome = run(world, revert=True)
    assert (outcome.changed, world.host.read(PATH), world.host.read(ROOTFUL.drop_in)) == (True, first, None)
    assert run(world, options={"icc": False}).changed is False, "what is remembered went back as well"
    run(world, revert=True)
    assert (world.host.read(PATH), state.load(world.host, "daemon")) == (UNMANAGED, {})
    assert "there is no change" in str(failure(world, revert=True))


def test_change_with_a_later_edit_is_not_reverted(world: World) -> None:
    run(world, options={"icc": False})
    world.host.path(PATH).write_text('{"mine": 1}')
    assert f"{PATH} was edited after change" in str(failure(world, revert=True))
    assert world.host.read(PATH) == '{"mine": 1}'


def test_switch_of_root_is_reverted_only_with_permission(world: World) -> None:
    run(world, options={"data-root": "/srv"}, stop_containers=True)
    assert "gave the engine another data root (data-root)" in str(failure(world, revert=True))
    run(world, revert=True, stop_containers=True)
    assert world.host.read(PATH) == UNMANAGED
