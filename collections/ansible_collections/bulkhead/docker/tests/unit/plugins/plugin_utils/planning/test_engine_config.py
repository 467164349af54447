# SPDX-License-Identifier: GPL-3.0-or-later
"""The one change of daemon.json and the drop-in, planned from what was observed."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import unit
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import drop_in
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.no_new_privileges import plan as no_new_privileges
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit import plan as pids_limit
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Change, LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.engine_config import plan

PATH = "/etc/docker/daemon.json"
BOTH = frozenset({"pids_limit", "no_new_privileges"})
WANTED: dict[str, Any] = {
    "docker_daemon_pids_limit_layer": "required",
    "docker_daemon_no_new_privileges_layer": "required",
    "docker_daemon_default_pids_limit": 100,
    "docker_daemon_options": {},
    "docker_daemon_icc": False,
    "docker_daemon_live_restore": True,
    "docker_daemon_userland_proxy": False,
    "docker_daemon_log_driver": None,
    "docker_daemon_log_opts": {"max-size": "10m", "max-file": "3"},
    "docker_daemon_config_path": None,
    "docker_daemon_restart": True,
    "docker_daemon_timeout": 120,
}
OURS = {
    "icc": False,
    "live-restore": True,
    "userland-proxy": False,
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "no-new-privileges": True,
}


def observed(text: str | None = None, flags: dict[str, str] | None = None, **engine: Any) -> dict[str, Any]:
    return {
        "at": 1000.0,
        "system": {"systemd": True, "cgroup_version": 2},
        "daemon_json": {"path": PATH, "exists": text is not None, "text": text, "error": None, "mtime": 100.0, "referenced": {}},
        "managed": {},
        "managed_error": None,
        "unit": {"flags": flags or {"host": "fd://"}, "places": dict.fromkeys(flags or {}, "/etc/default/docker"), "files": [], "argv": []},
        "dockerd": {"path": "/usr/sbin/dockerd", "knows": {"default-pids-limit": False}},
        "engine": {
            "installed": True,
            "running": True,
            "version": "26.1.5",
            "cgroup_driver": "systemd",
            "cgroup_version": 2,
            "live_restore": False,
            "swarm": False,
            "started_at": 200.0,
            "containers": [],
            "security_options": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
            "info": {"LiveRestoreEnabled": False, "LoggingDriver": "json-file", "DefaultRuntime": "runc"},
            **engine,
        },
        "layers": {"pids_limit": {"drop_in": {"path": drop_in.PATH, "exists": False, "text": None, "tasks_max": None}, "drop_ins": []}},
    }


def settled() -> dict[str, Any]:
    """A host as our own run left it."""
    seen = observed(json.dumps(OURS), live_restore=True)
    seen["engine"]["security_options"].append("name=no-new-privileges")
    seen["engine"]["info"]["LiveRestoreEnabled"] = True
    text = drop_in.render(100)
    ours = {"path": drop_in.PATH, "exists": True, "text": text, "tasks_max": "100"}
    seen["layers"]["pids_limit"] = {"drop_in": ours, "drop_ins": [{**ours, "name": drop_in.NAME, "ours": True}]}
    keys = {f"/{key}": {"value": value} for key, value in OURS.items() if key != "log-opts"}
    keys |= {"/log-opts/max-size": {"value": "10m"}, "/log-opts/max-file": {"value": "3"}}
    seen["managed"] = {"files": {PATH: {"created": True, "keys": keys}}}
    return seen


def make(seen: dict[str, Any], selected: frozenset[str] = BOTH, more: dict[str, LayerPlan] | None = None, **desired: Any) -> LayerPlan:
    values = {**WANTED, **desired}
    rooms: dict[str, Any] = {"pids_limit": pids_limit, "no_new_privileges": no_new_privileges}
    layers = {name: room.plan(seen, values) for name, room in rooms.items() if name in selected}
    return plan(seen, values, {**layers, **(more or {})}, set(selected))


def test_a_virgin_host_gets_file_and_drop_in() -> None:
    result = make(observed())
    assert result.blockers == []
    assert [change.path for change in result.changes] == [PATH, drop_in.PATH]
    assert json.loads(result.changes[0].after) == OURS
    assert result.apply == {
        "path": PATH,
        "options": OURS,
        "keep": [],
        "restart": "needed",
        "stop_containers": False,
        "migrate": False,
        "migrate_accept": [],
        "timeout": 120,
        "pids_limit": 100,
    }


def test_a_settled_host_has_no_change_and_no_word() -> None:
    result = make(settled())
    assert (result.changes, result.effects, result.warnings, result.notices, result.blockers) == ([], [], [], [], [])


def test_foreign_keys_stay_and_overwritten_ones_are_told() -> None:
    result = make(observed('{"icc": true, "registry-mirrors": ["https://m"]}'))
    assert json.loads(result.changes[0].after)["registry-mirrors"] == ["https://m"]
    assert any("icc was true, becomes false" in notice for notice in result.notices)


@pytest.mark.parametrize(
    ("desired", "absent"),
    [
        ({"docker_daemon_icc": None}, "icc"),
        ({"docker_daemon_live_restore": None}, "live-restore"),
        ({"docker_daemon_log_opts": {}}, "log-opts"),
        ({"docker_daemon_no_new_privileges_layer": "disabled"}, "no-new-privileges"),
        ({"docker_daemon_options": {"userland-proxy": None}}, "userland-proxy"),
    ],
)
def test_each_default_can_be_switched_off(desired: dict[str, Any], absent: str) -> None:
    assert absent not in make(observed(), **desired).apply["options"]
    assert absent not in json.loads(make(settled(), **desired).changes[0].after)


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ({"log-opts": {"max-size": "50m"}}, "log-opts", {"max-size": "50m", "max-file": "3"}),
        ({"log-opts": {"max-file": 5, "compress": True}}, "log-opts", {"max-size": "10m", "max-file": "5", "compress": "true"}),
        ({"icc": True}, "icc", True),
        ({"dns": ["9.9.9.9"]}, "dns", ["9.9.9.9"]),
        ({"default-pids-limit": 250}, "log-opts", {"max-size": "10m", "max-file": "3"}),
    ],
)
def test_options_go_over_the_defaults(options: dict[str, Any], key: str, value: Any) -> None:
    result = make(observed(), docker_daemon_options=options)
    assert result.blockers == []
    assert result.apply["options"][key] == value
    assert "default-pids-limit" not in result.apply["options"]


def test_the_tutorials_key_becomes_the_limit() -> None:
    assert make(observed(), docker_daemon_options={"default-pids-limit": 250}).apply["pids_limit"] == 250


def test_an_engine_that_knows_the_key_gets_it() -> None:
    seen = observed()
    seen["dockerd"]["knows"]["default-pids-limit"] = True
    result = make(seen)
    assert result.apply["options"]["default-pids-limit"] == 100
    assert "pids_limit" not in result.apply


@pytest.mark.parametrize(
    ("text", "flags", "desired", "sentence"),
    [
        ('{"default-pids-limit": 100}', None, {}, "default-pids-limit: this engine does not know the key"),
        ('{"mtu": "1450"}', None, {}, f'{PATH}: mtu: "1450" has the wrong type'),
        (None, None, {"docker_daemon_options": {"live-restore": "yes"}}, "docker_daemon_options: live-restore"),
        (None, None, {"docker_daemon_options": ["icc"]}, "docker_daemon_options: ['icc'] is no mapping"),
        (None, None, {"docker_daemon_options": {"no-new-privileges": False}}, "contradicts the layer no_new_privileges"),
        (None, None, {"docker_daemon_options": {"log-opts": {"maxsize": "1m"}}}, "knows no such option"),
        (None, {"icc": "true"}, {}, "icc: False can't be set in daemon.json, because --icc=true stands in /etc/default/docker"),
        ('{"hosts": ["fd://"]}', {"host": "fd://"}, {}, "hosts is also set by --host in /etc/default/docker"),
        (None, None, {"docker_daemon_config_path": "/etc/x.json"}, "/etc/x.json is not the file that the engine reads"),
    ],
)
def test_refusals(text: str | None, flags: dict[str, str] | None, desired: dict[str, Any], sentence: str) -> None:
    blockers = make(observed(text, flags), **desired).blockers
    assert [text for text in blockers if sentence in text], blockers
    assert len(blockers) == 1


def test_a_broken_file_is_refused_with_the_parsers_sentence() -> None:
    seen = observed("{")
    seen["daemon_json"]["error"] = f"{PATH}: line 1, column 2: the file ends in the middle"
    assert make(seen).blockers == [seen["daemon_json"]["error"]]


def test_a_flag_that_says_the_same_will_do() -> None:
    result = make(observed(None, {"icc": "false"}))
    assert "icc" not in result.apply["options"]
    assert any("--icc=false in /etc/default/docker says it already" in notice for notice in result.notices)


@pytest.mark.parametrize(
    ("desired", "sentence"),
    [
        ({"docker_daemon_options": {"live-restor": True}}, "is live-restore meant?"),
        ({"docker_daemon_options": {"zzz": 1}}, "the engine's own check will decide"),
        ({"docker_daemon_options": {"data-root": "/srv/docker"}}, "the engine will not see what it has now"),
        ({"docker_daemon_restart": False}, "until somebody restarts it"),
    ],
)
def test_warnings(desired: dict[str, Any], sentence: str) -> None:
    assert any(sentence in warning for warning in make(observed(), **desired).warnings)


def test_swarm_goes_without_live_restore() -> None:
    result = make(observed(swarm=True))
    assert "live-restore" not in result.apply["options"]
    assert any("swarm" in notice for notice in result.notices)
    assert make(observed(swarm=True), docker_daemon_options={"live-restore": True}).blockers


def test_another_log_driver_goes_without_our_options() -> None:
    assert "log-opts" not in make(observed('{"log-driver": "journald"}')).apply["options"]


def test_one_layer_leaves_the_others_as_they_are() -> None:
    seen = settled()
    seen["daemon_json"]["text"] = json.dumps({**OURS, "no-new-privileges": False})
    result = make(seen, {"no_new_privileges"}, docker_daemon_icc=True, docker_daemon_log_opts={})
    assert result.apply["options"] == {"no-new-privileges": True}
    assert result.apply["keep"] == ["icc", "live-restore", "log-opts", "userland-proxy"]
    assert json.loads(result.changes[0].after) == OURS
    assert "pids_limit" not in result.apply


def test_a_narrowed_run_keeps_the_keys_of_other_layers() -> None:
    seen = settled()
    seen["managed"]["files"][PATH]["keys"]["/seccomp-profile"] = {"value": "/etc/docker/seccomp/web.json"}
    assert make(seen).apply["keep"] == ["seccomp-profile"]


CONTAINERS = [{"name": "web", "id": "1", "pids": {"max": 20, "current": 3, "peak": 5}, "pids_limit": 20}]


@pytest.mark.parametrize(
    ("engine", "desired", "effect"),
    [
        ({}, {}, "no container runs"),
        ({"containers": CONTAINERS, "live_restore": True}, {}, "its containers keep running (live-restore): web"),
        ({"containers": CONTAINERS}, {}, "its containers keep running (live-restore): web"),
        ({"containers": CONTAINERS}, {"docker_daemon_live_restore": None}, "its containers stop and are started again: web"),
        ({"containers": CONTAINERS, "swarm": True}, {}, "its containers stop and are started again: web"),
        ({"containers": CONTAINERS}, {}, "keep their old log-opts, no-new-privileges until they are themselves started again: web"),
    ],
)
def test_effects(engine: dict[str, Any], desired: dict[str, Any], effect: str) -> None:
    effects = make(observed(**engine), **desired).effects
    assert any(effect in text for text in effects), effects


def test_moving_the_data_root_stops_containers() -> None:
    userns = LayerPlan("userns", daemon_keys={"userns-remap": "default"})
    result = make(observed(containers=CONTAINERS), BOTH | {"userns"}, {"userns": userns})
    assert result.apply["stop_containers"] is True
    assert any("stay behind, unseen: web" in effect for effect in result.effects)


def test_a_stopped_engine_is_left_stopped() -> None:
    result = make(observed(running=False, started_at=None, info=None, security_options=None))
    assert result.effects == []
    assert any("will be left so" in notice for notice in result.notices)


@pytest.mark.parametrize(
    ("shown", "version", "keys"),
    [
        ([], "26.1.5", "no-new-privileges"),
        (["name=no-new-privileges"], "26.1.5", None),
        ([], "20.10.24", None),
    ],
)
def test_a_running_engine_that_contradicts_its_file_is_restarted(shown: list[str], version: str, keys: str | None) -> None:
    seen = settled()
    seen["engine"].update(security_options=shown, version=version)
    result = make(seen)
    assert result.apply["restart"] == ("always" if keys else "needed")
    assert [change.path for change in result.changes] == (["docker.service"] if keys else [])
    assert not keys or keys in result.changes[0].summary


@pytest.mark.parametrize(("mtime", "restart"), [(150.0, False), (250.0, True), (5000.0, False)])
def test_a_profile_newer_than_the_engine_needs_a_restart(mtime: float, restart: bool) -> None:
    seen = settled()
    profile = "/etc/docker/seccomp/web.json"
    seen["daemon_json"]["text"] = json.dumps({**OURS, "seccomp-profile": profile})
    seen["daemon_json"]["referenced"] = {"seccomp-profile": {"path": profile, "mtime": mtime}}
    seen["engine"]["security_options"].append(f"name=seccomp,profile={profile}")
    seen["engine"]["security_options"].remove("name=seccomp,profile=builtin")
    result = make(seen)
    assert bool(result.changes) is restart


def test_a_profile_about_to_be_written_needs_a_restart() -> None:
    seen = settled()
    profile = "/etc/docker/seccomp/web.json"
    seen["daemon_json"]["text"] = json.dumps({**OURS, "seccomp-profile": profile})
    seen["engine"]["security_options"][1] = f"name=seccomp,profile={profile}"
    seccomp = LayerPlan("seccomp", changes=[Change(profile, "rewrite")], daemon_keys={"seccomp-profile": profile})
    (change,) = make(seen, BOTH | {"seccomp"}, {"seccomp": seccomp}).changes
    assert profile in change.summary


@pytest.mark.parametrize(("remembered", "warned"), [(None, True), ("other", True), ("same", False)])
def test_a_file_newer_than_the_engine_is_told_unless_it_is_our_own(remembered: str | None, warned: bool) -> None:
    from ansible_collections.bulkhead.docker.plugins.module_utils.host.files import sha256

    seen = settled()
    seen["daemon_json"]["mtime"] = 300.0
    seen["managed"]["files"][PATH]["sha256"] = sha256(seen["daemon_json"]["text"]) if remembered == "same" else remembered
    assert any("was changed after the engine's start" in text for text in make(seen).warnings) is warned


def test_everything_disabled_takes_away_what_was_ours() -> None:
    off = dict.fromkeys(("docker_daemon_icc", "docker_daemon_live_restore", "docker_daemon_userland_proxy", "docker_daemon_log_opts"))
    layers = {"docker_daemon_pids_limit_layer": "disabled", "docker_daemon_no_new_privileges_layer": "disabled"}
    result = make(settled(), **off, **layers)
    assert [(change.path, change.after) for change in result.changes] == [(PATH, ""), (drop_in.PATH, "")]
    assert result.apply["pids_limit"] == 0


def test_passwords_do_not_show_in_the_difference() -> None:
    result = make(observed('{"proxies": {"http-proxy": "http://me:secret@proxy:3128"}}'))
    assert "secret" not in result.changes[0].before + result.changes[0].after


def test_planning_changes_nothing_that_it_was_given() -> None:
    seen = settled()
    copy = deepcopy(seen)
    make(seen, docker_daemon_options={"log-opts": {"max-size": "1m"}})
    assert seen == copy
    assert unit.flags(["-H", "fd://"]) == {"host": "fd://"}


def test_a_file_that_nobody_can_change_is_refused_only_where_it_has_to_be_changed() -> None:
    for seen, refused in ((observed(), True), (settled(), False)):
        seen["daemon_json"]["fixed"] = f"{PATH}: can't be changed by anybody (chattr +i)"
        assert any("chattr +i" in text for text in make(seen).blockers) is refused


# --- a rootless engine ---

ROOTLESS = Instance("u", 990, 990, "/home/u")


def of_user(text: str | None = None, **engine: Any) -> dict[str, Any]:
    seen = observed(text, **engine)
    seen["instance"], seen["daemon_json"]["path"] = ROOTLESS.as_dict(), ROOTLESS.config
    return seen


def test_a_rootless_engine_that_is_stopped_is_started() -> None:
    host = of_user(running=False)
    found = plan(host, WANTED, {}, set(BOTH))
    assert found.apply["user"] == "u" and found.apply["start"] is True and found.apply["timeout"] == 300
    assert [change.path for change in found.changes] == [ROOTLESS.config, ROOTLESS.unit]
    assert "live-restore" not in found.apply["options"] and "userland-proxy" not in found.apply["options"]
    assert not plan(host, {**WANTED, "docker_daemon_restart": False}, {}, set(BOTH)).apply["start"]


def test_the_runtime_goes_and_stays_with_its_layer() -> None:
    runtime = {"runtimes": {"bulkhead": {"path": "/x"}}, "default-runtime": "bulkhead"}
    host = of_user(json.dumps(runtime))
    memory = {"/runtimes": {"value": runtime["runtimes"]}, "/default-runtime": {"value": "bulkhead"}}
    host["managed"] = {"files": {ROOTLESS.config: {"created": True, "keys": memory}}}
    assert plan(host, WANTED, {}, {"pids_limit"}).apply["keep"] == ["default-runtime", "runtimes"]
    gone = plan(host, WANTED, {"rootless": LayerPlan("rootless")}, {"rootless"})
    assert gone.apply["keep"] == [] and gone.changes[0].path == ROOTLESS.config
