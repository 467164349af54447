# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.host.egress import MAX_USED
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.settings import read_egress_settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.egress.destinations import ALL, Collected, Destination, collect_destinations
from ansible_collections.bulkhead.docker.plugins.plugin_utils.egress.proposal import build_proposal, render_missing, render_proposal

from ...module_utils.layers.egress_host import DESIRED, SHOP, make_answer

LOGGED = {**DESIRED, "container_egress_stage": "log", "container_egress_presets": ["listed"]}
NOW, BEFORE = "2026-11-30T12:00:00+00:00", "2026-11-01T12:00:00+00:00"
BRIDGE = "br-0123456789ab"


def make_used(bridge: str, destination: str, port: int = 443, protocol: str = "tcp") -> dict[str, Any]:
    return {"bridge": bridge, "destination": destination, "protocol": protocol, "port": port}


def collect(*used: dict[str, Any], former: tuple[Destination, ...] = (), uid: int | None = None, **variables: Any) -> Collected:
    settings = read_egress_settings({**LOGGED, **variables})
    return collect_destinations(settings, make_answer(used=list(used)), former, NOW, uid)


def test_what_is_allowed_is_kept_and_not_missing() -> None:
    found = collect(make_used(BRIDGE, "192.0.2.7"), make_used(BRIDGE, "192.0.2.7", 80), container_egress_list=[SHOP])
    assert [(each.label, each.port) for each in found.destinations] == [("network shop", 80), ("network shop", 443)]
    assert [each.port for each in found.missing] == [80]


def test_a_compose_project_has_one_entry_for_its_networks() -> None:
    assert [each.label for each in collect(make_used(BRIDGE, "192.0.2.9"), make_used("docker0", "192.0.2.9")).missing] == [
        "network bridge",
        "project store",
    ]


def test_earlier_destinations_stay_with_their_time() -> None:
    former = Destination("project store", "192.0.2.9", "tcp", 443, BEFORE)
    assert collect(make_used(BRIDGE, "192.0.2.9"), former=(former,)).destinations == [former]
    assert collect(former=(former,)).missing == [former]
    assert Destination.from_dict(former.as_dict()) == former


def test_removed_networks_and_a_full_set_are_named() -> None:
    assert "removed networks cannot be named: br-gone" in collect(make_used("br-gone", "192.0.2.9")).warnings[0]
    many = [make_used("docker0", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(MAX_USED)]
    assert "others may be missing" in collect(*many, container_egress_presets=[]).warnings[0]


def test_a_rootless_engine_has_one_list() -> None:
    found = collect(make_used("", "192.0.2.9"), uid=1000)
    assert found.missing == [Destination(ALL, "192.0.2.9", "tcp", 443, NOW)]
    proposal = build_proposal({"a": LOGGED}, {"a": found.missing})
    assert proposal["container_egress_allow"][0]["to"] == "192.0.2.9" and "container_egress_list" not in proposal


def test_the_proposal_allows_what_was_missing() -> None:
    used = [make_used(BRIDGE, "192.0.2.9"), make_used(BRIDGE, "192.0.2.9", 80), make_used("docker0", "2001:db8::5", 53, "udp")]
    variables = {"container_egress_list": [{**SHOP, "project": None}]}
    missing = collect(*used, **variables).missing
    proposal = yaml.safe_load(render_proposal(build_proposal({"a": {**LOGGED, **variables}}, {"a": missing, "b": missing})))
    assert [each["to"] for each in proposal["container_egress_list"][0]["allow"]] == ["api.example.com", "192.0.2.9"]
    assert proposal["container_egress_list"][0]["allow"][1]["ports"] == ["80", "443"]
    assert proposal["container_egress_list"][1]["presets"] == ["listed"]
    assert "used on a, b, first seen 2026-11-30" in str(proposal)
    assert collect(*used, **proposal).missing == []


def test_hosts_with_the_same_list_have_it_once() -> None:
    variables = {**LOGGED, "container_egress_list": [SHOP]}
    missing = collect(make_used(BRIDGE, "192.0.2.9"), container_egress_list=[SHOP]).missing
    allowed = build_proposal({"a": variables, "b": variables}, {"a": missing, "b": []})["container_egress_list"][0]["allow"]
    assert [each["to"] for each in allowed] == ["api.example.com", "192.0.2.9"]


def test_metadata_services_are_named_and_not_proposed() -> None:
    missing = collect(make_used(BRIDGE, "169.254.169.254", 80)).missing
    assert build_proposal({"a": LOGGED}, {"a": missing}) == {}
    assert render_missing({"a": missing}) == [
        ("a: project store: 169.254.169.254 tcp/80 (link-local, or a metadata service: not proposed)", None)
    ]
