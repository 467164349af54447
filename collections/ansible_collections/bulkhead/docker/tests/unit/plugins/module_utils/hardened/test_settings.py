# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: defaults, bad input, and the same settings for compose and docker_container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import settings

DEFAULTS = yaml.safe_load((Path(__file__).resolve().parents[5] / "roles/hardened_container/defaults/main.yml").read_text())
FOLDER = "/etc/docker/seccomp"


def resolve(**entry: Any) -> dict[str, Any]:
    return settings.resolve_containers({**DEFAULTS, settings.VARIABLE: [{"name": "shop", "image": "shop:1", **entry}]}, KINDS)[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"nam": "x"}, "hardened_container_list[0].nam: is not a setting; write name"),
        ({"name": "a b"}, ".name: 'a b' is not a name"),
        ({"image": ""}, ".image: '' is not an image"),
        ({"image": 3}, ".image: 3 is not a text"),
        ({"command": "sh -c x"}, ".command: 'sh -c x' is not a list"),
        ({"user": "root"}, ".user: 'root' is root; write the user"),
        ({"user": "0:33"}, ".user: '0:33' is root"),
        ({"user": 0}, ".user: 0 is root"),
        ({"capabilities": ["NET_BIND"]}, "contains 'NET_BIND', which is not a capability; write NET_"),
        ({"tmpfs": ["tmp"]}, "write /tmp"),
        ({"ports": ["80"]}, "write HOST:CONTAINER"),
        ({"memory": "plenty"}, ".memory: 'plenty' is not a size; write a number with k, m or g"),
        ({"pids_limit": -1}, ".pids_limit: -1 is not a limit"),
        ({"pids_limit": True}, ".pids_limit: True is not a limit"),
        ({"cpus": 0}, ".cpus: 0 is not a number of CPUs"),
        ({"restart_policy": "never"}, ".restart_policy: 'never' is not valid; write no, always"),
        ({"allow_exposures": "device"}, ".allow_exposures: 'device' is not a list"),
        ({"allow_exposures": ["devise"]}, "contains 'devise', which is not a kind of exposure; write device"),
        ({"allow_exposures": ["xyzzy"]}, "contains 'xyzzy', which is not a kind of exposure; known are privileged, "),
        ({"allow_exposures": [["device"]]}, "contains ['device'], which is not a kind of exposure"),
        ({"state": "started"}, ".state: 'started' is not valid; write present or absent"),
    ],
)
def test_invalid_entries_get_a_message(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(settings.ContainerEntryError) as error:
        resolve(**entry)
    assert words in str(error.value)


def test_names_are_unique() -> None:
    with pytest.raises(settings.ContainerEntryError, match=r"hardened_container_list\[1\].name: shop is already"):
        settings.resolve_containers({**DEFAULTS, settings.VARIABLE: [{"name": "shop", "image": "a"}] * 2}, KINDS)


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


def test_an_absent_container_is_not_a_service() -> None:
    assert project(resolve(state="absent"))["services"] == {}


def test_invalid_project_name() -> None:
    with pytest.raises(
        settings.ContainerEntryError, match="hardened_container_project: 'My Shop' is not a name for a compose project; write small letters"
    ):
        settings.resolve_containers({**DEFAULTS, settings.PROJECT: "My Shop"}, KINDS)
