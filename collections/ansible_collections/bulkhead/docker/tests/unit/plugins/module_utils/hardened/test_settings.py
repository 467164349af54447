# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: defaults, bad input, and the same settings in the words of compose and of docker_container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import settings

DEFAULTS = yaml.safe_load((Path(__file__).resolve().parents[5] / "roles/hardened_container/defaults/main.yml").read_text())
FOLDER = "/etc/docker/seccomp"


def resolve(**entry: Any) -> dict[str, Any]:
    return settings.resolve({**DEFAULTS, settings.VARIABLE: [{"name": "shop", "image": "shop:1", **entry}]})[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"nam": "x"}, "hardened_container_list[0].nam: there is no such setting; did you mean name?"),
        ({"name": "a b"}, ".name: 'a b' is no name"),
        ({"image": ""}, ".image: '' names no image"),
        ({"image": 3}, ".image: 3 is not a text"),
        ({"command": "sh -c x"}, ".command: 'sh -c x' is not a list"),
        ({"user": "root"}, ".user: 'root' is root; write the user"),
        ({"user": "0:33"}, ".user: '0:33' is root"),
        ({"user": 0}, ".user: 0 is root"),
        ({"capabilities": ["NET_BIND"]}, "names 'NET_BIND', which is no capability; did you mean NET_"),
        ({"tmpfs": ["tmp"]}, "write /tmp"),
        ({"ports": ["80"]}, "write HOST:CONTAINER"),
        ({"memory": "plenty"}, ".memory: 'plenty' is no size; write a number with k, m or g"),
        ({"pids_limit": -1}, ".pids_limit: -1 is no limit"),
        ({"pids_limit": True}, ".pids_limit: True is no limit"),
        ({"cpus": 0}, ".cpus: 0 is no number of CPUs"),
        ({"restart_policy": "never"}, ".restart_policy: 'never' is none of no, always"),
        ({"state": "started"}, ".state: 'started' is neither present nor absent"),
    ],
)
def test_bad_entries_get_a_sentence(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(settings.BadEntry) as refused:
        resolve(**entry)
    assert words in str(refused.value)


def test_names_are_unique() -> None:
    with pytest.raises(settings.BadEntry, match=r"hardened_container_list\[1\].name: shop is already"):
        settings.resolve({**DEFAULTS, settings.VARIABLE: [{"name": "shop", "image": "a"}] * 2})


def project(*entries: dict[str, Any]) -> dict[str, Any]:
    return settings.compose(list(entries), FOLDER, {entry["name"]: "f00d" for entry in entries}, "bulkhead")


def test_everything_is_stacked() -> None:
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


def test_docker_container_is_told_the_same() -> None:
    entry = resolve(ports=["8080:80"], environment={"A": "b"}, volumes=["data:/data"], command=["serve", 1], stop_signal="SIGQUIT")
    told, service = settings.container(entry, "{}", "f00d"), project(entry)["services"]["shop"]
    same = {
        "image": "image", "labels": "labels", "command": "command", "env": "environment", "user": "user", "read_only": "read_only", "tmpfs": "tmpfs",
        "cap_drop": "cap_drop", "pids_limit": "pids_limit", "cpus": "cpus", "restart_policy": "restart", "published_ports": "ports",
        "volumes": "volumes", "stop_signal": "stop_signal",
    }  # fmt: skip
    for option, key in same.items():
        assert told[option] == service[key], option
    assert (int(told["memory"]), int(told["memory_swap"])) == (service["mem_limit"], service["memswap_limit"])
    assert {"driver": told["log_driver"], "options": told["log_options"]} == service["logging"]
    assert told["security_opts"] == ["no-new-privileges=true", "seccomp={}", "apparmor=bulkhead-web"]


def test_volumes_and_networks_are_those_that_others_call_so() -> None:
    named = resolve(volumes=["cache:/data", "/srv/shop:/srv:ro", "/scratch"], network="front")
    whole = project(named, resolve(name="none", network="none"), resolve(name="beside", network="container:shop"))
    assert whole["volumes"] == {"cache": {"name": "cache"}}
    assert whole["networks"] == {"front": {"name": "front", "external": True}}
    services = whole["services"]
    assert services["shop"]["networks"] == ["front"]
    assert "network_mode" not in services["shop"]
    assert (services["none"]["network_mode"], services["beside"]["network_mode"]) == ("none", "container:shop")


def test_compose_puts_no_variable_of_a_shell_in() -> None:
    service = project(resolve(environment={"PASSWORD": "pa$$w$HOME"}, command=["sh", "-c", "echo $1"]))["services"]["shop"]
    assert service["environment"] == {"PASSWORD": "pa$$$$w$$HOME"}
    assert service["command"] == ["sh", "-c", "echo $$1"]


def test_what_is_absent_is_no_service() -> None:
    assert project(resolve(state="absent"))["services"] == {}


def test_a_project_has_a_name() -> None:
    with pytest.raises(
        settings.BadEntry, match="hardened_container_project: 'My Shop' is no name for a compose project; write small letters"
    ):
        settings.resolve({**DEFAULTS, settings.PROJECT: "My Shop"})
