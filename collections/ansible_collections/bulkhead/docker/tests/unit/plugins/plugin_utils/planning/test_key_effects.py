# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of keys of daemon.json on containers: one message per changed key, with names, and none that contradicts another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import keys
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import LAYERS
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning import daemon_keys, key_effects
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import PAGE, HostPlan

from .test_engine_config import BOTH, make_observed, make_plan

WEB = {"name": "web", "id": "1", "networks": ["bridge"], "ports": ["443/tcp", "80/tcp"]}
DB = {"name": "db", "id": "2", "networks": ["bridge"], "ports": []}
APP = {"name": "app", "id": "3", "networks": ["own"], "ports": ["8080/tcp"]}
MANAGED_KEYS = set(daemon_keys.PLAIN.values()) | {key for layer in LAYERS for key in (*layer.daemon_keys, *layer.rootless_keys)}


def find_effects(containers: list[dict[str, Any]], text: str | None = None, **desired: Any) -> list[str]:
    return make_plan(make_observed(text, containers=containers), **desired).effects


def find_effect(key: str, *arguments: Any, **desired: Any) -> str:
    found = [effect for effect in find_effects(*arguments, **desired) if effect.startswith(key)]
    assert len(found) == 1, found
    return found[0]


def test_each_known_key_has_a_row_or_concerns_the_engine_alone() -> None:
    assert set(key_effects.BY_KEY) | key_effects.ENGINE_ONLY == keys.KNOWN
    assert not set(key_effects.BY_KEY) & key_effects.ENGINE_ONLY
    assert len(key_effects.BY_KEY) == len(key_effects.ROWS)


def test_each_key_that_we_set_has_a_row() -> None:
    assert set(key_effects.BY_KEY) >= MANAGED_KEYS


@pytest.mark.parametrize("row", key_effects.ROWS, ids=lambda row: row.key)
def test_each_row_is_complete(row: key_effects.KeyEffect) -> None:
    assert row.text and row.remedy and row.moment in (
        key_effects.AT_ONCE, key_effects.AT_START, key_effects.AT_CREATION, key_effects.AT_BRIDGE,
    )  # fmt: skip
    assert bool(row.stops) == (row.strict is not key_effects._ABSENT)


def test_icc_names_the_containers_of_the_default_bridge() -> None:
    effect = find_effect("icc: false", [APP, DB, WEB])
    assert "no longer reach each other" in effect and effect.endswith(": db, web")


def test_icc_of_a_single_container() -> None:
    assert "runs alone there now: web" in find_effect("icc: false", [APP, WEB])


def test_userland_proxy_names_containers_and_ports() -> None:
    effect = find_effect("userland-proxy: false", [APP, DB, WEB])
    assert "[::1]" in effect and effect.endswith(": app (8080/tcp), web (443/tcp 80/tcp)")


def test_no_new_privileges_names_who_keeps_the_old_value() -> None:
    effect = find_effect("no-new-privileges: true", [DB, WEB])
    # Measured on docker.io 26.1.5: `docker restart` leaves NoNewPrivs at 0, a new container has 1.
    assert "sudo" in effect and effect.endswith("until they are created anew): db, web")


def test_seccomp_names_who_keeps_the_old_profile() -> None:
    (effect,) = key_effects.describe_changes({}, {"seccomp-profile": "/p.json"}, [DB, WEB], True)
    assert effect.endswith("until they are started again): db, web")


def test_no_effect_is_deferred_if_containers_stop() -> None:
    effects = find_effects([DB, WEB], docker_daemon_live_restore=None)
    assert any("stop and are started again" in effect for effect in effects)
    assert not [effect for effect in effects if "until they are started again" in effect or "keeps the default bridge" in effect]


def test_containers_that_will_exist_have_effects_too() -> None:
    assert {effect.partition(":")[0].partition(" ")[0] for effect in find_effects([])} >= {
        "icc",
        "userland-proxy",
        "no-new-privileges",
        "log-opts",
    }


def test_the_engines_own_default_has_no_effect() -> None:
    effects = find_effects([WEB], docker_daemon_icc=True, docker_daemon_userland_proxy=True)
    assert not [effect for effect in effects if effect.startswith(("icc", "userland-proxy"))]


def test_a_removed_key_has_an_effect() -> None:
    host = make_observed('{"icc": false, "debug": true}', containers=[DB, WEB])
    host["managed"] = {"files": {"/etc/docker/daemon.json": {"keys": {"/icc": {"value": False}}}}}
    effects = make_plan(host, docker_daemon_icc=None).effects
    assert any(effect.startswith("icc: true: containers of the default bridge reach each other") for effect in effects)


@pytest.mark.parametrize("key", sorted({*key_effects.BY_KEY} - {"userns-remap", "default-pids-limit"}))
def test_each_key_of_the_table_is_described_when_it_changes(key: str) -> None:
    values = {"boolean": (True, False), "number": (1, 2), "list": (["a"], ["b"]), "object": ({"a": "1"}, {"a": "2"})}
    before, after = values.get(keys.TYPES.get(key, "text"), ("a", "b"))
    for survives in (True, False):
        (effect,) = key_effects.describe_changes({key: before}, {key: after}, [WEB, DB], survives)
        assert effect.startswith(key) and effect.rpartition(": ")[2]


def test_an_option_of_the_engine_alone_has_none() -> None:
    before = find_effects([WEB])
    assert find_effects([WEB], docker_daemon_options={"debug": True, "labels": ["a=b"]}) == before


def test_a_value_that_the_engine_does_not_use_yet_has_an_effect() -> None:
    from .test_engine_config import make_hardened

    host = make_hardened()
    host["engine"]["security_options"].remove("name=no-new-privileges")
    host["engine"]["containers"] = [{**WEB, "pids": {"max": 100}}]
    effects = make_plan(host).effects
    assert any(effect.startswith("no-new-privileges: true") for effect in effects)


def test_live_restore_that_is_switched_off_stops_containers() -> None:
    host = make_observed('{"live-restore": true}', containers=[WEB], live_restore=True)
    effects = make_plan(host, docker_daemon_live_restore=False).effects
    assert any("stop and are started again: web" in effect for effect in effects)
    assert not any("keep running" in effect for effect in effects)


def make_migration(*containers: dict[str, Any], live_restore: bool = True, **desired: Any) -> LayerPlan:
    maps = {"uid_map": [[0, 231072, 65536]], "gid_map": [[0, 231072, 65536]]}
    userns = LayerPlan("userns", daemon_keys={"userns-remap": "default"}, apply={"migrate": True, **maps})
    host = make_observed(json.dumps({"live-restore": live_restore}), containers=list(containers), live_restore=live_restore)
    return make_plan(host, BOTH | {"userns"}, {"userns": userns}, **desired)


@pytest.mark.parametrize("live_restore", [False, True])
def test_a_migration_says_only_that_containers_stop(live_restore: bool) -> None:
    effects = make_migration(WEB, DB, live_restore=live_restore).effects
    assert any("its containers stop, and start again in the remapped data root: web, db" in effect for effect in effects)
    assert not [effect for effect in effects if "keep running" in effect or "until they are started again" in effect]


def test_a_migration_names_what_stays_stopped() -> None:
    effects = make_migration(WEB, DB, userns_remap_migrate_accept=["db"]).effects
    assert any(effect.endswith("start again in the remapped data root: web") for effect in effects)
    assert any("stay stopped: db" in effect for effect in effects)


@pytest.mark.parametrize(("live_restore", "named"), [(True, False), (None, True)])
def test_containers_that_are_removed_when_they_stop(live_restore: bool | None, named: bool) -> None:
    effects = find_effects([WEB, {**DB, "auto_remove": True}], docker_daemon_live_restore=live_restore)
    assert any("--rm" in effect and effect.endswith(": db") for effect in effects) is named


def test_the_plan_names_the_page_once() -> None:
    plan = HostPlan({"engine_config": make_plan(make_observed(containers=[WEB]))})
    assert [notice for notice in plan.collect("notices") if PAGE in notice] == plan.collect("notices")[-1:]
    assert HostPlan({"engine_config": LayerPlan("engine_config")}).collect("notices") == []


GPU = {**DB, "hidden_devices": ["--gpus"]}


@pytest.mark.parametrize(
    ("containers", "live_restore", "named"), [([WEB, GPU], True, True), ([WEB, GPU], None, False), ([WEB], True, False)]
)
def test_devices_that_a_daemon_reload_may_take_away(containers: list[dict[str, Any]], live_restore: bool | None, named: bool) -> None:
    effects = find_effects(containers, docker_daemon_live_restore=live_restore)
    assert any("lose devices" in effect and effect.endswith(": db (--gpus)") for effect in effects) is named


def test_without_a_daemon_reload_no_device_is_lost() -> None:
    effects = make_plan(make_observed(containers=[GPU]), docker_daemon_pids_limit_layer="disabled").effects
    assert effects and not any("lose devices" in effect for effect in effects)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"icc": None}, {"icc": False}, 0),  # measured on docker.io 26.1.5: {"icc": null} gives enable_icc false
        ({}, {"icc": None}, 1),
        ({"bip": None}, {}, 0),
        ({"bip": None}, {"bip": "10.9.0.1/24"}, 1),
        ({"log-driver": None}, {"log-driver": "json-file"}, 0),
    ],
)
def test_null_is_read_as_the_engine_reads_it(before: dict[str, Any], after: dict[str, Any], found: int) -> None:
    assert len(key_effects.describe_changes(before, after, [WEB], True)) == found
