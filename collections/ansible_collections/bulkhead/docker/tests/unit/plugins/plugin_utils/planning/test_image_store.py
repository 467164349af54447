# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan says of the engine's image store: under userns-remap, at a restart and in a migration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.engine_config import plan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.image_store import describe_store, judge_image_store

from .test_engine_config import DESIRED, make_observed, make_plan

FEATURE = {"features": {"containerd-snapshotter": True}}
OPTED_OUT = {"features": {"containerd-snapshotter": False}}
REMAP = {"userns-remap": "default"}
OVERLAY2 = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}
CONTAINERD = {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
DATA = {"images": [{"name": "web", "bytes": 1}], "containers": []}
NOTHING: dict[str, Any] = {"images": [], "containers": []}


def judge(
    before: dict[str, Any],
    after: dict[str, Any],
    version: str = "29.7.2",
    migrate: bool | None = None,
    restart: bool = True,
    flags: dict[str, str] | None = None,
    roots: Any = (),
    instance: dict[str, Any] | None = None,
    is_whole: bool = True,
    **engine: Any,
) -> LayerPlan:
    result = LayerPlan("engine_config", "required")
    observed = {
        "daemon_json": {"path": "/etc/docker/daemon.json", "text": json.dumps(before)},
        "unit": {"flags": flags or {}, "places": dict.fromkeys(flags or {}, "/etc/default/docker")},
        "engine": {"version": version, "pid": 1, "containers": [], "contents": DATA, "info": OVERLAY2, "remapped": None, **engine},
        "layers": {"userns": {"roots": roots}},
        "instance": instance,
    }
    observed["engine"].setdefault("root_dir", "/var/lib/docker")
    judge_image_store(result, observed, before, after, restart, migrate, is_whole)
    return result


# --- under userns-remap ---


@pytest.mark.parametrize("version", ["29.0.0", "29.7.2", "30.1.0"])
def test_engine_29_does_not_start_with_both(version: str) -> None:
    for restart in (True, False):  # at any later start, too
        result = judge(FEATURE, {**FEATURE, **REMAP}, version, migrate=False, restart=restart, info=CONTAINERD)
        assert len(result.blockers) == 1
        assert "daemon.json: features: containerd-snapshotter: true" in result.blockers[0]
        assert "does not start" in result.blockers[0]


def test_an_older_engine_starts_with_both_and_is_warned() -> None:
    for version in ("28.5.2+dfsg4", None):
        result = judge(FEATURE, {**FEATURE, **REMAP}, version, migrate=False, info=CONTAINERD)  # type: ignore[arg-type]
        assert result.blockers == []
        assert "47377" in result.warnings[0]


def test_the_feature_is_also_found_in_a_flag() -> None:
    flags = {"feature": "cdi=true,containerd-snapshotter=true"}
    found = judge({}, REMAP, migrate=False, flags=flags, info=CONTAINERD).blockers
    assert found
    assert "--feature=containerd-snapshotter=true in /etc/default/docker" in found[0]
    assert judge({}, REMAP, migrate=False, flags={"feature": "containerd-snapshotter=false"}).blockers == []


def test_the_remap_may_be_set_by_a_flag() -> None:
    assert judge(FEATURE, FEATURE, flags={"userns-remap": "default"}, info=CONTAINERD).blockers


def test_a_plain_or_rootless_engine_may_use_containerd() -> None:
    assert judge(FEATURE, FEATURE, info=CONTAINERD).blockers == []
    assert judge(FEATURE, {**FEATURE, **REMAP}, info=CONTAINERD, instance={"user": "app", "uid": 1000}).blockers == []


def test_engine_29_leaves_containerd_under_userns_remap() -> None:
    result = judge({}, REMAP, migrate=False, info=CONTAINERD)
    assert result.blockers == []
    assert "keeps images in overlay2 instead of containerd" in result.warnings[0]
    assert judge({}, REMAP, migrate=False, info=OVERLAY2).warnings == []
    assert judge({}, REMAP, "28.5.2", migrate=False, info=CONTAINERD).warnings == []


def test_a_part_of_a_run_knows_the_options_of_the_rest() -> None:
    """The plan of role userns_remap, before role docker_daemon sets docker_daemon_options."""
    host = make_observed(json.dumps(FEATURE), version="29.7.2", info=CONTAINERD)
    userns = LayerPlan("userns", "required", daemon_keys=REMAP)
    desired = {**DESIRED, "docker_daemon_options": OPTED_OUT}
    for is_whole, found in ((True, 1), (False, 0)):
        assert len(plan(host, desired, {"userns": userns}, {"userns"}, is_whole).blockers) == found
    assert plan(host, DESIRED, {"userns": userns}, {"userns"}, False).blockers


# --- a migration ---


@pytest.mark.parametrize(
    ("after", "flags", "cause"),
    [
        (FEATURE, {}, "features: containerd-snapshotter: true"),
        ({}, {"feature": "containerd-snapshotter"}, "--feature=containerd-snapshotter"),
        ({"storage-driver": "btrfs"}, {}, "daemon.json: storage-driver: btrfs"),
        ({}, {"storage-driver": "zfs"}, "/etc/default/docker: storage-driver: zfs"),
    ],
)
def test_a_migration_needs_the_same_store_afterwards(after: dict[str, Any], flags: dict[str, str], cause: str) -> None:
    result = judge({}, {**after, **REMAP}, "28.5.2", migrate=True, flags=flags)
    assert len(result.blockers) == 1
    assert cause in result.blockers[0]
    assert "would not see the migrated data" in result.blockers[0]


def test_a_migration_of_overlay2_has_no_message() -> None:
    for version in ("20.10.24+dfsg1", "29.7.2"):
        for more in ({}, OPTED_OUT, {"storage-driver": "overlay2"}):
            result = judge(more, {**more, **REMAP}, version, migrate=True)
            assert (result.blockers, result.warnings, result.notices) == ([], [], [])


# --- a restart that keeps the data root ---


def test_a_restart_does_not_change_the_store_unasked() -> None:
    """A reload takes over `features`, but the store changes with the next start."""
    assert judge(FEATURE, FEATURE, "28.5.2", info=CONTAINERD).blockers == []
    for before, info in ((FEATURE, OVERLAY2), (OPTED_OUT, CONTAINERD), ({}, CONTAINERD)):
        result = judge(before, before, "28.5.2", info=info)
        assert len(result.blockers) == 1
        assert "no longer sees its images and containers; restore that setting" in result.blockers[0]
        assert judge(before, before, "28.5.2", info=info, restart=False).blockers == []
        assert judge(before, before, "28.5.2", info=info, contents=NOTHING).blockers == []


def test_only_the_engine_knows_what_29_uses_by_default() -> None:
    for info in (OVERLAY2, CONTAINERD, {}):
        assert judge({}, {}, info=info).blockers == []


def test_a_change_by_this_run_stops_for_running_containers() -> None:
    result = judge({}, FEATURE, "28.5.2")
    assert (result.blockers, len(result.warnings)) == ([], 1)
    assert "web would keep running unknown to the engine" in judge({}, FEATURE, "28.5.2", containers=[{"name": "web"}]).blockers[0]


# --- which store is judged ---


def test_the_store_is_named() -> None:
    assert describe_store({"info": OVERLAY2}) == "images in overlay2"
    assert describe_store({"info": CONTAINERD}) == "images in containerd (overlayfs, namespace moby)"
    assert describe_store({"info": CONTAINERD, "remapped": "1.1"}) == "images in containerd (overlayfs, namespace moby-1.1)"
    assert describe_store({}) == ""


def test_images_of_the_other_store_are_noted() -> None:
    roots = [{"remapped": None, "images": 3}, {"remapped": "1.1", "images": 9}]
    assert "images of a storage driver (3)" in judge({}, REMAP, migrate=False, info=CONTAINERD, roots=roots).notices[0]
    assert judge({}, REMAP, migrate=False, info=OVERLAY2, roots=roots).notices == []


# --- images that are migrated from containerd ---


def test_images_that_move_to_overlay2_are_announced() -> None:
    for before, after, version in ((FEATURE, OPTED_OUT, "28.5.2"), ({}, {}, "29.7.2")):
        result = judge(before, {**after, **REMAP}, version, migrate=True, info=CONTAINERD)
        assert (result.blockers, result.warnings) == ([], [])
        assert "images move from containerd to overlay2: their IDs become those of their configurations" in result.notices[0]


def test_a_key_that_keeps_containerd_blocks_the_migration() -> None:
    result = judge(FEATURE, {**FEATURE, **REMAP}, "28.5.2", migrate=True, info=CONTAINERD)
    assert len(result.blockers) == 1
    assert "set it to false in the same run (docker_daemon_options: {features: {containerd-snapshotter: false}}" in result.blockers[0]


PLAIN_ROOT = {"remapped": None, "containers": 3, "images": 0, "unknown": "/var/lib/containerd"}


def test_the_way_back_needs_containerd_again() -> None:
    def go_back(after: dict[str, Any], version: str = "28.5.2", is_whole: bool = True, **root: Any) -> list[str]:
        before = {**OPTED_OUT, **REMAP}
        roots = [{**PLAIN_ROOT, **root}, {**PLAIN_ROOT, "remapped": "1.1"}]
        return judge(before, after, version, migrate=False, is_whole=is_whole, info=OVERLAY2, roots=roots, remapped="1.1").blockers

    assert "have their images in containerd, and the restarted engine would not show them" in go_back(OPTED_OUT)[0]
    assert "by default" in go_back({})[0]
    assert go_back(FEATURE) == []
    assert go_back({}, "29.7.2") == [], "Engine 29 chooses containerd by itself"
    assert go_back(OPTED_OUT, is_whole=False) == [], "a later part of the run sets the key"
    assert go_back(OPTED_OUT, images=2) == [] == go_back(OPTED_OUT, unknown="") == go_back(OPTED_OUT, containers=0)


def test_images_in_containerd_are_prepared() -> None:
    for info, expected in ((CONTAINERD, True), (OVERLAY2, None)):
        host = make_observed(json.dumps(OPTED_OUT), version="29.7.2", info=info)
        userns = LayerPlan("userns", "required", daemon_keys=REMAP, apply={"migrate": True, "uid_map": [], "gid_map": []})
        assert plan(host, DESIRED, {"userns": userns}, {"userns"}).apply.get("prepare_images") is expected


def test_a_blocked_migration_has_no_second_blocker() -> None:
    """Without its key the run would only change the store."""
    container = {"name": "web", "id": "1", "host": {}, "config": {}}
    host = make_observed(json.dumps(FEATURE), version="26.1.5", info=CONTAINERD, contents=DATA, containers=[container])
    userns = LayerPlan("userns", "required", blockers=["an archive is damaged"])
    assert make_plan(host, more={"userns": userns}, docker_daemon_options=OPTED_OUT).blockers == []
    (text,) = make_plan(host, docker_daemon_options=OPTED_OUT).blockers
    assert "no longer sees its images and containers" in text
