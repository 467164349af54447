# SPDX-License-Identifier: GPL-3.0-or-later
"""The change of daemon.json and the drop-in, planned from an observation."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.drop_in_text import render_drop_in
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.no_new_privileges import plan as no_new_privileges
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.pids_limit import plan as pids_limit
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Change, LayerPlan
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.engine_config import plan

PATH = "/etc/docker/daemon.json"
BOTH = frozenset({"pids_limit", "no_new_privileges"})
DESIRED: dict[str, Any] = {
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
KEYS = {
    "icc": False,
    "live-restore": True,
    "userland-proxy": False,
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "no-new-privileges": True,
}


def make_observed(text: str | None = None, flags: dict[str, str] | None = None, **engine: Any) -> dict[str, Any]:
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
        "layers": {"pids_limit": {"drop_in": {"path": ROOTFUL.drop_in, "exists": False, "text": None, "tasks_max": None}, "drop_ins": []}},
    }


def make_hardened() -> dict[str, Any]:
    """Return the observation of a hardened host."""
    host = make_observed(json.dumps(KEYS), live_restore=True)
    host["engine"]["security_options"].append("name=no-new-privileges")
    host["engine"]["info"]["LiveRestoreEnabled"] = True
    text = render_drop_in(100)
    drop_in = {"path": ROOTFUL.drop_in, "exists": True, "text": text, "tasks_max": "100"}
    host["layers"]["pids_limit"] = {
        "drop_in": drop_in,
        "drop_ins": [{**drop_in, "name": ROOTFUL.drop_in.rpartition("/")[2], "is_managed": True}],
    }
    keys = {f"/{key}": {"value": value} for key, value in KEYS.items() if key != "log-opts"}
    keys |= {"/log-opts/max-size": {"value": "10m"}, "/log-opts/max-file": {"value": "3"}}
    host["managed"] = {"files": {PATH: {"created": True, "keys": keys}}}
    return host


def make_plan(host: dict[str, Any], selected: frozenset[str] = BOTH, more: dict[str, LayerPlan] | None = None, **desired: Any) -> LayerPlan:
    values = {**DESIRED, **desired}
    planners: dict[str, Any] = {"pids_limit": pids_limit, "no_new_privileges": no_new_privileges}
    layers = {name: planner.plan(host, values) for name, planner in planners.items() if name in selected}
    return plan(host, values, {**layers, **(more or {})}, set(selected))


def test_a_new_host_gets_file_and_drop_in() -> None:
    result = make_plan(make_observed())
    assert result.blockers == []
    assert [change.path for change in result.changes] == [PATH, ROOTFUL.drop_in]
    assert json.loads(result.changes[0].after) == KEYS
    assert result.apply == {
        "path": PATH,
        "options": KEYS,
        "keep": [],
        "restart": "needed",
        "stop_containers": False,
        "migrate": False,
        "migrate_accept": [],
        "containers_worse": "report",
        "containers_wait": 90,
        "timeout": 120,
        "pids_limit": 100,
    }


def test_a_hardened_host_has_no_change_and_no_message() -> None:
    result = make_plan(make_hardened())
    assert (result.changes, result.effects, result.warnings, result.notices, result.blockers) == ([], [], [], [], [])


def test_unmanaged_keys_stay_and_overwritten_ones_are_noted() -> None:
    result = make_plan(make_observed('{"icc": true, "registry-mirrors": ["https://m"]}'))
    assert json.loads(result.changes[0].after)["registry-mirrors"] == ["https://m"]
    assert any("icc changes from true to false" in notice for notice in result.notices)


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
    assert absent not in make_plan(make_observed(), **desired).apply["options"]
    assert absent not in json.loads(make_plan(make_hardened(), **desired).changes[0].after)


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
def test_options_override_the_defaults(options: dict[str, Any], key: str, value: Any) -> None:
    result = make_plan(make_observed(), docker_daemon_options=options)
    assert result.blockers == []
    assert result.apply["options"][key] == value
    assert "default-pids-limit" not in result.apply["options"]


def test_default_pids_limit_in_options_becomes_the_limit() -> None:
    assert make_plan(make_observed(), docker_daemon_options={"default-pids-limit": 250}).apply["pids_limit"] == 250


def test_an_engine_that_knows_the_key_gets_it() -> None:
    host = make_observed()
    host["dockerd"]["knows"]["default-pids-limit"] = True
    result = make_plan(host)
    assert result.apply["options"]["default-pids-limit"] == 100
    assert "pids_limit" not in result.apply


@pytest.mark.parametrize(
    ("text", "flags", "desired", "message"),
    [
        ('{"default-pids-limit": 100}', None, {}, "default-pids-limit: this engine does not know the key"),
        ('{"mtu": "1450"}', None, {}, f'{PATH}: mtu: "1450" has the wrong type'),
        (None, None, {"docker_daemon_options": {"live-restore": "yes"}}, "docker_daemon_options: live-restore"),
        (None, None, {"docker_daemon_options": ["icc"]}, "docker_daemon_options: ['icc'] is not a mapping"),
        (None, None, {"docker_daemon_options": {"no-new-privileges": False}}, "contradicts the layer no_new_privileges"),
        (None, None, {"docker_daemon_options": {"log-opts": {"maxsize": "1m"}}}, "is not an option of the log driver"),
        (
            None,
            {"icc": "true"},
            {"docker_daemon_options": {"icc": False}},
            "icc: False cannot be set in daemon.json: /etc/default/docker contains --icc=true",
        ),
        ('{"hosts": ["fd://"]}', {"host": "fd://"}, {}, "hosts is also set by --host in /etc/default/docker"),
        (None, None, {"docker_daemon_config_path": "/etc/x.json"}, "/etc/x.json is not the file that the engine reads"),
    ],
)
def test_blockers(text: str | None, flags: dict[str, str] | None, desired: dict[str, Any], message: str) -> None:
    blockers = make_plan(make_observed(text, flags), **desired).blockers
    assert [text for text in blockers if message in text], blockers
    assert len(blockers) == 1


DEFAULTS = {"__defaults": {name: value for name, value in DESIRED.items() if name.startswith("docker_daemon_")}}


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"log-opt": "max-size=50m"}, "log-opts"),
        ({"icc": "true"}, "icc"),
        ({"live-restore": "false"}, "live-restore"),
        ({"userland-proxy": "true"}, "userland-proxy"),
    ],
)
def test_a_default_gives_way_to_a_flag(flags: dict[str, str], key: str) -> None:
    found = make_plan(make_observed(None, flags), **DEFAULTS)
    assert found.blockers == []
    assert key not in json.loads(found.changes[0].after)
    assert [text for text in found.notices if text.startswith(f"{key} is left out: /etc/default/docker contains --")], found.notices


@pytest.mark.parametrize(
    ("flags", "desired"),
    [
        ({"log-opt": "max-size=50m"}, {"docker_daemon_log_opts": {"max-size": "20m"}}),
        ({"log-opt": "max-size=50m"}, {"docker_daemon_options": {"log-opts": {"max-size": "20m"}}}),
        ({"icc": "false"}, {"docker_daemon_icc": True}),
        ({"log-driver": "journald"}, {"docker_daemon_log_driver": "local"}),
        ({"userland-proxy": "true"}, {"docker_daemon_options": {"userland-proxy": False}}),
        ({"no-new-privileges": "false"}, {}),  # a required layer
    ],
)
def test_a_value_of_the_inventory_clashes_with_a_flag(flags: dict[str, str], desired: dict[str, Any]) -> None:
    blockers = make_plan(make_observed(None, flags), **DEFAULTS, **desired).blockers
    assert len(blockers) == 1 and "cannot be set in daemon.json: /etc/default/docker contains --" in blockers[0]


def test_an_optional_layer_gives_way_to_a_flag() -> None:
    desired = {**DEFAULTS, "docker_daemon_no_new_privileges_layer": "optional"}
    found = make_plan(make_observed(None, {"no-new-privileges": "false"}), **desired)
    assert found.blockers == [] and "no-new-privileges" not in json.loads(found.changes[0].after)
    assert [text for text in found.notices if "over the default of layer no_new_privileges" in text]


def test_a_flag_of_the_process_alone_is_named() -> None:
    host = make_observed(None, {"icc": "true"}, pid=7)
    host["unit"]["places"] = {}
    found = make_plan(host, docker_daemon_options={"icc": False})
    assert "the command line of dockerd (process 7) contains --icc=true" in found.blockers[0]


def test_a_restart_with_another_data_root_is_a_blocker() -> None:
    host = make_observed()
    host["unit"] |= {"differing": {"data-root": ["/a", "/b"]}, "files": ["/etc/systemd/system/docker.service"]}
    found = make_plan(host)
    assert (
        "has --data-root=/a, but /etc/systemd/system/docker.service gives its next start --data-root=/b: the restart" in found.blockers[0]
    )
    host = make_hardened()
    host["unit"] |= {"differing": {"data-root": [None, "/b"]}, "files": ["/u"]}
    found = make_plan(host)
    assert found.blockers == [] and "has no --data-root, but /u gives its next start --data-root=/b" in found.warnings[0]


def test_a_data_root_that_moves_with_the_restart_is_a_blocker() -> None:
    host = make_observed('{"data-root": "/new"}', root_dir="/var/lib/docker")
    host["layers"]["userns"] = {"data_root": "/var/lib/docker", "next_root": "/new"}
    assert "the restart would move the data root from /var/lib/docker to /new" in make_plan(host).blockers[0]
    host["layers"]["userns"]["next_root"] = None
    assert make_plan(host).blockers == []


def test_null_is_no_value() -> None:
    found = make_plan(make_observed('{"bip": null, "icc": null}'))
    assert found.blockers == []
    assert json.loads(found.changes[0].after) == {"bip": None, **KEYS}
    assert json.loads(make_plan(make_observed("null")).changes[0].after) == KEYS


def test_null_of_a_key_clashes_with_its_flag() -> None:
    # moby daemon/config/config.go, findConfigurationConflicts: the key is in the file, whatever its value.
    blockers = make_plan(make_observed('{"hosts": null}', {"host": "fd://"})).blockers
    assert len(blockers) == 1 and "hosts is also set by --host" in blockers[0]


def test_a_broken_file_is_a_blocker_with_the_parsers_error() -> None:
    host = make_observed("{")
    host["daemon_json"]["error"] = f"{PATH}: line 1, column 2: the file ends in the middle"
    assert make_plan(host).blockers == [host["daemon_json"]["error"]]
    host["daemon_json"]["damaged"] = True
    assert make_plan(host).blockers == [
        f"{PATH}: line 1, column 2: the file ends in the middle; it is cut off, or a closing bracket is missing"
    ]


def test_a_flag_with_the_same_value_is_accepted() -> None:
    result = make_plan(make_observed(None, {"icc": "false"}))
    assert "icc" not in result.apply["options"]
    assert any("--icc=false in /etc/default/docker already sets it" in notice for notice in result.notices)


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        ({"docker_daemon_options": {"live-restor": True}}, "write live-restore"),
        ({"docker_daemon_options": {"zzz": 1}}, "the engine's own check decides"),
        ({"docker_daemon_options": {"data-root": "/srv/docker"}}, "the engine no longer sees its present images"),
        ({"docker_daemon_restart": False}, "until it is restarted"),
    ],
)
def test_warnings(desired: dict[str, Any], message: str) -> None:
    assert any(message in warning for warning in make_plan(make_observed(), **desired).warnings)


def test_swarm_has_no_live_restore() -> None:
    result = make_plan(make_observed(swarm=True))
    assert "live-restore" not in result.apply["options"]
    assert any("swarm" in notice for notice in result.notices)
    assert make_plan(make_observed(swarm=True), docker_daemon_options={"live-restore": True}).blockers


def test_another_log_driver_gets_no_log_options() -> None:
    assert "log-opts" not in make_plan(make_observed('{"log-driver": "journald"}')).apply["options"]


def test_one_layer_leaves_the_others_unchanged() -> None:
    host = make_hardened()
    host["daemon_json"]["text"] = json.dumps({**KEYS, "no-new-privileges": False})
    result = make_plan(host, {"no_new_privileges"}, docker_daemon_icc=True, docker_daemon_log_opts={})
    assert result.apply["options"] == {"no-new-privileges": True}
    assert result.apply["keep"] == ["icc", "live-restore", "log-opts", "userland-proxy"]
    assert json.loads(result.changes[0].after) == KEYS
    assert "pids_limit" not in result.apply


def test_a_run_of_some_layers_keeps_the_keys_of_others() -> None:
    host = make_hardened()
    host["managed"]["files"][PATH]["keys"]["/seccomp-profile"] = {"value": "/etc/docker/seccomp/web.json"}
    assert make_plan(host).apply["keep"] == ["seccomp-profile"]


CONTAINERS = [{"name": "web", "id": "1", "pids": {"max": 20, "current": 3, "peak": 5}, "pids_limit": 20}]


@pytest.mark.parametrize(
    ("engine", "desired", "effect"),
    [
        ({}, {}, "no container runs"),
        ({"containers": CONTAINERS, "live_restore": True}, {}, "its containers keep running (live-restore): web"),
        ({"containers": CONTAINERS}, {}, "its containers keep running (live-restore): web"),
        ({"containers": CONTAINERS}, {"docker_daemon_live_restore": None}, "its containers stop and are started again: web"),
        ({"containers": CONTAINERS, "swarm": True}, {}, "its containers stop and are started again: web"),
        ({"containers": CONTAINERS}, {}, "existing containers keep the old value until they are created anew): web"),
    ],
)
def test_effects(engine: dict[str, Any], desired: dict[str, Any], effect: str) -> None:
    effects = make_plan(make_observed(**engine), **desired).effects
    assert any(effect in text for text in effects), effects


def test_switching_the_data_root_stops_containers() -> None:
    userns = LayerPlan("userns", daemon_keys={"userns-remap": "default"})
    result = make_plan(make_observed(containers=CONTAINERS), BOTH | {"userns"}, {"userns": userns})
    assert result.apply["stop_containers"] is True
    assert any("it no longer sees them: web" in effect for effect in result.effects)


def test_a_stopped_engine_stays_stopped() -> None:
    result = make_plan(make_observed(running=False, started_at=None, info=None, security_options=None))
    assert result.effects == []
    assert any("stays stopped" in notice for notice in result.notices)


@pytest.mark.parametrize(
    ("shown", "version", "keys"),
    [
        ([], "26.1.5", "no-new-privileges"),
        (["name=no-new-privileges"], "26.1.5", None),
        ([], "20.10.24", None),
    ],
)
def test_an_engine_that_differs_from_its_file_is_restarted(shown: list[str], version: str, keys: str | None) -> None:
    host = make_hardened()
    host["engine"].update(security_options=shown, version=version)
    result = make_plan(host)
    assert result.apply["restart"] == ("always" if keys else "needed")
    assert [change.path for change in result.changes] == (["docker.service"] if keys else [])
    assert not keys or keys in result.changes[0].summary


@pytest.mark.parametrize(("mtime", "restart"), [(150.0, False), (250.0, True), (5000.0, False)])
def test_a_profile_newer_than_the_engine_needs_a_restart(mtime: float, restart: bool) -> None:
    host = make_hardened()
    profile = "/etc/docker/seccomp/web.json"
    host["daemon_json"]["text"] = json.dumps({**KEYS, "seccomp-profile": profile})
    host["daemon_json"]["referenced"] = {"seccomp-profile": {"path": profile, "mtime": mtime}}
    host["engine"]["security_options"].append(f"name=seccomp,profile={profile}")
    host["engine"]["security_options"].remove("name=seccomp,profile=builtin")
    result = make_plan(host)
    assert bool(result.changes) is restart


def test_a_profile_about_to_be_written_needs_a_restart() -> None:
    host = make_hardened()
    profile = "/etc/docker/seccomp/web.json"
    host["daemon_json"]["text"] = json.dumps({**KEYS, "seccomp-profile": profile})
    host["engine"]["security_options"][1] = f"name=seccomp,profile={profile}"
    seccomp = LayerPlan("seccomp", changes=[Change(profile, "rewrite")], daemon_keys={"seccomp-profile": profile})
    (change,) = make_plan(host, BOTH | {"seccomp"}, {"seccomp": seccomp}).changes
    assert profile in change.summary


@pytest.mark.parametrize(("remembered", "warned"), [(None, True), ("other", True), ("same", False)])
def test_a_later_edit_by_others_is_a_warning(remembered: str | None, warned: bool) -> None:
    from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import sha256

    host = make_hardened()
    host["daemon_json"]["mtime"] = 300.0
    host["managed"]["files"][PATH]["sha256"] = sha256(host["daemon_json"]["text"]) if remembered == "same" else remembered
    assert any("was changed after the engine started" in text for text in make_plan(host).warnings) is warned


def test_disabling_everything_removes_managed_keys() -> None:
    off = dict.fromkeys(("docker_daemon_icc", "docker_daemon_live_restore", "docker_daemon_userland_proxy", "docker_daemon_log_opts"))
    layers = {"docker_daemon_pids_limit_layer": "disabled", "docker_daemon_no_new_privileges_layer": "disabled"}
    result = make_plan(make_hardened(), **off, **layers)
    assert [(change.path, change.after) for change in result.changes] == [(PATH, ""), (ROOTFUL.drop_in, "")]
    assert result.apply["pids_limit"] == 0


def test_passwords_are_not_in_the_difference() -> None:
    result = make_plan(make_observed('{"proxies": {"http-proxy": "http://me:secret@proxy:3128"}}'))
    assert "secret" not in result.changes[0].before + result.changes[0].after


def test_planning_does_not_change_its_arguments() -> None:
    host = make_hardened()
    copy = deepcopy(host)
    make_plan(host, docker_daemon_options={"log-opts": {"max-size": "1m"}})
    assert host == copy
    assert flags.parse_flags(["-H", "fd://"]) == {"host": "fd://"}


def test_an_immutable_file_blocks_only_a_change() -> None:
    for host, blocked in ((make_observed(), True), (make_hardened(), False)):
        host["daemon_json"]["fixed"] = f"{PATH}: cannot be changed by anybody (chattr +i)"
        assert any("chattr +i" in text for text in make_plan(host).blockers) is blocked


# --- a rootless engine ---

ROOTLESS = Instance("u", 990, 990, "/home/u")


def make_rootless(text: str | None = None, **engine: Any) -> dict[str, Any]:
    host = make_observed(text, **engine)
    host["instance"], host["daemon_json"]["path"] = ROOTLESS.as_dict(), ROOTLESS.config
    return host


def test_a_rootless_engine_that_is_stopped_is_started() -> None:
    host = make_rootless(running=False)
    found = plan(host, DESIRED, {}, set(BOTH))
    assert found.apply["user"] == "u" and found.apply["start"] is True and found.apply["timeout"] == 300
    assert [change.path for change in found.changes] == [ROOTLESS.config, ROOTLESS.unit]
    assert "live-restore" not in found.apply["options"] and "userland-proxy" not in found.apply["options"]
    assert not plan(host, {**DESIRED, "docker_daemon_restart": False}, {}, set(BOTH)).apply["start"]


def test_the_runtime_belongs_to_its_layer() -> None:
    runtime = {"runtimes": {"bulkhead": {"path": "/x"}}, "default-runtime": "bulkhead"}
    host = make_rootless(json.dumps(runtime))
    record = {"/runtimes": {"value": runtime["runtimes"]}, "/default-runtime": {"value": "bulkhead"}}
    host["managed"] = {"files": {ROOTLESS.config: {"created": True, "keys": record}}}
    assert plan(host, DESIRED, {}, {"pids_limit"}).apply["keep"] == ["default-runtime", "runtimes"]
    gone = plan(host, DESIRED, {"rootless": LayerPlan("rootless")}, {"rootless"})
    assert gone.apply["keep"] == [] and gone.changes[0].path == ROOTLESS.config
