# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: defaults, and the same settings for compose and docker_container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose import FilterModule
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import settings
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened import entries

DEFAULTS = yaml.safe_load((Path(__file__).resolve().parents[5] / "roles/hardened_container/defaults/main.yml").read_text())
FOLDER = "/etc/docker/seccomp"


def resolve(**entry: Any) -> dict[str, Any]:
    return entries.resolve_containers({**DEFAULTS, settings.VARIABLE: [{"name": "shop", "image": "shop:1", **entry}]}, KINDS)[0]


def test_what_is_allowed_is_only_expected_of_verification() -> None:
    entry = resolve(allow_exposures=["block_device"])
    assert settings.build_container_expectations([entry], FOLDER)["shop"]["allow_exposures"] == ["block_device"]
    assert settings.build_container_expectations([resolve()], FOLDER)["shop"]["allow_exposures"] == []
    assert "block_device" not in str(project(entry)) + str(settings.build_container_options(entry, "{}", "f00d"))


def project(*entries: dict[str, Any]) -> dict[str, Any]:
    return settings.build_compose(list(entries), FOLDER, {entry["name"]: "f00d" for entry in entries}, "bulkhead")


def test_compose_file_has_every_layer() -> None:
    entry = resolve(ports=["127.0.0.1:8080:80"], capabilities=["cap_net_bind_service"], environment={"A": 1})
    assert project(entry)["services"] == {
        "shop": {
            "container_name": "shop",
            "image": "shop:1",
            "labels": {"io.bulkhead.hardened": "f00d"},
            "user": "65534:65534",
            "read_only": True,
            "tmpfs": ["/tmp:rw,noexec,nosuid,nodev,mode=1777", "/run:rw,noexec,nosuid,nodev,mode=1777"],
            "cap_drop": ["ALL"],
            "cap_add": ["NET_BIND_SERVICE"],
            "security_opt": ["no-new-privileges=true", f"seccomp={FOLDER}/bulkhead-web.json", "apparmor=bulkhead-web"],
            "pids_limit": 100,
            "mem_limit": 256 << 20,
            "memswap_limit": 256 << 20,
            "cpus": 1.0,
            "restart": "unless-stopped",
            "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
            "environment": {"A": "1"},
            "ports": ["127.0.0.1:8080:80"],
            "network_mode": "bridge",
        }
    }


def test_docker_container_gets_the_same_settings() -> None:
    entry = resolve(ports=["8080:80"], environment={"A": "b"}, volumes=["data:/data"], command=["serve", 1], stop_signal="SIGQUIT")
    options, service = settings.build_container_options(entry, "{}", "f00d"), project(entry)["services"]["shop"]
    same = {
        "image": "image", "labels": "labels", "command": "command", "env": "environment", "user": "user", "read_only": "read_only", "tmpfs": "tmpfs",
        "cap_drop": "cap_drop", "pids_limit": "pids_limit", "cpus": "cpus", "restart_policy": "restart", "published_ports": "ports",
        "volumes": "volumes", "stop_signal": "stop_signal",
    }  # fmt: skip
    for option, key in same.items():
        assert options[option] == service[key], option
    assert (int(options["memory"]), int(options["memory_swap"])) == (service["mem_limit"], service["memswap_limit"])
    assert {"driver": options["log_driver"], "options": options["log_options"]} == service["logging"]
    assert options["security_opts"] == ["no-new-privileges=true", "seccomp={}", "apparmor=bulkhead-web"]


def test_names_of_volumes_and_networks() -> None:
    named = resolve(volumes=["cache:/data", "/srv/shop:/srv:ro", "/scratch"], network="front")
    whole = project(named, resolve(name="none", network="none"), resolve(name="sidecar", network="container:shop"))
    assert whole["volumes"] == {"cache": {"name": "cache"}}
    assert whole["networks"] == {"front": {"name": "front", "external": True}}
    services = whole["services"]
    assert services["shop"]["networks"] == ["front"]
    assert "network_mode" not in services["shop"]
    assert (services["none"]["network_mode"], services["sidecar"]["network_mode"]) == ("none", "container:shop")


def test_compose_expands_no_variables() -> None:
    service = project(resolve(environment={"PASSWORD": "pa$$w$HOME"}, command=["sh", "-c", "echo $1"]))["services"]["shop"]
    assert service["environment"] == {"PASSWORD": "pa$$$$w$$HOME"}
    assert service["command"] == ["sh", "-c", "echo $$1"]


def test_every_text_of_the_compose_file_is_in_quotes() -> None:
    # Measured with compose 2.26.1: without quotes it reads 1e3 as 1000, 0o17 as 15 and 2024-01-01 as a time, and rejects such a command.
    entry = resolve(
        environment={"A": "1e3", "B": "0o17", "C": "yes", "D": "\U0001f600\x85\t", "<<": "2024-01-01", "E": 1.5}, command=["1e3", 7]
    )
    text = FilterModule().filters()["compose"]([entry], {"shop": "f00d"})
    plain = {token.value for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken) and token.plain}
    assert plain == {"true", "100", str(256 << 20), "1.0"}
    service = yaml.safe_load(text)["services"]["shop"]
    assert service["environment"] == {"A": "1e3", "B": "0o17", "C": "yes", "D": "\U0001f600\x85\t", "<<": "2024-01-01", "E": "1.5"}
    assert service["command"] == ["1e3", "7"]


def test_a_capability_is_listed_once() -> None:
    assert project(resolve(capabilities=["NET_RAW", "CAP_NET_RAW", "net_raw"]))["services"]["shop"]["cap_add"] == ["NET_RAW"]


def test_an_absent_container_is_not_a_service() -> None:
    assert project(resolve(state="absent"))["services"] == {}


def test_ulimits_for_compose_and_docker_container() -> None:
    entry = resolve(ulimits={"nproc": 65535, "nofile": {"soft": 20000, "hard": 40000}, "core": -1})
    assert project(entry)["services"]["shop"]["ulimits"] == {
        "core": {"soft": -1, "hard": -1},
        "nofile": {"soft": 20000, "hard": 40000},
        "nproc": {"soft": 65535, "hard": 65535},
    }
    options = settings.build_container_options(entry, "{}", "f00d")
    assert options["ulimits"] == ["core:-1:-1", "nofile:20000:40000", "nproc:65535:65535"]
    expected = settings.build_container_expectations([entry], FOLDER)["shop"]["ulimits"]
    assert expected == {"core": [-1, -1], "nofile": [20000, 40000], "nproc": [65535, 65535]}
    assert settings.build_container_options(resolve(), "{}", "f00d")["ulimits"] == []
