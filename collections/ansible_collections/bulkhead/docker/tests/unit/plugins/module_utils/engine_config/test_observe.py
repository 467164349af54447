# SPDX-License-Identifier: GPL-3.0-or-later
"""Observation of invalid configurations."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config import observe as observe_config
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.planning_observation import explain_fixed

from ...builders import write_files

PATH = "/etc/docker/daemon.json"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc" / "docker").mkdir(parents=True)
    return Host(tmp_path)


def test_dangling_link_is_named_with_its_target(host: Host) -> None:
    host.path(PATH).symlink_to("/nowhere/daemon.json")
    assert "is a symbolic link to /nowhere/daemon.json, which does not exist" in observe_config.observe_config(host)["daemon_json"]["error"]


def test_folder_is_an_error(host: Host) -> None:
    host.path(PATH).mkdir()
    assert "cannot be read (Is a directory)" in observe_config.observe_config(host)["daemon_json"]["error"]


@pytest.mark.parametrize(("bits", "word"), [(0x10, "chattr -i"), (0x20, "chattr -a"), (0, None)])
def test_immutable_file_is_reported(host: Host, monkeypatch: pytest.MonkeyPatch, bits: int, word: str | None) -> None:
    host.path(PATH).write_text("{}")

    def flags(unused: object, request: int, found: bytearray) -> int:
        assert request == 0x80086601
        found[0] = bits
        return 0

    monkeypatch.setattr(fcntl, "ioctl", flags)
    fixed = explain_fixed(host, PATH)
    assert (word in fixed) if word else fixed is None


def test_file_system_without_flags(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.path(PATH).write_text("{}")

    def refuse(*unused: object) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert explain_fixed(host, PATH) is None


@pytest.mark.parametrize(
    ("config", "read"), [("/etc/docker/daemon.json", False), ("/home/u2/x", False), ("x", False), ("/home/u/x.json", True)]
)
def test_config_file_outside_of_the_home_is_not_read(host: Host, config: str, read: bool) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    unit = f"[Service]\nExecStart=dockerd-rootless.sh --config-file={config}\n"
    write_files(host, {"/home/u/.config/systemd/user/docker.service": unit, **dict.fromkeys((PATH, "/home/u/x.json"), '{"icc": true}')})
    found = observe_config.observe_config(host, user)["daemon_json"]
    assert (found["path"], found["exists"], found["text"] is not None) == (config, read, read)
    assert (
        found["error"] is None
        if read
        else found["error"].startswith(f"{config}: --config-file or XDG_CONFIG_HOME of docker.service of u: is outside of /home/u")
    )


@pytest.mark.parametrize("where", ["unit", "process"])
def test_xdg_config_home_of_a_rootless_engine(host: Host, where: str) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    line = "Environment=XDG_CONFIG_HOME=/home/u/conf\n" if where == "unit" else ""
    files = {
        "/home/u/.config/systemd/user/docker.service": f"[Service]\n{line}ExecStart=dockerd-rootless.sh\n",
        "/home/u/conf/docker/daemon.json": '{"icc": false}',
        "/home/u/.config/docker/daemon.json": "{}",
        "/proc/7/environ": "HOME=/home/u\0XDG_CONFIG_HOME=/home/u/conf\0",
    }
    write_files(host, files)
    process = {"pid": 7, "rootless": True, "argv": ["dockerd"]} if where == "process" else None
    assert observe_config.observe_config(host, user, process)["daemon_json"]["text"] == '{"icc": false}'
    assert observe_config.observe_config(host, process=process)["daemon_json"]["path"] == PATH  # a rootful one does not ask it


def test_socket_of_systemd_is_followed_while_stopped(host: Host) -> None:
    service, socket = "[Service]\nExecStart=/usr/sbin/dockerd -H fd://\n", "[Socket]\nListenStream=/run/other.sock\n"
    write_files(host.path("/usr/lib/systemd/system"), {"docker.service": service, "docker.socket": socket})
    assert observe_config.observe_config(host)["unit"]["socket"] == "/run/other.sock"
