# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.rules import (
    Inputs,
    collect_inputs,
    find_denial,
    render_drop_in,
    render_rules,
    render_unit,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.settings import find_egress_problems, read_egress_settings

from .egress_host import API, DESIRED, SHOP, make_answer


def list_chain(text: str, name: str) -> list[str]:
    """Return the rules of a chain."""
    lines = text.splitlines()
    start = lines.index(f"\tchain {name} {{") + 1
    return [line.strip() for line in lines[start : lines.index("\t}", start)]]


def render(inputs: Inputs | None = None, **variables: Any) -> str:
    return render_rules(read_egress_settings({**DESIRED, **variables}), inputs or Inputs())


def test_the_file_replaces_the_table_in_one_transaction() -> None:
    text = render()
    before = text.index("add table inet bulkhead_egress"), text.index("delete table inet bulkhead_egress")
    assert before[0] < before[1] < text.index("table inet bulkhead_egress {")
    assert "flush ruleset" not in text


def test_answers_pass_and_bridges_of_others_are_left_alone() -> None:
    text = render(Inputs(others=["br-lan"], named=["shop0"]))
    for hook in ("forward", "input"):
        rules = list_chain(text, hook)
        assert rules[:3] == [
            f"type filter hook {hook} priority filter - 10; policy accept;",
            "ct direction reply accept",
            "ct state related accept",
        ]
        assert rules[-3:] == [
            'iifname { "br-lan" } accept',
            f'iifname {{ "docker0", "docker_gwbridge", "shop0" }} goto default_{hook}',
            f'iifname "br-*" goto default_{hook}',
        ]
    assert 'oifname != { "br-lan" } oifname "br-*" accept' in list_chain(text, "default_forward")


def test_a_listed_network_reaches_what_is_listed() -> None:
    inputs = Inputs(names={"api.example.com": ["192.0.2.7", "2001:db8::7"]}, bridges={"network shop": ["br-0123456789ab"]})
    text = render(inputs, container_egress_list=[SHOP])
    assert 'iifname "br-0123456789ab" goto network_1_forward' in list_chain(text, "forward")
    for hook in ("forward", "input"):
        rules = list_chain(text, f"network_1_{hook}")
        assert "ip daddr { 192.0.2.7 } tcp dport { 443 } accept" in rules
        assert "ip6 daddr { 2001:db8::7 } tcp dport { 443 } accept" in rules
        assert rules[-1] == "goto deny_listed"


def test_presets_end_the_chains_that_they_concern() -> None:
    text = render(Inputs(ports=["tcp/8080", "udp/53"]), container_egress_presets=["host", "private"])
    assert list_chain(text, "default_input")[-3:] == ["tcp dport { 8080 } accept", "udp dport { 53 } accept", "goto deny_host"]
    assert "ip daddr @private4 goto deny_private" in list_chain(text, "default_forward")
    assert not any("private" in rule for rule in list_chain(text, "default_input"))
    assert "metadata" not in text


def test_a_translated_metadata_service_is_denied_too() -> None:
    assert "ct original ip daddr @metadata4 goto deny_metadata" in list_chain(render(), "default_input")


def test_the_stage_log_records_destinations() -> None:
    add = "meta l4proto { tcp, udp } add @used4 { iifname . ip daddr . meta l4proto . th dport }"
    text = render(container_egress_stage="log")
    assert add in list_chain(text, "deny_metadata") and "set used6 { type ifname . ipv6_addr . inet_proto . inet_service;" in text
    assert add.replace("iifname . ", "") in list_chain(render(Inputs(uid=1000), container_egress_stage="log"), "deny_metadata")
    assert "used" not in render()


def test_the_stage_log_accepts_what_it_logs() -> None:
    assert list_chain(render(container_egress_stage="log"), "deny_metadata")[-1] == "accept"
    assert list_chain(render(), "deny_metadata")[-1] == "reject with icmpx type admin-prohibited"


def test_overlapping_values_are_merged() -> None:
    allow = [
        {"to": "192.0.2.0/24", "ports": ["8000-8010", "8005", "8011"], "reason": "x"},
        {"to": "names.example.com", "reason": "x", "protocol": "udp"},
    ]
    text = render(Inputs(names={"names.example.com": ["192.0.2.1", "192.0.2.1"]}), container_egress_allow=allow)
    rules = list_chain(text, "default_forward")
    assert "ip daddr { 192.0.2.0/24 } tcp dport { 8000-8011 } accept" in rules
    assert "ip daddr { 192.0.2.1 } meta l4proto udp accept" in rules


def test_inputs_are_read_from_the_file() -> None:
    inputs = Inputs({"a.example.com": ["192.0.2.1"]}, ["10.0.2.3"], ["tcp/80"], {"network shop": []}, ["shop0"], ["br-lan"])
    assert Inputs.from_text(render(inputs)) == inputs
    assert [Inputs.from_text(text) for text in (None, "", "# inputs: {", "# inputs: [1]")] == [None] * 4


def test_the_host_gives_the_inputs() -> None:
    settings = read_egress_settings(
        {**DESIRED, "container_egress_presets": ["host"], "container_egress_list": [SHOP, {"project": "store"}]}
    )
    named = {"name": "named", "driver": "bridge", "bridge": "shop0", "project": ""}
    answer = make_answer(bridges={"docker0": [], "br-0123456789ab": [], "br-lan": [], "virbr0": []})
    found = collect_inputs(settings, {**answer, "networks": [*answer["networks"], named]})
    assert found == Inputs(
        {"api.example.com": ["192.0.2.7"]},
        ["10.0.2.3"],
        ["tcp/8080"],
        {"network shop": ["br-0123456789ab"], "project store": ["br-0123456789ab"]},
        ["shop0"],
        ["br-lan"],
    )


def test_a_rootless_engine_is_matched_by_its_user() -> None:
    presets = ["metadata", "host", "private", "listed"]
    text = render(Inputs(ports=["tcp/8080"], uid=1000), container_egress_presets=presets)
    assert "iifname" not in text
    assert list_chain(text, "output")[-1] == "meta skuid 1000 goto default_output"
    assert list_chain(text, "default_output")[2:] == [
        "ip daddr @metadata4 goto deny_metadata",
        "ip6 daddr @metadata6 goto deny_metadata",
        "fib daddr type != local ip daddr @private4 goto deny_private",
        "fib daddr type != local ip6 daddr @private6 goto deny_private",
        "tcp dport { 8080 } accept",
        "fib daddr type local goto deny_host",
        "goto deny_listed",
    ]
    settings = read_egress_settings({**DESIRED, "container_egress_presets": presets})
    assert collect_inputs(settings, make_answer(networks=[]), None, 1000) == Inputs(nameservers=["10.0.2.3"], ports=["tcp/8080"], uid=1000)


def test_a_stopped_engine_keeps_what_was_loaded() -> None:
    settings = read_egress_settings({**DESIRED, "container_egress_list": [SHOP]})
    before = Inputs({"api.example.com": ["192.0.2.9"]}, [], ["tcp/1"], {"network shop": ["br-1"]}, ["shop0"], ["br-lan"])
    answer = make_answer(error="no engine answers", networks=[], names={"api.example.com": {"addresses": [], "error": "unknown"}})
    found = collect_inputs(settings, answer, before)
    assert (found.names, found.bridges, found.named, found.others) == (before.names, before.bridges, ["shop0"], ["br-lan"])


def test_the_unit_starts_before_the_engine_and_after_a_flush() -> None:
    text = render_unit("/usr/sbin/nft")
    assert "Before=docker.service systemd-user-sessions.service\n" in text
    assert "RemainAfterExit" not in text  # each start of the engine loads the rules again
    assert "WantedBy=docker.service multi-user.target\n" in text
    commands = [line.partition("=")[0] for line in render_drop_in("/usr/sbin/nft").splitlines()[2:]]
    assert commands == ["ExecStartPost", "ExecReload", "ExecStopPost"]


@pytest.mark.parametrize(
    ("presets", "destination", "port", "local", "denied"),
    [
        (["metadata"], "169.254.169.254", 80, False, "metadata"),
        (["metadata"], "fd00:ec2::254", 80, False, "metadata"),
        (["metadata"], "192.0.2.1", 80, False, ""),
        (["private"], "10.1.2.3", 80, False, "private"),
        (["private"], "10.1.2.3", 80, True, ""),
        (["host"], "10.0.2.15", 22, True, "host"),
        (["host"], "10.0.2.15", 8080, True, ""),
        (["listed"], "192.0.2.1", 80, False, "listed"),
        (["listed", "metadata", "private"], "10.0.2.3", 53, False, ""),
        (["listed"], "192.0.2.7", 443, False, ""),
    ],
)
def test_a_connection_is_judged_as_the_rules_do(presets: list[str], destination: str, port: int, local: bool, denied: str) -> None:
    settings = read_egress_settings({**DESIRED, "container_egress_presets": presets, "container_egress_allow": [API]})
    inputs = Inputs({"api.example.com": ["192.0.2.7"]}, ["10.0.2.3"], ["tcp/8080"])
    connection = {"asked": destination, "destination": destination, "protocol": "tcp", "port": port}
    assert find_denial(settings, inputs, connection, "docker0", local, False) == denied
    assert find_denial(settings, inputs, connection, "docker0", local, True) == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"container_egress_presets": ["metdata"]},
            "container_egress_presets: 'metdata' is not a preset; write metadata, host, private or listed",
        ),
        (
            {"container_egress_allow": [{"to": "10.0.0.300", "reason": "x"}]},
            "container_egress_allow[0].to: '10.0.0.300' is not a name, an address or a range; write such as api.example.com, 192.0.2.7 or 2001:db8::/32",
        ),
        (
            {"container_egress_allow": [{"to": "a.example.com", "ports": ["0"], "reason": "x"}]},
            "container_egress_allow[0].ports: '0' is not a port; write a number from 1 to 65535, or a range such as 8000-8010",
        ),
        (
            {"container_egress_allow": [{"to": "a.example.com", "ports": ["9-8"], "reason": "x"}]},
            "container_egress_allow[0].ports: '9-8' is not a port; write a number from 1 to 65535, or a range such as 8000-8010",
        ),
        (
            {"container_egress_allow": [{"to": "a.example.com", "reason": " "}]},
            "container_egress_allow[0].reason: is empty; write why containers need a.example.com",
        ),
        ({"container_egress_list": [{}]}, "container_egress_list[0]: names neither network nor project; write one of them"),
        (
            {"container_egress_list": [{"network": "a", "project": "b"}]},
            "container_egress_list[0]: names both network and project; write one of them",
        ),
        (
            {"container_egress_list": [{"network": "a"}, {"network": "a"}]},
            "container_egress_list[1]: network 'a' has two entries; write one with all destinations",
        ),
        (
            {"container_egress_list": [{"network": "a", "presets": ["all"]}]},
            "container_egress_list[0].presets: 'all' is not a preset; write metadata, host, private or listed",
        ),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], problem: str) -> None:
    assert find_egress_problems({**DESIRED, **changes}) == [problem]
    assert find_egress_problems({**DESIRED, **changes, "container_egress_layer": "disabled"}) == []


def test_values_of_a_wrong_type_are_left_to_the_spec() -> None:
    assert find_egress_problems({**DESIRED, "container_egress_list": [{"network": "a", "allow": "b"}]}) == []
