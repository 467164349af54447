# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.desired import Wanted, collect, load_specs
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import selected_layers

SPECS: dict[str, dict[str, dict[str, Any]]] = {
    "docker_daemon": {
        "docker_daemon_default_pids_limit": {"type": "int", "default": 100},
        "docker_daemon_options": {"type": "dict", "default": {}},
        "docker_daemon_pids_limit_layer": {"type": "str", "choices": ["required", "optional", "disabled"], "default": "required"},
        "docker_daemon_icc": {"type": "bool", "default": False},
    },
    "seccomp_profiles": {
        "seccomp_profiles_list": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"name": {"type": "str", "required": True}, "blocks": {"type": "list", "elements": "str"}},
        }
    },
}


def look(**variables: Any) -> Wanted:
    return collect(SPECS, variables, lambda value: value, lambda value: "hosts.yml:3" if value is not None else "")


def test_what_is_not_said_is_the_default() -> None:
    desired = look()
    assert desired.problems == []
    assert desired.values["docker_daemon_default_pids_limit"] == 100
    assert desired.values["seccomp_profiles_list"] == []


def test_values_are_converted() -> None:
    desired = look(docker_daemon_default_pids_limit="200", docker_daemon_icc="yes")
    assert (desired.values["docker_daemon_default_pids_limit"], desired.values["docker_daemon_icc"]) == (200, True)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"docker_daemon_default_pids_limit": "many"}, "hosts.yml:3: docker_daemon_default_pids_limit: 'many' is not a whole number"),
        ({"docker_daemon_icc": "perhaps"}, "hosts.yml:3: docker_daemon_icc: 'perhaps' is not true or false"),
        ({"docker_daemon_icc": None}, "docker_daemon_icc: has no value; leave it out for its default, False, or write true or false"),
        ({"docker_daemon_options": ["a"]}, "hosts.yml:3: docker_daemon_options: ['a'] is not a mapping"),
        (
            {"docker_daemon_pids_limit_layer": "on"},
            "hosts.yml:3: docker_daemon_pids_limit_layer: 'on' is none of its choices; write required, optional or disabled",
        ),
        (
            {"docker_daemon_pids_limit_layer": False},
            "hosts.yml:3: docker_daemon_pids_limit_layer: False is none of its choices; write required, optional or disabled",
        ),
        (
            {"docker_daemon_default_pid_limit": 5},
            "hosts.yml:3: docker_daemon_default_pid_limit: no role has such a variable; write docker_daemon_default_pids_limit, "
            "or rename it if it is your own",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(variables: dict[str, Any], sentence: str) -> None:
    assert look(**variables).problems == [sentence]


def test_a_missing_key_inside_a_list_is_named() -> None:
    (problem,) = look(seccomp_profiles_list=[{"blocks": []}]).problems
    assert "seccomp_profiles_list" in problem and "name" in problem


def test_internal_and_foreign_variables_are_left_alone() -> None:
    assert look(__docker_daemon_plan={}, docker_users=["a"], docker_hosts=[]).problems == []


def test_a_template_that_fails_is_a_problem_of_the_inventory() -> None:
    def fails(value: Any) -> Any:
        raise ValueError("'nowhere' is undefined")

    desired = collect(SPECS, {"docker_daemon_icc": "{{ nowhere }}"}, fails)
    assert desired.problems == ["docker_daemon_icc: cannot be templated: 'nowhere' is undefined"]


def test_the_roles_own_defaults_pass_their_own_specs() -> None:
    roles = Path(__file__).parents[4] / "roles"
    assert collect(load_specs(roles), {}, lambda value: value).problems == []


ALL = {"pids_limit", "no_new_privileges", "seccomp", "apparmor", "userns", "rootless"}


@pytest.mark.parametrize(
    ("asked", "run", "skip", "expected"),
    [
        (None, ["all"], [], ALL),
        (None, ["seccomp"], [], {"seccomp"}),
        (None, ["seccomp", "mine"], [], {"seccomp"}),
        (None, ["mine"], [], ALL),
        (None, ["all"], ["userns"], ALL - {"userns"}),
        (["seccomp", "userns"], ["seccomp"], [], {"seccomp"}),
        (["apparmor"], ["seccomp"], [], set()),
        ([], ["all"], [], set()),
        (["nonsense"], ["all"], [], set()),
    ],
)
def test_tags_narrow_the_plan(asked: list[str] | None, run: list[str], skip: list[str], expected: set[str]) -> None:
    assert selected_layers(asked, run, skip) == expected


@pytest.mark.parametrize(
    ("asked", "run", "skip", "expected"),
    [
        (None, ["rootless"], [], {"rootless", "apparmor"}),
        (["apparmor"], ["rootless"], [], {"apparmor"}),
        (None, ["rootless"], ["apparmor"], {"rootless"}),
        (None, ["seccomp"], [], {"seccomp"}),
    ],
)
def test_a_rootless_engine_brings_the_profile_that_its_runtime_names(
    asked: list[str] | None, run: list[str], skip: list[str], expected: set[str]
) -> None:
    desired = {"rootless_docker_layer": "required", "rootless_docker_user": "u", "rootless_docker_apparmor_profile": "bulkhead-rootless"}
    assert selected_layers(asked, run, skip, desired) == expected
    assert "apparmor" not in selected_layers(None, ["rootless"], [], {**desired, "rootless_docker_layer": "disabled"})
