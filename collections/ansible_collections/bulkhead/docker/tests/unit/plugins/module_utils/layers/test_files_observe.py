# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of the engine's files, on a host of fixtures."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.observe import observe_config
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.files import observe as files

from ...builders import write_files

USER = Instance("u", os.geteuid(), os.getegid(), "/home/u")
UNIT = "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\nEnvironmentFile=-/etc/default/docker\n"


def write(host: Host, path: str, text: str = "", mode: int = 0o644) -> str:
    write_files(host, {path: text}).path(path).chmod(mode)
    return path


def listen(host: Host, path: str) -> None:
    host.path(path).parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(host.path(path).parent, os.O_RDONLY)  # a socket's path has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    os.close(folder)


def observe(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    return files.observe(host, instance, observe_config(host, instance), observe_config(host)["unit"])


def list_kinds(host: Host, instance: Instance = ROOTFUL) -> dict[str, str]:
    return {path: entry["kind"] for path, entry in observe(host, instance)["files"].items()}


def test_each_file_is_found_where_the_engine_reads_it(host: Host) -> None:
    named = '{"tlscacert": "/pki/ca.pem", "tlskey": "/pki/key.pem", "containerd": "/run/other/c.sock", "group": "ops"}'
    expected = {
        write(host, "/usr/lib/systemd/system/docker.service", UNIT): "unit",
        write(host, "/etc/systemd/system/docker.service.d/tls.conf", "[Service]\nEnvironment=A=b\n"): "unit",
        write(host, "/usr/lib/systemd/system/docker.socket", "[Socket]\nSocketGroup=docker\n"): "socket_unit",
        write(host, "/usr/lib/systemd/system/containerd.service", "[Service]\n"): "containerd_unit",
        write(host, "/etc/default/docker", "DOCKER_OPTS=--tlscert=/pki/cert.pem\n"): "defaults",
        write(host, "/etc/sysconfig/docker"): "sysconfig",
        write(host, "/etc/docker/daemon.json", named): "config",
        write(host, "/etc/docker/certs.d/reg/ca.crt"): "registry_certificate",
        write(host, "/etc/docker/certs.d/reg/client.key"): "registry_key",
        write(host, "/etc/containerd/config.toml"): "containerd_config",
        write(host, "/pki/ca.pem"): "tls_ca",
        write(host, "/pki/cert.pem"): "tls_certificate",
        write(host, "/pki/key.pem"): "tls_key",
    }
    for path in ("/run/docker.sock", "/run/containerd/containerd.sock", "/run/containerd/containerd.sock.ttrpc", "/run/other/c.sock"):
        listen(host, path)
        expected[path] = "socket" if path == "/run/docker.sock" else "containerd_socket"
    folders = {"/etc/docker": "folder", "/etc/containerd": "containerd_folder"}
    folders |= dict.fromkeys(("/etc/docker/certs.d", "/etc/docker/certs.d/reg"), "registry_folder")
    assert list_kinds(host) == expected | folders


def test_only_what_exists_is_listed(host: Host) -> None:
    write(host, "/etc/docker/daemon.json", '{"tlskey": "/pki/key.pem", "tlscert": 5}')
    host.path("/etc/default").mkdir()
    host.path("/etc/default/docker").symlink_to("/nowhere")
    (host.path("/etc/sysconfig/docker")).mkdir(parents=True)  # not a file
    assert set(list_kinds(host)) == {"/etc/docker", "/etc/docker/daemon.json"}


def test_a_masked_unit_is_not_a_file(host: Host) -> None:
    host.path("/etc/systemd/system").mkdir(parents=True)
    host.path("/etc/systemd/system/docker.service").symlink_to("/dev/null")
    assert list_kinds(host) == {}


def test_mode_links_and_target(host: Host) -> None:
    path = write(host, "/etc/docker/daemon.json", "{}", 0o640)
    entry = observe(host)["files"][path]
    assert entry == {"kind": "config", "uid": os.getuid(), "gid": os.getgid(), "mode": 0o640, "acl": False, "target": None, "links": 1}
    os.link(host.path(path), host.path("/etc/other"))
    assert observe(host)["files"][path]["links"] == 2
    write(host, "/srv/real.json", "{}", 0o666)
    host.path(path).unlink()
    host.path(path).symlink_to(host.path("/srv/real.json"))
    entry = observe(host)["files"][path]
    assert (entry["mode"], entry["target"]) == (0o666, str(host.path("/srv/real.json")))


def test_a_folder_that_is_a_link_is_a_link_in_the_path(host: Host) -> None:
    write(host, "/srv/docker/daemon.json", "{}")
    host.path("/etc").mkdir()
    host.path("/etc/docker").symlink_to(host.path("/srv/docker"))
    found = observe(host)["files"]
    assert found["/etc/docker"]["target"] and found["/etc/docker/daemon.json"]["target"]


@pytest.mark.parametrize("text", ["{", "[]", "null", "7", '"x"', '{"group": 1}'])
def test_a_damaged_configuration_hides_no_file(host: Host, text: str) -> None:
    path = write(host, "/etc/docker/daemon.json", text)
    assert observe(host)["files"][path]["kind"] == "config"


def test_an_error_is_kept_by_file(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(host, "/etc/docker/daemon.json", "{}")
    real = Path.stat

    def fail(place: Path, **options: Any) -> os.stat_result:
        if place.name == "daemon.json":
            raise PermissionError(13, "Permission denied")
        return real(place, **options)

    config = observe_config(host)
    monkeypatch.setattr(Path, "stat", fail)
    found = files.observe(host, ROOTFUL, config, config["unit"])["files"]
    assert found[path] == {"kind": "config", "error": "Permission denied"} and "mode" in found["/etc/docker"]


def test_files_of_a_rootless_engine(host: Host) -> None:
    write(host, "/etc/docker/daemon.json", "{}")
    listen(host, f"/run/user/{USER.uid}/docker/containerd/containerd.sock")
    expected = {
        f"/run/user/{USER.uid}/docker/containerd/containerd.sock": "containerd_socket",
        write(host, "/home/u/.config/docker/daemon.json", "{}"): "config",
        write(host, "/home/u/.config/docker/certs.d/reg/client.key"): "registry_key",
        write(host, "/home/u/.config/systemd/user/docker.service", "[Service]\n"): "unit",
    }
    listen(host, f"/run/user/{USER.uid}/docker.sock")
    expected[f"/run/user/{USER.uid}/docker.sock"] = "socket"
    found = list_kinds(host, USER)
    assert expected.items() <= found.items()
    assert {"/etc/docker", "/home/u/.config/docker", "/home/u/.config/docker/certs.d/reg"} <= set(found)


def test_groups_and_memory(host: Host) -> None:
    write(host, "/etc/group", "root:x:0:\ndocker:x:103:ann,bob\nbroken\n")
    write(host, "/var/lib/bulkhead/files.json", '{"files": {"/x": {"before": [0, 0, 438]}}}')
    found = observe(host)
    assert (found["members"], found["managed"], found["error"]) == ({"103": "ann,bob"}, {"/x": {"before": [0, 0, 438]}}, None)
    write(host, "/var/lib/bulkhead/files.json", "{")
    assert "files.json: not valid JSON" in observe(host)["error"]
