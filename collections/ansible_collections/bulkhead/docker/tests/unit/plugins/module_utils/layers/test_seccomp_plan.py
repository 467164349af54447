# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of seccomp profiles, and messages for faulty ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import sha256
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.seccomp.plan import expectation, plan, resolve_sources
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.blocks import PRESETS
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.check import FLOOR
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.compose import compose_profile, format_profile

FOLDER = "/etc/docker/seccomp"
WEB, GENERAL = format_profile(compose_profile(PRESETS["web"])), format_profile(compose_profile(PRESETS["general"]))
LIST = [{"name": "bulkhead-default", "extends": "general"}, {"name": "bulkhead-web", "extends": "web"}]


def desired(profiles: Any = None, default: Any = "bulkhead-default", layer: str = "required", directory: Any = FOLDER) -> dict[str, Any]:
    return {
        "seccomp_profiles_layer": layer,
        "seccomp_profiles_list": LIST if profiles is None else profiles,
        "seccomp_profiles_daemon_default": default,
        "seccomp_profiles_directory": directory,
    }


def file(text: str, is_managed: bool = True, **more: Any) -> dict[str, Any]:
    return {"sha256": sha256(text), "mtime": 5.0, "mode": 0o644, "uid": 0, "error": None, **({"text": text} if is_managed else {}), **more}


def host(
    files: Mapping[str, dict[str, Any]] | None = None, managed: Mapping[str, str] | None = None, named: str | None = None, **seen: Any
) -> dict[str, Any]:
    """Return an observation. files: name -> as observed. managed: name -> the written text. named: the profile in daemon.json."""
    return {
        "layers": {
            "seccomp": {
                "in_kernel": True,
                "files": {f"{FOLDER}/{name}.json": entry for name, entry in (files or {}).items()},
                "managed": {f"{FOLDER}/{name}.json": {"sha256": sha256(text)} for name, text in (managed or {}).items()},
                "error": None,
                **seen,
            }
        },
        "engine": {"version": "26.1.5+dfsg1", "security_options": ["name=apparmor", "name=seccomp,profile=builtin"]},
        "daemon_json": {"referenced": {"seccomp-profile": {"path": f"{FOLDER}/{named}.json", "mtime": 5.0}} if named else {}},
        "unit": {"flags": {}},
    }


def steady() -> dict[str, Any]:
    texts = {"bulkhead-default": GENERAL, "bulkhead-web": WEB}
    return host({name: file(text) for name, text in texts.items()}, texts, "bulkhead-default")


def steps(planned: LayerPlan, key: str = "profiles") -> list[tuple[str, str]]:
    return [(step["name"], step["state"]) for step in planned.apply.get(key, [])]


def test_fresh_host_gets_profiles_and_the_default() -> None:
    planned = plan(host(), desired())
    assert planned.blockers == []
    assert steps(planned) == [("bulkhead-default", "present"), ("bulkhead-web", "present")]
    assert planned.daemon_keys == {"seccomp-profile": f"{FOLDER}/bulkhead-default.json"}
    assert [change.path for change in planned.changes] == [f"{FOLDER}/bulkhead-default.json", f"{FOLDER}/bulkhead-web.json"]
    assert planned.changes[1].after == WEB


def test_a_second_run_changes_nothing() -> None:
    planned = plan(steady(), desired())
    assert (planned.changes, planned.apply, planned.warnings) == ([], {}, [])
    assert planned.daemon_keys  # still message, or it would be dropped


def test_built_in_profile_can_stay_the_default() -> None:
    assert plan(host(), desired(default="")).daemon_keys == {}


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (file(GENERAL), "has another text"),
        (file(WEB, mode=0o666), "is writable by users other than root"),
        (file(WEB, uid=1000), "is writable by users other than root"),
        ({"sha256": None, "error": "its target does not exist"}, "cannot be read (its target does not exist)"),
    ],
)
def test_differing_file_is_corrected(seen: dict[str, Any], reason: str) -> None:
    planned = plan(host({"bulkhead-web": seen}, {"bulkhead-web": WEB}), desired(LIST[1:], default=""))
    assert steps(planned) == [("bulkhead-web", "present")]
    assert planned.changes[0].summary == f"bulkhead-web {reason}"


def test_manual_edit_is_a_warning() -> None:
    planned = plan(host({"bulkhead-web": file("{}")}, {"bulkhead-web": WEB}), desired(LIST[1:], default=""))
    assert planned.warnings == [f"{FOLDER}/bulkhead-web.json was changed by hand; the desired text is restored"]
    assert planned.changes[0].before == "{}"


def test_unmanaged_file_is_a_blocker_unless_forced() -> None:
    observed = host({"bulkhead-web": file("{}", is_managed=False)})
    planned = plan(observed, desired(LIST[1:], default=""))
    assert planned.changes == [] and "is unmanaged and has another text" in planned.blockers[0]
    forced = plan(observed, desired([{**LIST[1], "force": True}], default=""))
    assert steps(forced) == [("bulkhead-web", "present")] and forced.apply["profiles"][0]["force"]


def test_unmanaged_file_of_equal_text_is_unchanged() -> None:
    assert plan(host({"bulkhead-web": file(WEB, is_managed=False)}), desired(LIST[1:], default="")).changes == []


def test_profile_removed_from_the_list_is_removed() -> None:
    planned = plan(steady(), desired(LIST[:1]))
    assert steps(planned) == [("bulkhead-web", "absent")]
    assert planned.changes[0].before == WEB


def test_unmanaged_profiles_are_not_removed() -> None:
    assert plan(host({"unmanaged": file("{}", is_managed=False)}), desired([], default="")).changes == []


@pytest.mark.parametrize(("profiles", "default", "layer"), [(LIST[1:], "bulkhead-web", "required"), (LIST, "", "disabled")])
def test_file_of_the_daemon_default_is_removed_last(profiles: Any, default: str, layer: str) -> None:
    planned = plan(steady(), desired(profiles, default, layer))
    assert steps(planned, "retire") == [("bulkhead-default", "absent")]
    assert ("bulkhead-default", "absent") not in steps(planned)
    assert any("once the engine no longer names it" in change.summary for change in planned.changes)
    assert planned.daemon_keys.get("seccomp-profile") != f"{FOLDER}/bulkhead-default.json"


def test_disabled_layer_removes_managed_files() -> None:
    planned = plan(steady(), desired([{"name": "a/b"}], layer="disabled"))
    assert planned.blockers == []
    assert steps(planned) == [("bulkhead-web", "absent")]
    assert plan(host(in_kernel=False), desired(layer="disabled")).blockers == []


def test_absent_and_unmanaged() -> None:
    observed = host({"old": file("{}", is_managed=False)})
    assert "is unmanaged and not removed" in plan(observed, desired([{"name": "old", "state": "absent"}], default="")).blockers[0]
    assert steps(plan(observed, desired([{"name": "old", "state": "absent", "force": True}], default=""))) == [("old", "absent")]
    assert plan(host(), desired([{"name": "old", "state": "absent"}], default="")).changes == []


@pytest.mark.parametrize("layer", ["required", "optional"])
@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (host(in_kernel=False), "the kernel has no seccomp filters"),
        ({**host(), "engine": {"version": "26.1", "security_options": ["name=apparmor"]}}, "the engine was built without seccomp"),
    ],
)
def test_hosts_that_do_not_support_the_layer(observed: dict[str, Any], reason: str, layer: str) -> None:
    planned = plan(observed, desired(layer=layer))
    assert not planned.applicable and reason in planned.reason
    assert bool(planned.blockers) is (layer == "required")
    assert planned.daemon_keys == {} and planned.apply == {}


def test_unreachable_engine_is_not_a_blocker() -> None:
    assert plan({**host(), "engine": {}}, desired()).blockers == []


def test_damaged_state_file_is_a_blocker() -> None:
    assert plan(host(error="/var/lib/bulkhead/seccomp.json: not valid JSON"), desired()).blockers == [
        "/var/lib/bulkhead/seccomp.json: not valid JSON"
    ]


BAD = [
    ("text", "seccomp_profiles_list: 'text' is not a list"),
    (["web"], "seccomp_profiles_list[0]: 'web' is not a profile"),
    ([{}], "seccomp_profiles_list[0].name: is missing"),
    ([{"name": "a/b", "extends": "web"}], "'a/b' is not a valid name; write letters, digits, dots, dashes and underscores, without a slash"),
    ([{"name": "../x", "extends": "web"}], "'../x' is not a valid name"),
    ([{"name": "a.json", "extends": "web"}], '"a.json" ends in .json, which is added to it; write "a"'),
    ([*LIST, LIST[0]], "seccomp_profiles_list[2].name: 'bulkhead-default' is also the name of seccomp_profiles_list[0]"),
    ([{"name": "a"}], "seccomp_profiles_list[0]: does not say what the profile allows; write extends: web"),
    ([{"name": "a", "extend": "web"}], "seccomp_profiles_list[0].extend: is not a key of a profile; write extends"),
    ([{"name": "a", "extends": "wen"}], "seccomp_profiles_list[0].extends: 'wen' is not a preset; write one of general, web"),
    ([{"name": "a", "blocks": ["libcc"]}], 'seccomp_profiles_list[0].blocks: "libcc" is not a building block; write "libc"'),
    ([{"name": "a", "blocks": "libc"}], "seccomp_profiles_list[0].blocks: 'libc' is not a list of names; write for example [process]"),
    ([{"name": "a", "blocks": ["libc"]}], "seccomp_profiles_list[0]: no container would start: runc needs"),
    ([{"name": "a", "extends": "web", "allow": ["ptracee"]}], '[0].allow: "ptracee" is not a system call that libseccomp knows; write'),
    ([{"name": "a", "extends": "web", "deny": ["execve"]}], "[0]: no container would start: runc needs execve"),
    ([{"name": "a", "extends": "web", "allow": ["sync"], "deny": ["sync"]}], "[0].deny: sync is in allow as well"),
    ([{"name": "a", "extends": "web", "default_action": "deny"}], "[0].default_action: 'deny' is not an action; write one of"),
    ([{"name": "a", "extends": "web", "default_action": "SCMP_ACT_LOG"}], "[0]: defaultAction: LOG allows every call"),
    ([{"name": "a", "extends": "web", "architectures": ["x86_64"]}], 'seccomp_profiles_list[0].architectures: "x86_64" is not a known architecture'),
    ([{"name": "a", "extends": "web", "state": "gone"}], "seccomp_profiles_list[0].state: 'gone' is not a state; write present or absent"),
    ([{"name": "a", "extends": "web", "force": "yes"}], "seccomp_profiles_list[0].force: 'yes' is not a boolean; write true or false"),
    ([{"name": "a", "src": "a.json", "content": "{}", "blocks": ["libc"]}], "[0].blocks: cannot be combined with src, which is a whole profile"),
    ([{"name": "a", "src": "a.json", "content": "{}"}], "seccomp_profiles_list[0] (a.json): defaultAction: is missing"),
    ([{"name": "a", "src": "a.json", "content": "{"}], "seccomp_profiles_list[0] (a.json): is not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("profiles", "message"), BAD)
def test_bad_input_is_a_blocker(profiles: Any, message: str) -> None:
    planned = plan(host(), desired(profiles, default=""))
    assert any(message in one for one in planned.blockers), planned.blockers
    assert planned.changes == [] and planned.apply == {} and planned.daemon_keys == {}


def test_a_default_that_is_not_listed() -> None:
    assert plan(host(), desired(default="web")).blockers == [
        'seccomp_profiles_daemon_default: "web" is not a profile of seccomp_profiles_list (defined: bulkhead-default, bulkhead-web); '
        "write one of them, or '' for the engine's built-in profile"
    ]
    absent = [{**LIST[0], "state": "absent"}]
    assert "(defined: none)" in plan(host(), desired(absent)).blockers[0]


def test_a_relative_directory() -> None:
    assert plan(host(), desired(directory="seccomp")).blockers == [
        "seccomp_profiles_directory: 'seccomp' is not an absolute path; write for example /etc/docker/seccomp"
    ]


def test_sources_of_the_control_node_are_read() -> None:
    assert resolve_sources([{"name": "a", "src": "a.json"}, LIST[0], 7], lambda name: f"text of {name}") == [
        {"name": "a", "src": "a.json", "content": "text of a.json"},
        LIST[0],
        7,
    ]

    def missing(name: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", name)

    with pytest.raises(ValueError, match=r"seccomp_profiles_list\[0\].src: a.json cannot be read \(No such file or directory\)"):
        resolve_sources([{"name": "a", "src": "a.json"}], missing)


def test_expectation_has_the_text_of_the_default() -> None:
    expected = expectation(desired())
    assert expected["daemon_profile"] == {
        "name": "bulkhead-default",
        "path": f"{FOLDER}/bulkhead-default.json",
        "sha256": sha256(GENERAL),
        "content": GENERAL,
    }
    assert [profile["name"] for profile in expected["profiles"]] == ["bulkhead-default", "bulkhead-web"]
    assert expectation(desired(layer="disabled")) == {"requirement": "disabled", "daemon_profile": None, "profiles": []}


def without_statx(runc: str | None, **info: Any) -> LayerPlan:
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": FLOOR, "action": "SCMP_ACT_ALLOW"}]})
    seen = host()
    seen["engine"]["info"] = {"DefaultRuntime": "runc", "RuncCommit": {"ID": runc} if runc else None, **info}
    return plan(seen, desired([{"name": "chrome", "src": "chrome.json", "content": text}], ""))


@pytest.mark.parametrize("runc", ["1.1.5+ds1-1+deb12u1", "1.1.15+ds1-2+deb13u1", "v1.1.12-0-g51d5e94"])
def test_profile_that_this_runc_can_use(runc: str) -> None:
    found = without_statx(runc)
    assert (found.blockers, found.warnings, len(found.changes)) == ([], [], 1)


@pytest.mark.parametrize(("runc", "version"), [("1.3.6+ds1-1", "1.3.6"), ("v1.4.0-0-g1234567", "1.4.0")])
def test_profile_that_this_runc_cannot_use(runc: str, version: str) -> None:
    assert without_statx(runc).blockers == [
        f"seccomp_profiles_list[0] (chrome.json): no container would start: runc {version} needs statx after the filter is loaded; "
        "allow them (the building block `runc` contains them)"
    ]
    assert without_statx(runc, DefaultRuntime="crun").blockers == []


@pytest.mark.parametrize("runc", [None, "", "N/A", "51d5e94601ceffbbd85688df1c928ecccbfa4685"])
def test_profile_for_an_unknown_runc_is_a_warning(runc: str | None) -> None:
    found = without_statx(runc)
    assert found.blockers == []
    assert found.warnings == [
        "seccomp_profiles_list[0] (chrome.json): denies statx, which runc needs since 1.2.8, 1.3.3, 1.4.0, and this host's version is not known; "
        "allow them (the building block `runc` contains them)"
    ]
