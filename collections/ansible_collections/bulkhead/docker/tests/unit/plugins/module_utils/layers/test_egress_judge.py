# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.judge import judge, judge_container
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.plan import expectation
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.rules import Inputs, render_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.settings import read_egress_settings
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.verdict import Verdict

from ...builders import build_container, build_evidence
from .egress_host import DESIRED, NETWORKS, SHOP, TABLE, make_answer, make_loaded, make_observed


def expect(desired: dict[str, Any]) -> dict[str, Any]:
    return {"requirement": desired["container_egress_layer"], **expectation(desired)}


def run(answer: dict[str, Any] | None, desired: dict[str, Any] | None = None, **more: Any) -> Verdict:
    return judge(build_evidence(make_observed(answer, **more)), expect({**DESIRED, **(desired or {})}))


def list_found(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(finding.id.removeprefix("egress."), finding.status) for finding in verdict.findings]


def test_loaded_rules_are_enforced() -> None:
    verdict = run(make_loaded(DESIRED))
    assert (verdict.status, verdict.findings) == ("enforced", [])
    assert verdict.evidence[0] == {"source": "nft list table inet bulkhead_egress", "value": "1 rules"}


@pytest.mark.parametrize(
    ("changes", "found", "status"),
    [
        ({"table": None}, [("no_table", "absent")], "absent"),
        (
            {"table": [{"table": {**TABLE[0]["table"], "flags": "dormant"}}, *TABLE[1:]]},
            [("dormant", "absent")],
            "absent",
        ),
        ({"table": TABLE[:2]}, [("rules_differ", "degraded")], "degraded"),
        ({"table": [*TABLE, TABLE[2]]}, [("rules_differ", "degraded")], "degraded"),
        ({"started_by": ["docker.service"]}, [("not_permanent", "degraded")], "degraded"),
        ({"problems": {"table": "not permitted"}, "table": None}, [("unread", "unknown")], "unknown"),
        ({"problems": {"form": "syntax error"}, "form": None}, [("unread", "unknown")], "unknown"),
        ({"nft": None}, [("not_installed", "absent")], "absent"),
        ({"others": [{"kind": "flowtable", "place": "inet x f", "devices": ["eth0"]}]}, [("offload", None)], "enforced"),
        ({"others": [{"kind": "fwd", "place": "netdev x c", "devices": []}]}, [("forwarded", "degraded")], "degraded"),
        ({"bridges": {"docker0": ["eth1"]}}, [("bridged", "degraded")], "degraded"),
        ({"nameservers": ["10.0.2.4"]}, [("host_changed", None)], "enforced"),
        ({"networks": [*NETWORKS, {"name": "n", "driver": "bridge", "bridge": "shop0", "project": ""}]}, [("no_rule", "degraded")], "degraded"),
    ],
)  # fmt: skip
def test_what_weakens_the_layer_is_named(changes: dict[str, Any], found: list[tuple[str, str | None]], status: str) -> None:
    verdict = run(make_loaded(DESIRED, **changes))
    assert (list_found(verdict), verdict.status) == (found, status)


def test_rules_of_other_variables_are_outdated() -> None:
    assert list_found(run(make_loaded(DESIRED), {"container_egress_presets": ["host"]})) == [("outdated", "degraded")]
    assert list_found(run(make_answer(table=TABLE, form=TABLE))) == [("not_permanent", "degraded"), ("outdated", "degraded")]


def test_stage_and_presets_that_deny_nothing_are_degraded() -> None:
    desired = {**DESIRED, "container_egress_stage": "log", "container_egress_presets": []}
    assert list_found(run(make_loaded(desired), desired)) == [("log_only", "degraded"), ("no_preset", "degraded")]


def test_a_network_that_was_created_again_has_no_list() -> None:
    desired = {**DESIRED, "container_egress_list": [SHOP]}
    again = [{**NETWORKS[1], "bridge": "br-ffffffffffff"}]
    assert list_found(run(make_loaded(desired, networks=again, bridges={}), desired)) == [("network_changed", "degraded")]
    assert list_found(run(make_loaded(desired, networks=[], bridges={}), desired)) == [("no_network", None)]


def test_other_addresses_of_a_name_only_inform() -> None:
    desired = {**DESIRED, "container_egress_list": [SHOP]}
    names = {"api.example.com": {"addresses": ["192.0.2.8"], "error": ""}}
    verdict = run(make_loaded(desired, names=names), desired)
    assert (list_found(verdict), verdict.status) == ([("name_changed", None)], "enforced")


DENIED, DENIED6, ALLOWED = "169.254.255.253", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:fffd", "192.0.2.254"


@pytest.mark.parametrize(
    ("reached", "found", "status"),
    [
        ({DENIED: False, DENIED6: False, ALLOWED: True}, [], "enforced"),
        ({DENIED: True, DENIED6: False, ALLOWED: True}, [("probe_reached", "absent")], "absent"),
        ({DENIED: False, DENIED6: True, ALLOWED: True}, [("probe_reached", "absent")], "absent"),
        ({DENIED: False, DENIED6: False, ALLOWED: False}, [("probe_blocked", None)], "enforced"),
    ],
)
def test_the_probe_is_compared_with_the_presets(reached: dict[str, bool], found: list[tuple[str, str | None]], status: str) -> None:
    verdict = run(make_loaded(DESIRED, probe={"reached": {"docker0": reached}, "problems": {}, "error": ""}))
    assert (list_found(verdict), verdict.status) == (found, status)


def test_each_bridge_is_compared_with_its_own_presets() -> None:
    desired = {**DESIRED, "container_egress_list": [SHOP]}
    reached = {"docker0": {DENIED: False, ALLOWED: True}, "br-0123456789ab": {DENIED: True, ALLOWED: True}}
    verdict = run(make_loaded(desired, probe={"reached": reached, "problems": {}, "error": ""}), desired)
    (finding,) = [finding for finding in verdict.findings if finding.status]
    bridge = "br-0123456789ab"
    assert finding.text == f"the probe reached {DENIED} from {bridge}, {ALLOWED} from {bridge}, which preset listed denies"


def test_what_could_not_be_probed_is_named() -> None:
    failed = run(make_loaded(DESIRED, probe={"reached": {}, "problems": {}, "error": "ip: not found"}))
    assert (list_found(failed), failed.status) == ([("not_probed", None)], "enforced")
    partly = make_loaded(DESIRED, probe={"reached": {}, "problems": {"br-a": "br-a has no free address"}, "error": ""})
    assert [finding.text for finding in run(partly).findings] == ["the probe could not try connections: br-a has no free address"]


def test_without_requirement_or_answer() -> None:
    assert run(None, {"container_egress_layer": "disabled"}).status == "not_applicable"
    assert list_found(run(None)) == [("unread", "unknown")]
    assert list_found(run({"failed": "no such file"})) == [("unread", "unknown")]


def test_rules_of_another_user_are_outdated() -> None:
    instance = {"user": "app", "uid": 1000, "gid": 1000, "home": "/home/app"}
    settings, unit = read_egress_settings(DESIRED), make_loaded(DESIRED)["texts"][1:]
    answer = make_loaded(
        DESIRED, texts=[render_rules(settings, Inputs(nameservers=["10.0.2.3"], uid=1000)), *unit], networks=[], containers=[]
    )
    assert run(answer, instance=instance).findings == []
    assert list_found(run(answer, instance={**instance, "uid": 1001})) == [("outdated", "degraded")]
    assert list_found(run(answer)) == [("outdated", "degraded")]


def test_lists_of_a_rootless_engine_are_never_enforced() -> None:
    instance = {"user": "app", "uid": 1000, "gid": 1000, "home": "/home/app"}
    lists = {"container_egress_list": [{"network": "shop"}]}
    assert run(None, lists, instance=instance).status == "absent"
    optional = run(None, {**lists, "container_egress_layer": "optional"}, instance=instance)
    assert (optional.status, list_found(optional)) == ("not_applicable", [("rootless", None)])


@pytest.mark.parametrize(
    ("namespace", "networks", "found", "status"),
    [
        ("net:[2]", ["bridge"], [], "enforced"),
        ("net:[1]", ["host"], [("host_network", "absent")], "absent"),
        ("net:[2]", ["wide"], [("other_driver", "degraded")], "degraded"),
    ],
)
def test_a_container_past_the_rules_is_named(namespace: str, networks: list[str], found: list[tuple[str, str | None]], status: str) -> None:
    container = build_container({"namespaces": {"net": namespace}}, id="a" * 64, name="plain")
    listed = [{"id": "a" * 64, "name": "plain", "networks": networks, "addresses": []}]
    evidence = build_evidence(make_observed(make_loaded(DESIRED, containers=listed)))
    verdict = judge_container(container, evidence, expect(DESIRED))
    assert (list_found(verdict), verdict.status, verdict.opted_out) == (found, status, status == "absent")
    assert judge_container(container, evidence, {"requirement": "disabled"}).status == "not_applicable"
