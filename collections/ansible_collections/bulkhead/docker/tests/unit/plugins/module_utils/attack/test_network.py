# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import attacks_network, network_setup
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.calls import Blocked, preparation
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_catalog import COLUMNS, NAMES
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_matrix import choose_forged_address
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_rows import Result, build_inapplicable, build_rows
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.network_setup import choose_private_address, render_watch
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.egress import parse_connection
from ansible_collections.bulkhead.docker.plugins.module_utils.host.namespaces import ProbeError

METADATA = ("169.254.169.254", "tcp", 80)
LINE = (
    "bulkhead-egress enforce metadata: IN=br-a OUT=out0 MAC=x SRC=172.18.0.3 DST=169.254.169.254 LEN=60 TOS=0x00 PROTO=TCP SPT=4 DPT=80 SYN"
)


def make_result(attack: str, outcome: str, packets: tuple[int, int] = (0, 0), **more: Any) -> Result:
    records = [
        {"confinement": {}},
        {"attack": attack, "outcome": outcome, "step": "connect", "errno": "EHOSTUNREACH", "detail": "no route"},
    ]
    return Result(
        "c0ffee" * 4, records, packets={attack: packets}, connections={attack: METADATA}, bridge="br-a", **{"arrived": True, **more}
    )


def judge(attack: str, is_loaded: bool = True, **results: Result) -> dict[str, Any]:
    return next(row for row in build_rows(list(results), results, is_loaded, "")["attacks"] if row["name"] == attack)


def test_the_rules_stop_what_the_kernel_counted_before_them_only() -> None:
    stopped = make_result("metadata_service", "blocked", (1, 0), lines=[parse_connection(LINE)])
    row = judge("metadata_service", none=make_result("metadata_service", "succeeded", (1, 1)), egress=stopped, host=stopped)
    assert (row["conclusive"], row["stopped_by"], row["layers"]) == (True, ["egress"], 1)
    cell = row["cells"]["egress"]
    assert (cell["outcome"], cell["by"], cell["logged"], cell["traced"]) == ("blocked", ["egress"], True, True)
    detail = "169.254.169.254 tcp/80 (from 172.18.0.3 in br-a)"
    assert cell["trace"] == {"container": "c0ffeec0ffee", "layer": "egress", "operation": "metadata", "detail": detail}
    assert row["cells"]["host"]["by"] == ["egress"]


@pytest.mark.parametrize(("packets", "is_loaded"), [((0, 0), True), ((2, 2), True), ((1, 0), False)])
def test_a_failure_without_dropped_packets_is_unknown(packets: tuple[int, int], is_loaded: bool) -> None:
    failed = make_result("metadata_service", "blocked", packets)
    row = judge("metadata_service", is_loaded, none=make_result("metadata_service", "succeeded"), egress=failed, stacked=failed)
    assert row["cells"]["egress"]["outcome"] == "unknown"
    assert "not by the rules" in row["cells"]["egress"]["detail"]
    # Another layer of the container, such as its capabilities, may stop it there.
    assert (row["cells"]["stacked"]["outcome"], row["cells"]["stacked"]["by"], row["stopped_by"]) == ("blocked", [], [])


def test_an_attack_that_fails_without_the_rules_shows_nothing() -> None:
    failed = make_result("other_network", "blocked", (1, 0))
    row = judge("other_network", none=make_result("other_network", "blocked", (1, 1)), egress=failed)
    assert (row["conclusive"], row["reason"]) == (False, "it fails without any layer too: connect with EHOSTUNREACH")
    assert {name: cell["outcome"] for name, cell in row["cells"].items()} == {"none": "inconclusive", "egress": "inconclusive"}
    assert row["stopped_by"] == []


def test_a_forged_packet_counts_if_it_arrives() -> None:
    lost = make_result("raw_spoof", "succeeded", (3, 0), arrived=False)
    row = judge("raw_spoof", none=make_result("raw_spoof", "succeeded", (3, 3)), egress=lost)
    assert row["stopped_by"] == ["egress"]
    assert (row["cells"]["egress"]["step"], row["cells"]["egress"]["logged"]) == ("arrival", False)


def test_a_container_that_did_not_start_has_a_problem() -> None:
    results = {"none": make_result("dns_tunnel", "succeeded"), "egress": Result(error="no such network")}
    found = build_rows(list(results), results, True, "the host has a route")
    assert [column["problem"] for column in found["configurations"]] == ["", "no such network"]
    assert {row["cells"]["egress"]["outcome"] for row in found["attacks"]} == {"unknown"}
    assert found["attacks"][0]["about"] == "connect to the cloud's metadata service (the host has a route)"


def test_a_rootless_engine_has_no_control() -> None:
    found = build_inapplicable("web")
    assert [row["name"] for row in found["attacks"]] == list(NAMES)
    assert {row["cells"]["egress"]["outcome"] for row in found["attacks"]} == {"inconclusive"}
    assert "all that web sends" in found["configurations"][0]["problem"]


@pytest.mark.parametrize(
    ("routes", "start"),
    [([], "10.255."), (["10.0.0.0/8"], "172.31."), (["10.255.250.1", "172.16.0.0/12"], "192.168."), (["default", "0.0.0.0/1"], "10.255.")],
)
def test_no_address_with_a_route_is_chosen(routes: list[str], start: str) -> None:
    assert choose_private_address([{"dst": route} for route in routes]).startswith(start)


def test_a_host_with_routes_to_all_ranges_is_left_alone() -> None:
    with pytest.raises(ProbeError, match="no address is left"):
        choose_private_address([{"dst": text} for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")])


@pytest.mark.parametrize(
    ("routes", "note"),
    [(["169.254.0.0/16"], "(169.254.0.0/16)"), (["169.254.169.254"], "(169.254.169.254/32)"), (["default", "10.0.0.0/8"], "")],
)
def test_an_existing_route_to_the_metadata_service_is_used(routes: list[str], note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*unused: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(network_setup.socket, "create_connection", refuse)
    assert network_setup.describe_metadata([{"dst": route} for route in routes]).endswith(note)


def test_the_watch_counts_on_both_sides_of_the_rules() -> None:
    text = render_watch("br-a", {"metadata_service": METADATA, "dns_tunnel": ("", "udp", 53)})
    assert "hook forward priority -11" in text and "hook input priority -9" in text
    assert 'iifname "br-a" ip daddr 169.254.169.254 tcp dport 80 counter name "metadata_service_before"' in text
    assert 'iifname "br-a" udp dport 53 counter name "dns_tunnel_after"' in text


def test_a_forged_address_is_that_of_nobody() -> None:
    assert choose_forged_address("172.18.0.0/16", ("172.18.0.1", "172.18.255.254")) == "172.18.255.253"


def test_a_connection_is_made_and_a_closed_port_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setitem(preparation, "private", "127.0.0.1")
        monkeypatch.setitem(preparation, "port", port)
        assert attacks_network.other_network() == f"127.0.0.1, port {port}, accepts a connection"
    with pytest.raises(Blocked) as stopped:
        attacks_network.other_network()
    assert stopped.value.step == "connect"


def test_data_leaves_in_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            for failure in (2, 3):  # SERVFAIL, then NXDOMAIN
                query, sender = server.recvfrom(4096)
                asked.append(query)
                server.sendto(query[:2] + bytes([0x81, 0x80 | failure]) + query[4:], sender)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert "32 characters" in attacks_network.send_query("127.0.0.1", server.getsockname()[1], "ab" * 16)
        thread.join(5)
    assert b"\x20" + b"ab" * 16 + b"\x0fbulkhead-attack\x07invalid\x00" in asked[0]


def test_columns_are_those_of_the_matrix() -> None:
    assert COLUMNS == ("none", "egress", "host", "stacked")
