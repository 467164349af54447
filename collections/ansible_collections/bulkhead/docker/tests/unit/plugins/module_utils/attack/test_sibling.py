# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a container's sibling per layer, and engines that accept the name of their built-in filter."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.attack import configurations
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.catalog import ATTACKS, CALLS, FOOTHOLDS
from ansible_collections.bulkhead.docker.plugins.module_utils.attack.matrix import AttackError, select_configurations
from ansible_collections.bulkhead.docker.plugins.module_utils.seccomp.syscalls import load_table


def asked(user: str = "", **config: Any) -> dict[str, dict[str, Any]]:
    return configurations.get_container_settings({"HostConfig": config, "Config": {"User": user}})


@pytest.mark.parametrize(
    ("config", "layer", "expected"),
    [
        ({"SecurityOpt": ["seccomp={}", "no-new-privileges"]}, "seccomp", {"SecurityOpt": ["seccomp={}"]}),
        ({"SecurityOpt": ["seccomp:unconfined"]}, "seccomp", {"SecurityOpt": ["seccomp:unconfined"]}),
        ({"SecurityOpt": ["no-new-privileges:false"]}, "no_new_privileges", {"SecurityOpt": ["no-new-privileges=false"]}),
        ({"SecurityOpt": ["apparmor=web"]}, "apparmor", {"SecurityOpt": ["apparmor=web"]}),
        ({"SecurityOpt": None}, "apparmor", {}),
        ({"PidsLimit": 20}, "pids_limit", {"PidsLimit": 20}),
        ({"PidsLimit": None}, "pids_limit", {}),
        ({"PidsLimit": -1}, "pids_limit", {"PidsLimit": 0}),  # none: the matrix's own bound replaces it
        ({"UsernsMode": "host"}, "userns", {"UsernsMode": "host"}),
        ({"CapDrop": ["ALL"], "CapAdd": None}, "capabilities", {"CapDrop": ["ALL"]}),
        ({"MaskedPaths": []}, "masked_paths", {"MaskedPaths": []}),
        ({"ReadonlyRootfs": True}, "read_only_root", {"ReadonlyRootfs": True}),
        ({"Privileged": True, "SecurityOpt": ["seccomp={}"]}, "seccomp", {"SecurityOpt": ["seccomp=unconfined"]}),
        ({"Privileged": True}, "capabilities", {"CapAdd": ["ALL"]}),
        ({"Privileged": True}, "userns", {}),
    ],
)
def test_container_settings(config: dict[str, Any], layer: str, expected: dict[str, Any]) -> None:
    assert asked(**config)[layer] == expected


def test_the_copy_runs_as_the_user_of_the_container() -> None:
    assert asked()["non_root_user"] == {"User": "0:0"}
    assert asked("33:33")["non_root_user"] == {"User": "33:33"}


def test_whole_container_is_bounded() -> None:
    inspect = {
        "HostConfig": {"Privileged": True, "IpcMode": "host", "Memory": 1 << 40, "Binds": ["/:/host"], "NetworkMode": "host"},
        "Config": {"User": ""},
    }
    whole = configurations.build_for_container("shop", inspect, 128)[-1]
    assert whole.host_config["Privileged"] is True
    assert whole.host_config["IpcMode"] == "host"
    assert whole.host_config["Memory"] == configurations.BOUNDS["Memory"]
    assert "Binds" not in whole.host_config
    assert "NetworkMode" not in whole.host_config


def test_catalog_is_complete() -> None:
    from ansible_collections.bulkhead.docker.plugins.module_utils.attack.runner import get_attack

    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 20
    assert all(callable(get_attack(attack.name)) for attack in ATTACKS)
    assert {attack.foothold for attack in ATTACKS} - {""} == set(FOOTHOLDS)
    assert set(load_table("x86_64")) >= CALLS


def test_baseline_always_runs_and_unknown_names_fail() -> None:
    columns = configurations.build_for_container("web", {"HostConfig": {}, "Config": {"User": ""}}, 128)
    assert [c.name for c in select_configurations(columns, ["container"])] == ["none", "container"]
    assert select_configurations(columns, None) == columns
    with pytest.raises(AttackError, match=r"configurations: 'secomp' is not a configuration of this engine; write any of none, pids_limit"):
        select_configurations(columns, ["secomp"])
