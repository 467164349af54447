# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.egress import (
    PROBED,
    count_connections,
    list_addresses,
    parse_connection,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.audit.kmsg import parse_records
from ansible_collections.bulkhead.docker.plugins.module_utils.host.egress_probe import HOST_ENDS, OUTSIDE
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress import state

LINE = (
    "bulkhead-egress enforce metadata: IN=docker0 OUT=eth0 PHYSIN=veth1 MAC=02:42:ac:11:00:02 SRC=172.17.0.2 DST=169.254.169.254 LEN=60 TOS=0x00"
    " TTL=63 ID=1 DF PROTO=TCP SPT=47008 DPT=80 WINDOW=64240 RES=0x00 SYN URGP=0 "
)
WEB: dict[str, Any] = {
    "Id": "c" * 64,
    "Names": ["/web"],
    "Image": "nginx",
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": "fd00::2"}}},
}


def test_a_line_of_the_rules_is_parsed() -> None:
    fields = parse_connection(LINE)
    assert fields and (fields["stage"], fields["preset"], fields["SRC"], fields["DPT"]) == ("enforce", "metadata", "172.17.0.2", "80")
    assert parse_connection("audit: type=1400 audit(1.0:1): x") is None
    reading = parse_records([f"6,1,2000000,-;{LINE}"], 0, 100.0)
    assert reading.connections == [(102.0, LINE)]


@pytest.mark.parametrize(("began", "name"), [(90.0, "web"), (101.0, "web"), (110.0, None), (None, None)])
def test_a_connection_is_of_the_container_that_had_the_address(began: float | None, name: str | None) -> None:
    entries = count_connections([(100.0, LINE), (101.0, LINE)], list_addresses([WEB]), {"c" * 64: began})
    assert {(entry["container"] or {}).get("name") for entry in entries if entry["last"] == 101.0} == {name}
    assert sum(entry["count"] for entry in entries) == 2
    entry = entries[0]
    assert (entry["layer"], entry["denied"], entry["operation"]) == ("egress", True, "metadata")
    assert entry["detail"] == "169.254.169.254 tcp/80 (from 172.17.0.2 in docker0)"
    assert entry["by"] == ("address" if name else "")


def test_the_stage_log_denies_nothing() -> None:
    (entry,) = count_connections([(1.0, LINE.replace("enforce", "log"))], {}, {})
    assert entry["denied"] is False and entry["scope"] == "unknown"


def test_a_connection_of_a_rootless_engine_names_the_user() -> None:
    line = LINE.replace("IN=docker0 OUT=eth0", "IN= OUT=eth0") + "UID=1000 GID=1000 "
    (entry,) = count_connections([(1.0, line)], {}, {})
    assert entry["detail"] == "169.254.169.254 tcp/80 (from 172.17.0.2 by user 1000)"


def test_what_verification_tries_is_no_denial() -> None:
    expected = {ipaddress.ip_address(address).exploded for address in (*state.PROBED, *HOST_ENDS, *OUTSIDE)}
    assert expected == PROBED
    assert count_connections([(1.0, LINE.replace("169.254.169.254", HOST_ENDS[0]))], {}, {}) == []


def test_an_address_of_two_containers_is_of_none() -> None:
    addresses = list_addresses([WEB, {**WEB, "Id": "d" * 64, "Names": []}])
    (entry,) = count_connections([(9.0, LINE)], addresses, {"c" * 64: 1.0, "d" * 64: 2.0})
    assert entry["container"] is None


def test_ipv6_addresses_are_compared_with_all_digits() -> None:
    line = LINE.replace("172.17.0.2", "fd00:0000:0000:0000:0000:0000:0000:0002")
    (entry,) = count_connections([(9.0, line)], list_addresses([WEB]), {"c" * 64: 1.0})
    assert entry["container"] == {"id": "c" * 64, "name": "web", "image": "nginx"}
