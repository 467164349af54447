# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardened containers: defaults, bad input, and the same settings in the engine's words and in compose's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened import run, settings

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


def test_everything_is_stacked() -> None:
    told = settings.creation(resolve(ports=["127.0.0.1:8080:80"], capabilities=["cap_net_bind_service"]), '{"a": 1}')
    config = told["HostConfig"]
    assert told["User"] == "65534:65534"
    assert (config["CapDrop"], config["CapAdd"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert config["SecurityOpt"] == ["no-new-privileges", 'seccomp={"a": 1}', "apparmor=bulkhead-web"]
    assert config["ReadonlyRootfs"] is True
    assert config["Tmpfs"] == dict.fromkeys(("/tmp", "/run"), "rw,noexec,nosuid,nodev,mode=1777")
    assert config["Memory"] == config["MemorySwap"] == 256 << 20
    assert (config["PidsLimit"], config["NanoCpus"]) == (100, 1_000_000_000)
    assert config["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert config["RestartPolicy"] == {"Name": "unless-stopped"}
    assert config["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}


def test_compose_has_the_same_settings() -> None:
    entry = resolve(ports=["8080:80"], environment={"A": "b"}, network="front")
    service = settings.compose([entry, {**entry, "name": "old", "state": "absent"}], FOLDER)["services"]["shop"]
    told = settings.creation(entry, "{}")["HostConfig"]
    assert (service["cap_drop"], service["read_only"], service["pids_limit"]) == (
        told["CapDrop"],
        told["ReadonlyRootfs"],
        told["PidsLimit"],
    )
    assert (service["mem_limit"], service["memswap_limit"]) == (told["Memory"], told["MemorySwap"])
    assert service["security_opt"] == ["no-new-privileges:true", f"seccomp:{FOLDER}/bulkhead-web.json", "apparmor:bulkhead-web"]
    assert service["logging"] == {"driver": "json-file", "options": told["LogConfig"]["Config"]}
    assert [f"{path}:{options}" for path, options in told["Tmpfs"].items()] == service["tmpfs"]
    assert "cap_add" not in service


@pytest.mark.parametrize(
    ("label", "image", "running", "action"),
    [("same", "sha256:1", True, ""), ("same", "sha256:1", False, "start"), ("other", "sha256:1", True, "replace"),
     ("same", "sha256:2", True, "replace"), ("same", None, True, "")],
)  # fmt: skip
def test_what_is_to_be_done(label: str, image: str | None, running: bool, action: str) -> None:
    present = {"Config": {"Labels": {run.LABEL: label}}, "Image": "sha256:1", "State": {"Running": running}}
    assert run.decide(present, {"Labels": {run.LABEL: "same"}}, image) == action


def test_what_is_not_there_is_created() -> None:
    assert run.decide(None, {"Labels": {run.LABEL: "same"}}, None) == "create"
