# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.desired import DesiredState, load_specs, resolve_desired
from ansible_collections.bulkhead.docker.plugins.plugin_utils.planning.plan import select_layers

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


def resolve(**variables: Any) -> DesiredState:
    return resolve_desired(SPECS, variables, lambda value: value, lambda value: "hosts.yml:3" if value is not None else "")


def test_unset_variables_have_their_defaults() -> None:
    desired = resolve()
    assert desired.problems == []
    assert desired.values["docker_daemon_default_pids_limit"] == 100
    assert desired.values["seccomp_profiles_list"] == []


def test_values_are_converted() -> None:
    desired = resolve(docker_daemon_default_pids_limit="200", docker_daemon_icc="yes")
    assert (desired.values["docker_daemon_default_pids_limit"], desired.values["docker_daemon_icc"]) == (200, True)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"docker_daemon_default_pids_limit": "many"},
            "hosts.yml:3: docker_daemon_default_pids_limit: 'many' is not an integer; the default is 100",
        ),
        ({"docker_daemon_icc": "perhaps"}, "hosts.yml:3: docker_daemon_icc: 'perhaps' is not true or false"),
        ({"docker_daemon_icc": None}, "docker_daemon_icc: has no value; leave it out for its default, False, or write true or false"),
        ({"docker_daemon_options": ["a"]}, "hosts.yml:3: docker_daemon_options: ['a'] is not a mapping"),
        (
            {"docker_daemon_pids_limit_layer": "on"},
            "hosts.yml:3: docker_daemon_pids_limit_layer: 'on' is not valid; write required, optional or disabled",
        ),
        (
            {"docker_daemon_pids_limit_layer": False},
            "hosts.yml:3: docker_daemon_pids_limit_layer: False is not valid; write required, optional or disabled",
        ),
        (
            {"docker_daemon_default_pid_limit": 5},
            "hosts.yml:3: docker_daemon_default_pid_limit: is not a variable of any role; write docker_daemon_default_pids_limit, "
            "or rename it if it is your own",
        ),
    ],
)
def test_a_problem_is_one_message(variables: dict[str, Any], message: str) -> None:
    assert resolve(**variables).problems == [message]


def test_a_text_that_yaml_reads_as_another_number_needs_quotes() -> None:
    specs = {"shop": {"shop_user": {"type": "str"}, "shop_limit": {"type": "int"}}}
    given = {"shop_user": 2013, "shop_limit": 2013}
    assert resolve_desired(specs, given, lambda value: value, written=lambda _: "33:33").problems == [
        "shop_user: 2013 is what YAML reads for 33:33; put it in quotes"
    ]
    assert resolve_desired(specs, given, lambda value: value, written=lambda _: "2013").problems == []


def test_a_missing_key_inside_a_list_is_named() -> None:
    (problem,) = resolve(seccomp_profiles_list=[{"blocks": []}]).problems
    assert "seccomp_profiles_list" in problem and "name" in problem


def test_internal_and_other_variables_are_ignored() -> None:
    assert resolve(__docker_daemon_plan={}, docker_users=["a"], docker_hosts=[]).problems == []


def test_a_failing_template_is_a_problem() -> None:
    def fails(value: Any) -> Any:
        raise ValueError("'nowhere' is undefined")

    desired = resolve_desired(SPECS, {"docker_daemon_icc": "{{ nowhere }}"}, fails)
    assert desired.problems == ["docker_daemon_icc: cannot be templated: 'nowhere' is undefined"]


def test_the_defaults_of_the_roles_match_their_specs() -> None:
    roles = Path(__file__).parents[4] / "roles"
    assert resolve_desired(load_specs(roles), {}, lambda value: value).problems == []


ALL = {"pids_limit", "no_new_privileges", "seccomp", "apparmor", "userns", "rootless", "files", "audit_rules", "egress"}


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
def test_tags_select_layers(asked: list[str] | None, run: list[str], skip: list[str], expected: set[str]) -> None:
    assert select_layers(asked, run, skip) == expected


@pytest.mark.parametrize(
    ("asked", "run", "skip", "expected"),
    [
        (None, ["rootless"], [], {"rootless", "apparmor"}),
        (["apparmor"], ["rootless"], [], {"apparmor"}),
        (None, ["rootless"], ["apparmor"], {"rootless"}),
        (None, ["seccomp"], [], {"seccomp"}),
    ],
)
def test_a_rootless_engine_also_selects_its_apparmor_profile(
    asked: list[str] | None, run: list[str], skip: list[str], expected: set[str]
) -> None:
    desired = {"rootless_docker_layer": "required", "rootless_docker_user": "u", "rootless_docker_apparmor_profile": "bulkhead-rootless"}
    assert select_layers(asked, run, skip, desired) == expected
    assert "apparmor" not in select_layers(None, ["rootless"], [], {**desired, "rootless_docker_layer": "disabled"})
