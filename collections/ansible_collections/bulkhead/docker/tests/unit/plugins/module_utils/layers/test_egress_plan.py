# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.plan import expectation, plan
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import LayerPlan

from .egress_host import DESIRED, SHOP, TABLE, make_answer, make_loaded, make_observed

FILES = [
    "/var/lib/bulkhead/egress.nft",
    "/etc/systemd/system/bulkhead-egress.service",
    "/etc/systemd/system/nftables.service.d/10-bulkhead-egress.conf",
]
LIST = "nft list table inet bulkhead_egress"
OFF = {**DESIRED, "container_egress_layer": "disabled"}


def run(answer: dict[str, Any] | None = None, desired: dict[str, Any] | None = None, **more: Any) -> LayerPlan:
    return plan(make_observed(answer, **more), {**DESIRED, **(desired or {})})


def test_the_host_is_asked_only_if_configured_or_desired() -> None:
    assert run().question == {"names": []}
    assert run(desired={"container_egress_list": [SHOP], "docker_engine_socket": "/run/d.sock"}).question == {
        "names": ["api.example.com"],
        "socket": "/run/d.sock",
    }
    assert plan(make_observed(None, configured=False), OFF).question == {}
    assert plan(make_observed(None), OFF).question == {"names": []}


def test_a_host_without_rules_gets_files_and_table() -> None:
    planned = run(make_answer())
    assert [change.path for change in planned.changes] == [*FILES, LIST]
    assert planned.apply["rules_text"].startswith("# Written by Bulkhead")
    assert (planned.blockers, planned.warnings) == ([], [])


def test_a_second_run_changes_nothing() -> None:
    planned = run(make_loaded(DESIRED))
    assert (planned.changes, planned.apply, planned.warnings, planned.blockers) == ([], {}, [], [])


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({"table": None}, "load the rules"),
        ({"table": TABLE[:2]}, "load the rules again: a rule of chain forward differs"),
        ({"started_by": ["multi-user.target"]}, "enable bulkhead-egress.service for docker.service"),
    ],
)
def test_what_differs_on_the_host_is_repaired(changes: dict[str, Any], summary: str) -> None:
    planned = run(make_loaded(DESIRED, **changes))
    assert [change.summary for change in planned.changes] == [summary]
    assert planned.apply["rules_text"]


def test_other_variables_load_other_rules() -> None:
    planned = run(make_loaded(DESIRED), {"container_egress_presets": ["host"]})
    assert [change.path for change in planned.changes] == [FILES[0], LIST]


def test_disabled_removes_all() -> None:
    planned = plan(make_observed(make_loaded(DESIRED, question={"names": []})), OFF)
    assert [change.path for change in planned.changes] == [*FILES, LIST]
    assert planned.apply == {"rules_text": "", "unit_text": "", "drop_in_text": ""}
    planned = plan(make_observed(make_answer(table=TABLE)), OFF)
    assert [change.path for change in planned.changes] == [LIST]


def test_a_host_without_nft_is_a_blocker_or_reported() -> None:
    reason = "nft is not installed; install the package nftables"
    assert run(make_answer(nft=None)).blockers == [f"{reason}, or write container_egress_layer: optional"]
    planned = run(make_answer(nft=None), {"container_egress_layer": "optional"})
    assert (planned.blockers, planned.applicable, planned.reason) == ([], False, reason)


ROOTLESS = {"user": "app", "uid": 1000, "gid": 1000, "home": "/home/app"}
OF_USER = {"rootless_docker_layer": "required", "rootless_docker_user": "app"}


def test_a_rootless_engine_has_rules_for_its_user() -> None:
    assert run(desired=OF_USER, instance=ROOTLESS).question == {"names": [], "user": "app"}
    answer = make_answer(
        question={"names": [], "user": "app"},
        networks=[],
        containers=[],
        connections_error="connections of a rootless engine cannot be attributed to containers",
    )
    planned = run(answer, OF_USER, instance=ROOTLESS)
    assert "meta skuid 1000 goto default_output" in planned.apply["rules_text"]
    assert planned.warnings == [
        "present connections of containers are not known: connections of a rootless engine cannot be attributed to containers"
    ]
    (notice,) = run(answer, OF_USER, instance={**ROOTLESS, "uid": None}).notices
    assert notice == "the egress rules of app are planned after that user is created"


def test_lists_of_a_rootless_engine_are_a_blocker_or_reported() -> None:
    lists = {"container_egress_list": [{"network": "shop"}]}
    (blocker,) = run(desired=lists, instance=ROOTLESS).blockers
    assert blocker.startswith("container_egress_list: the networks of a rootless engine share one process")
    assert blocker.endswith("or write container_egress_layer: optional")
    assert run(desired={**lists, "container_egress_layer": "optional"}, instance=ROOTLESS).blockers == []


def test_names_are_shown_and_must_be_resolved() -> None:
    desired = {"container_egress_list": [SHOP]}
    question = {"names": ["api.example.com"]}
    assert run(make_answer(question=question), desired).notices == ["api.example.com has the addresses 192.0.2.7"]
    unknown = {"api.example.com": {"addresses": [], "error": "Name or service not known"}}
    (blocker,) = run(make_answer(question=question, names=unknown), desired).blockers
    assert blocker.startswith("api.example.com: this host cannot resolve the name")
    loaded = make_loaded({**DESIRED, **desired}, names=unknown)
    planned = run(loaded, desired)
    assert planned.warnings == ["api.example.com cannot be resolved now (Name or service not known), and keeps the addresses 192.0.2.7"]
    assert planned.changes == []


def test_a_network_that_does_not_exist_is_named() -> None:
    (warning,) = run(make_answer(), {"container_egress_list": [{"network": "later"}]}).warnings
    assert warning.startswith("network later: no bridge network of the engine has that name now")


def test_connections_that_would_end_are_named_by_container() -> None:
    common = {"source": "172.17.0.2", "protocol": "tcp", "container": "plain"}
    connections = [
        {**common, "asked": "169.254.169.254", "destination": "169.254.169.254", "port": 80},
        {**common, "asked": "192.0.2.1", "destination": "192.0.2.1", "port": 443},
        {**common, "asked": "172.18.0.2", "destination": "172.18.0.2", "port": 80},
    ]
    (effect,) = run(make_answer(connections=connections)).effects
    assert str(effect) == "present connections of these containers are ended: plain (169.254.169.254 tcp/80)"
    assert run(make_answer(connections=connections), {"container_egress_stage": "log"}).effects == []
    (warning,) = run(make_answer(connections_error="/proc/net/nf_conntrack: does not exist")).warnings
    assert warning.startswith("present connections of containers are not known")


def test_a_stopped_engine_blocks_lists_only_without_rules() -> None:
    desired = {"container_egress_list": [{"network": "shop"}]}
    (blocker,) = run(make_answer(error="no engine answers"), desired).blockers
    assert blocker.startswith("the networks of the engine are not known")
    assert run(make_loaded({**DESIRED, **desired}, error="no engine answers", networks=[]), desired).changes == []


def test_ports_of_a_bridge_are_a_warning() -> None:
    (warning,) = run(make_answer(bridges={"docker0": ["eth1"]})).warnings
    assert warning == "bridge docker0 has the port eth1: what leaves there passes no rule"


def test_verification_expects_the_variables() -> None:
    found = expectation(DESIRED)
    assert found["question"] == {"names": []}
    assert found["variables"]["container_egress_presets"] == ["metadata"]


METADATA = ["169.254.255.253", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:fffd"]
PRIVATE = ["100.127.255.253", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffd"]
HOST_ENDS, OUTSIDE = ["192.0.2.253", "2001:db8:ffff:ffff::fffd"], ["192.0.2.254", "2001:db8:ffff:ffff::fffe"]


@pytest.mark.parametrize(
    ("changes", "probe"),
    [
        ({}, [*METADATA, *OUTSIDE]),
        ({"container_egress_presets": ["host", "listed"]}, [*METADATA, *PRIVATE, *HOST_ENDS, *OUTSIDE]),
        ({"container_egress_stage": "log"}, []),
        ({"container_egress_presets": []}, []),
        ({"container_egress_layer": "disabled"}, []),
        ({"container_egress_list": [{"network": "bridge", "presets": ["host"]}]}, [*METADATA, *HOST_ENDS, *OUTSIDE]),
        ({"container_egress_allow": [{"to": "169.254.0.0/16", "reason": "x"}]}, [METADATA[1], *OUTSIDE]),
    ],
)
def test_the_probe_tries_what_any_network_may_not_reach(changes: dict[str, Any], probe: list[str]) -> None:
    asked = expectation({**DESIRED, **changes})["probe"]
    assert sorted(asked.get("probe", [])) == sorted(probe)


def test_the_probe_knows_which_networks_have_rules_of_their_own() -> None:
    asked = expectation({**DESIRED, "container_egress_list": [{"network": "shop"}, {"project": "store"}]})["probe"]
    assert (asked["listed_networks"], asked["listed_projects"]) == (["shop"], ["store"])
