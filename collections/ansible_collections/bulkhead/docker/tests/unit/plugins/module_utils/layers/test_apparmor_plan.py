# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of AppArmor profiles, and what verification expects."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor import desired as desired_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.apparmor.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan

WEB = {"name": "web", "extends": "web"}
PROFILE = desired_profiles.read_apparmor_profiles([WEB]).profiles[0]
PATH = "/etc/apparmor.d/web"
NGINX = {"pid": 12, "command": "nginx", "container": "0123456789ab"}


def make_managed(**more: Any) -> dict[str, Any]:
    good = {
        "text": PROFILE.content,
        "sha256": PROFILE.sha256,
        "links": [],
        "mode": "enforce",
        "hash": "sha256:1",
        "current": True,
        "is_managed": True,
    }
    return {**good, "error": None, **more}


def observed(**more: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {"enabled": True, "parser": "/usr/sbin/apparmor_parser", "at_boot": True, "modes": {"docker-default": "enforce"}}
    seen.update(files={}, links={}, managed={}, confined={}, error=None)
    return {"layers": {"apparmor": {**seen, **more}}}


def planned(entries: Any = (WEB,), layer: str = "required", **more: Any) -> LayerPlan:
    desired = {"apparmor_profiles_layer": layer, "apparmor_profiles_list": list(entries)}
    return plan(observed(**more), desired)


def test_new_profile() -> None:
    found = planned()
    assert [(change.path, change.summary) for change in found.changes] == [(PATH, "web is new")]
    assert found.changes[0].before == ""
    assert found.changes[0].after == f"# loaded in enforce mode\n{PROFILE.content}"
    assert found.apply == {"profiles": [{"name": "web", "state": "present", "mode": "enforce", "force": False, "content": PROFILE.content}]}


def test_steady_state() -> None:
    found = planned(managed={"web": make_managed()}, confined={"web": [NGINX]})
    assert (found.changes, found.apply, found.blockers, found.warnings, found.effects) == ([], {}, [], [], [])


def test_recording_is_a_notice() -> None:
    found = planned(managed={"web": make_managed()}, recording=["web"])
    assert (found.changes, found.apply, found.blockers, found.warnings) == ([], {}, [], [])
    assert len(found.notices) == 1
    assert found.notices[0].startswith("recording: web: ")


@pytest.mark.parametrize(
    ("more", "summary"),
    [
        ({"sha256": "other", "text": "x\n"}, "web has another text"),
        (
            {"mode": "complain", "links": ["force-complain"]},
            "web is loaded in complain mode because of /etc/apparmor.d/force-complain, is in complain mode",
        ),
        ({"mode": None, "hash": None, "current": None}, "web is not loaded"),
        ({"current": False}, "web is loaded with a policy that differs from its file"),
        ({"links": ["disable"]}, "web is not loaded at boot because of /etc/apparmor.d/disable"),
        ({"sha256": None, "text": None, "current": None}, "web has no file"),
    ],
)
def test_drift(more: dict[str, Any], summary: str) -> None:
    found = planned(managed={"web": make_managed(**more)}, confined={"web": [NGINX]})
    assert [change.summary for change in found.changes] == [summary]
    assert found.changes[0].before != found.changes[0].after
    assert found.effects == ["the new policy of web applies at once to nginx (pid 12, container 0123456789ab)"]


def test_one_of_two_differs() -> None:
    found = planned([WEB, {"name": "two", "extends": "web"}], managed={"web": make_managed()})
    assert [entry["name"] for entry in found.apply["profiles"]] == ["two"]


def test_dropped_profile_is_removed() -> None:
    found = planned([], managed={"web": make_managed()})
    assert [change.summary for change in found.changes] == ["web is no longer desired"]
    assert found.changes[0].after == ""
    assert found.apply == {"profiles": [{"name": "web", "state": "absent", "mode": "enforce", "force": False}]}


def test_disabled_layer_removes_only_managed_profiles() -> None:
    found = planned(layer="disabled", managed={"web": make_managed()}, files={"web": PROFILE.sha256, "usr.bin.man": "x"})
    assert [entry["name"] for entry in found.apply["profiles"]] == ["web"]
    assert planned(layer="disabled", files={"web": "x"}).changes == []
    assert (
        planned(layer="disabled", enabled=False, parser=None, managed={"web": make_managed(mode=None)}).apply["profiles"][0]["state"]
        == "absent"
    )


def test_dropped_profile_in_use_is_a_blocker() -> None:
    for found in (
        planned([], managed={"web": make_managed()}, confined={"web": [NGINX]}),
        planned([{"name": "web", "state": "absent"}], managed={"web": make_managed()}, confined={"web": [NGINX]}),
    ):
        assert found.changes == []
        assert "in use by nginx (pid 12, container 0123456789ab), which would run unconfined" in found.blockers[0]
        assert "{name: web, state: absent, force: true}" in found.blockers[0]


@pytest.mark.parametrize(("allowed", "is_blocked"), [(True, False), (False, True)])
def test_profile_is_removed_with_its_rootless_engine(allowed: bool, is_blocked: bool) -> None:
    host = observed(managed={"web": make_managed()}, confined={"web": [NGINX]})
    host["layers"]["rootless"] = {"state": {"user": "u"}, "containers": [NGINX["container"] + "0" * 52]}
    desired = {"apparmor_profiles_layer": "disabled", "rootless_docker_stop_containers": allowed}
    assert bool(plan(host, desired).blockers) == is_blocked


def test_dropped_profile_in_use_by_force() -> None:
    found = planned([{"name": "web", "state": "absent", "force": True}], managed={"web": make_managed()}, confined={"web": [NGINX]})
    assert (found.blockers, found.apply["profiles"][0]["force"]) == ([], True)
    assert found.effects == ["web is removed, so these become unconfined: nginx (pid 12, container 0123456789ab)"]


def test_nothing_is_dropped_while_the_list_is_faulty() -> None:
    found = planned([{"name": "wbe", "extends": "web", "mode": "loud"}], managed={"web": make_managed()})
    assert (len(found.blockers), found.changes) == (1, [])


@pytest.mark.parametrize(
    ("entry", "more", "message"),
    [
        (WEB, {"files": {"web": "x"}}, "/etc/apparmor.d/web: is unmanaged and has another text; choose another name"),
        (WEB, {"modes": {"web": "enforce"}}, "profile web is loaded, but not from /etc/apparmor.d/web; choose another name"),
        ({"name": "web", "state": "absent"}, {"files": {"web": PROFILE.sha256}}, "/etc/apparmor.d/web: is unmanaged and not removed"),
        ({"name": "web", "state": "absent"}, {"modes": {"web": "enforce"}}, "profile web is loaded, but not from"),
    ],
)
def test_unmanaged_is_a_blocker_unless_forced(entry: dict[str, Any], more: dict[str, Any], message: str) -> None:
    found = planned([entry], **more)
    assert (len(found.blockers), found.changes) == (1, [])
    assert message in found.blockers[0]
    forced = planned([{**entry, "force": True}], **more)
    assert (forced.blockers, len(forced.changes)) == ([], 1)


def test_unmanaged_file_of_equal_text_becomes_managed() -> None:
    found = planned(files={"web": PROFILE.sha256}, modes={"web": "enforce"})
    assert [change.summary for change in found.changes] == ["web exists and becomes managed"]


def test_absent_and_never_installed() -> None:
    assert planned([{"name": "web", "state": "absent"}]).changes == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"enabled": False}, "not active in the kernel"),
        ({"securityfs": False}, "mount -t securityfs"),
        ({"parser": None}, "install the package apparmor"),
    ],
)
def test_host_that_does_not_support_the_layer(more: dict[str, Any], message: str) -> None:
    required, optional, disabled = (planned(layer=layer, **more) for layer in ("required", "optional", "disabled"))
    assert message in required.blockers[0]
    assert (optional.blockers, optional.applicable, optional.changes) == ([], False, [])
    assert message in optional.reason and "optional" not in optional.reason
    assert (disabled.blockers, disabled.applicable, disabled.changes) == ([], True, [])


def test_damaged_state_file_is_a_blocker() -> None:
    assert "apparmor.json: not valid JSON" in planned(error="/var/lib/bulkhead/apparmor.json: not valid JSON").blockers[0]


def test_boot_that_loads_nothing_is_warned_about() -> None:
    assert "apparmor.service is not enabled" in planned(managed={"web": make_managed()}, at_boot=False).warnings[0]
    assert planned([], at_boot=False).warnings == []


def test_expectation() -> None:
    desired = {"apparmor_profiles_layer": "optional", "apparmor_profiles_list": [WEB, {"name": "old", "state": "absent"}]}
    assert expectation(desired) == {
        "requirement": "optional",
        "profiles": [{"name": "web", "path": PATH, "mode": "enforce", "sha256": PROFILE.sha256}],
    }
    assert expectation({**desired, "apparmor_profiles_layer": "disabled"})["profiles"] == []


def source(text: str, mode: str = "enforce") -> dict[str, Any]:
    return {"name": "web", "src": "files/web", "content": f"profile web {text}\n", "mode": mode}


def loaded(entry: dict[str, Any], **more: Any) -> dict[str, Any]:
    (profile,) = desired_profiles.read_apparmor_profiles([entry]).profiles
    return make_managed(sha256=profile.sha256, text=profile.content, **more)


def test_kill_mode_is_stricter_than_enforce() -> None:
    entry = source("flags=(kill) { signal, }")
    found = planned([entry], managed={"web": loaded(entry, mode="kill")}, modes={"web": "kill", "web//sub": "kill"})
    assert (found.changes, found.apply, found.blockers, found.warnings) == ([], {}, [], [])


@pytest.mark.parametrize("mode", ["complain", "unconfined", "user"])
def test_flags_in_included_files_are_blockers(mode: str) -> None:
    entry = source("{ signal, include <local/web> }")
    found = planned([entry], managed={"web": loaded(entry)}, modes={"web": "enforce", "web//sub": mode, "webster": "complain"})
    assert found.blockers == [
        f"profile web//sub is loaded in {mode} mode because of a file that /etc/apparmor.d/web includes; remove the flag from that file"
    ]
    assert (found.changes, found.apply) == ([], {})
    found = planned([entry], managed={"web": loaded(entry, mode=mode)})
    assert [message.partition(" because")[0] for message in found.blockers] == [f"profile web is loaded in {mode} mode"]


def test_parser_option_that_only_logs_is_a_blocker() -> None:
    found = planned(complain_option=True)
    assert found.blockers == [
        "/etc/apparmor/parser.conf: has the option Complain, with which no profile can be loaded in enforce mode; remove it there"
    ]
    assert not planned([{**WEB, "mode": "complain"}], complain_option=True).blockers


def test_global_complain_mode_is_a_warning() -> None:
    (warning,) = planned(global_mode={"value": "complain", "error": None}).warnings
    assert "/sys/module/apparmor/parameters/mode is complain, so that profiles deny nothing; write enforce there" in warning
    assert not planned(global_mode={"value": "enforce", "error": None}).warnings


@pytest.mark.parametrize(
    ("modes", "warning"),
    [
        ({"docker-default": "enforce"}, None),
        (
            {"docker-default": "enforce", "runc": "unconfined"},
            "apparmor_profiles_list[0].src: files/web: profile web does not let the runtime, whose label here is runc, send SIGTERM and SIGKILL, "
            "so `docker stop` waits until its timeout and ends in SIGKILL (exit code 137); "
            "add 'signal (receive) peer={unconfined,runc,crun,rootlesskit},' to it",
        ),
    ],
)
def test_a_profile_that_keeps_containers_running(modes: dict[str, str], warning: str | None) -> None:
    assert planned([source("{ signal (receive) peer=unconfined, }")], modes=modes).warnings == ([warning] if warning else [])


def test_a_rule_of_the_inventory_can_deny_signals() -> None:
    (warning,) = planned([{**WEB, "rules": ["deny signal (receive) set=(term)"]}]).warnings
    assert warning.startswith(
        "apparmor_profiles_list[0].rules: profile web does not let the runtime, whose label here is unconfined, send SIGTERM, so"
    )


@pytest.mark.parametrize(("restricted", "label"), [(True, "bulkhead-rootlesskit"), (False, None)])
def test_the_profile_of_rootlesskit_counts_before_it_is_loaded(restricted: bool, label: str | None) -> None:
    seen = observed()
    seen["layers"]["rootless"] = {"restrict_userns": restricted, "tools": {}}
    chosen = {"apparmor_profiles_layer": "required", "rootless_docker_layer": "required", "rootless_docker_user": "joe"}
    found = plan(seen, {**chosen, "apparmor_profiles_list": [source("{ signal (receive) peer={unconfined,runc}, }")]})
    assert [label in warning for warning in found.warnings] == ([True] if label else [])
    assert not plan(seen, {**chosen, "apparmor_profiles_list": [WEB]}).warnings
