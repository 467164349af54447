# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of role container_egress, and what module observe_egress returns of a host."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.host.egress import WANTED_BY
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.rules import (
    collect_inputs,
    render_drop_in,
    render_rules,
    render_unit,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.egress.settings import read_egress_settings

DESIRED: dict[str, Any] = {
    "container_egress_layer": "required",
    "container_egress_stage": "enforce",
    "container_egress_presets": ["metadata"],
    "container_egress_allow": [],
    "container_egress_list": [],
    "container_egress_dns": True,
    "docker_engine_socket": "",
}
API = {"to": "api.example.com", "ports": ["443"], "reason": "payments"}
SHOP = {"network": "shop", "presets": ["listed"], "allow": [API]}
TABLE: list[Any] = [
    {"table": {"family": "inet", "name": "bulkhead_egress"}},
    {"chain": {"family": "inet", "table": "bulkhead_egress", "name": "forward", "hook": "forward", "prio": -10, "policy": "accept"}},
    {"rule": {"family": "inet", "table": "bulkhead_egress", "chain": "forward", "expr": [{"accept": None}]}},
]
NETWORKS = [
    {"name": "bridge", "driver": "bridge", "bridge": "docker0", "project": ""},
    {"name": "shop", "driver": "bridge", "bridge": "br-0123456789ab", "project": "store"},
    {"name": "wide", "driver": "macvlan", "bridge": "", "project": ""},
]
CONTAINERS = [
    {"id": "a" * 64, "name": "plain", "networks": ["bridge"], "addresses": ["172.17.0.2"]},
    {"id": "b" * 64, "name": "shop", "networks": ["shop"], "addresses": ["172.18.0.2"]},
]


def make_answer(**changes: Any) -> dict[str, Any]:
    """Return the answer of a host without rules."""
    return {
        "nft": "/usr/sbin/nft",
        "texts": [None, None, None],
        "started_by": [],
        "table": None,
        "form": None,
        "counters": {},
        "others": [],
        "problems": {},
        "networks": NETWORKS,
        "containers": CONTAINERS,
        "ports": ["tcp/8080"],
        "error": "",
        "bridges": {"docker0": [], "br-0123456789ab": []},
        "connections": [],
        "connections_error": "",
        "addresses": ["10.0.2.15", "127.0.0.1"],
        "names": {"api.example.com": {"addresses": ["192.0.2.7"], "error": ""}},
        "nameservers": ["10.0.2.3"],
        "probe": None,
        "question": {"names": []},
        **changes,
    }


def make_loaded(desired: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the answer of a host on which the rules of the variables are loaded."""
    settings, answer = read_egress_settings(desired), make_answer()
    loaded = {
        "texts": [render_rules(settings, collect_inputs(settings, answer)), render_unit("/usr/sbin/nft"), render_drop_in("/usr/sbin/nft")],
        "started_by": list(WANTED_BY),
        "table": TABLE,
        "form": TABLE,
        "counters": {"denied_metadata": 3},
        "question": {"names": settings.list_names()},
    }
    return {**answer, **loaded, **changes}


def make_observed(answer: dict[str, Any] | None, configured: bool = True, **more: Any) -> dict[str, Any]:
    observed: dict[str, Any] = {
        "layers": {"egress": {"configured": configured}},
        "system": {"systemd": True, "namespaces": {"net": "net:[1]"}},
        **more,
    }
    return {**observed, **({"egress": answer} if answer else {})}
