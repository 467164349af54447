# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of rootless engines, on a host of fixtures."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.cgroups import list_container_ids
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL, Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.processes import list_dockerds
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.planning_observation import observe_setup
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.rootless import observe as rootless
from ansible_collections.bulkhead.docker.plugins.module_utils.rootless import client_context, names, ports, rendering

from ...builders import write_files

USER = Instance("u", os.geteuid(), os.getegid(), "/home/u")
CONTAINER = "ab" * 32


def observe(host: Host, instance: Instance = ROOTFUL) -> dict[str, Any]:
    layer = rootless.observe(host, instance, list_dockerds(host))
    return {**layer, **observe_setup(host, instance, layer)}


def kernel(host: Host, port: str) -> None:
    write_files(host, {names.FIRST_PORT: f"{port}\n"})


def process(host: Host, pid: int, uid: int, uid_map: str) -> None:
    write_files(
        host,
        {
            f"/proc/{pid}/comm": "dockerd\n",
            f"/proc/{pid}/status": f"Name:\tdockerd\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n",
            f"/proc/{pid}/uid_map": uid_map,
            f"/proc/{pid}/cmdline": "dockerd\0",
        },
    )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    there = write_files(tmp_path, {"/etc/passwd": f"root:x:0:0::/root:/bin/sh\nu:x:{USER.uid}:{USER.gid}::/home/u:/bin/sh\n"})
    there.path("/home/u").mkdir(parents=True)
    there.path("/proc").mkdir()
    return there


def test_a_host_with_nothing(host: Host) -> None:
    seen = observe(host)
    assert (seen["engines"], seen["state"], seen["script"], seen["error"]) == ([], {}, None, None)
    assert "user" not in seen
    desired = observe(host, USER)
    assert (desired["linger"], desired["manager"], desired["controllers"], desired["own_unit"], desired["containers"]) == (
        False,
        False,
        None,
        None,
        [],
    )
    assert set(desired["files"]) == set(names.list_managed_paths(USER.uid)) and not any(desired["files"].values())


def test_every_engine_and_the_judged_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    process(host, 7, 4242, "0 4242 1\n1 100000 65536\n")
    process(host, 9, 0, "0 0 4294967295\n")
    seen = observe(host)["engines"]
    assert [(e["kind"], e["uid"], e["judged"]) for e in seen] == [("rootless", 4242, False), ("rootful", 0, True)]
    other = Instance("other", 4242, 4242, "/home/other")
    assert [e["judged"] for e in observe(host, other)["engines"]] == [True, False]


def test_parts_of_a_users_engine(host: Host) -> None:
    write_files(
        host,
        {
            f"{USER.manager_cgroup}/cgroup.controllers": "cpu memory pids\n",
            f"{USER.manager_cgroup}/app.slice/docker-{CONTAINER}.scope/cgroup.procs": "",
            f"/var/lib/systemd/linger/{USER.user}": "",
            names.UNIT: "text",
            "/home/u/.config/systemd/user/docker.service": "mine",
        },
    )
    seen = observe(host, USER)
    assert (seen["linger"], seen["controllers"], seen["containers"]) == (True, ["cpu", "memory", "pids"], [CONTAINER])
    assert seen["files"][names.UNIT]["text"] == "text"
    assert (seen["own_unit"], seen["own_unit_enabled"]) == ("/home/u/.config/systemd/user/docker.service", False)
    write_files(host, {"/home/u/.config/systemd/user/default.target.wants/docker.service": ""})
    assert observe(host, USER)["own_unit_enabled"] is True
    assert list_container_ids(host, USER) == [CONTAINER]


@pytest.mark.parametrize(("program", "takes"), [("…slirp4netns…pasta…", True), ("…slirp4netns…", False)])
def test_rootlesskit_support_for_pasta(host: Host, program: str, takes: bool) -> None:
    for tool, text in (("rootlesskit", program), ("pasta", "x")):
        write_files(host, {f"/usr/bin/{tool}": text})
        host.path(f"/usr/bin/{tool}").chmod(0o755)
    assert observe(host, USER)["takes_pasta"] is takes


def test_a_socket_with_its_folder(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    process(host, 7, 4242, "0 4242 1\n")
    folder = host.path("/run/user/4242")
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    monkeypatch.chdir(folder)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("docker.sock")
        Path("docker.sock").chmod(0o666)
        (engine,) = observe(host)["engines"]
    assert engine["socket"] == {
        "path": "/run/user/4242/docker.sock",
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "mode": "0666",
        "socket": True,
        "folder_uid": os.geteuid(),
        "folder_mode": "0700",
    }


def test_rootful_engine_with_another_socket(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def connect(path: str, *_unused: Any) -> Any:
        asked.append(path)
        raise EngineUnreachable("no")

    monkeypatch.setattr(rootless, "Engine", connect)
    process(host, 9, 0, "0 0 4294967295\n")
    assert rootless.observe(host, USER, list_dockerds(host), "/var/run/other.sock")["rootful"]["error"] == "no"
    assert asked == ["/run/other.sock"]
    write_files(host, {"/run/other.sock": "", "/proc/net/unix": "0000000000000000: 00000002 00000000 00010000 0001 01 9 /run/other.sock\n"})
    seen = rootless.observe(host, ROOTFUL, [], "/run/other.sock")["rootful"]
    assert (seen["socket"], seen["listening"]) == ("/run/other.sock", True)


def test_damaged_state_is_an_error(host: Host) -> None:
    write_files(host, {"/var/lib/bulkhead/rootless.json": "{"})
    assert "rootless.json: not valid JSON" in observe(host)["error"]


# --- privileged ports ---


def test_first_port_is_set_once_and_restored(host: Host) -> None:
    (file,) = (f for f in rendering.render_files("u", USER.uid, "/s", first_port=80) if f.path == names.PORTS)
    asked: list[list[str]] = []

    def sysctl(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        kernel(host, "80")
        return 0, "", ""

    kernel(host, "1024")
    write_files(host, {names.PORTS: file.content})
    known: dict[str, object] = {"user": "u", "files": [names.PORTS]}
    assert ports.set_first_port(host, file.content, known, sysctl) == "every user may listen on ports from 80 on"
    assert asked == [["sysctl", "--quiet", "--load", names.PORTS]] and known["first_port"] == "1024"
    assert ports.set_first_port(host, file.content, known, sysctl) == "" and len(asked) == 1
    ports.restore_first_port(host, known)
    assert names.read_first_port(host) == "1024" and "first_port" not in known


def test_first_port_set_by_others_is_kept(host: Host) -> None:
    write_files(host, {names.PORTS: "net.ipv4.ip_unprivileged_port_start = 80\n"})
    kernel(host, "443")
    ports.restore_first_port(host, {"first_port": "1024"})
    assert names.read_first_port(host) == "443"


def test_kernel_error_of_port_is_reported(host: Host) -> None:
    kernel(host, "1024")
    with pytest.raises(OSError, match="no such knob"):
        ports.set_first_port(host, "net.ipv4.ip_unprivileged_port_start = 80\n", {}, lambda words: (1, "", "no such knob"))


# --- the docker client's context ---


def test_context_is_created_and_removed(host: Host) -> None:
    user = USER.scope_host(host)
    write_files(host, {"/home/u/.docker/config.json": '{"auths": {"r": {}}}'})
    seen = names.read_context(user, USER)
    assert seen == {"meta": False, "elsewhere": None, "current": None, "error": None} and client_context.is_incomplete(seen)
    made = client_context.create_context(user, USER)
    seen = names.read_context(user, USER)
    assert seen == {"meta": True, "elsewhere": None, "current": "rootless", "error": None} and not client_context.is_incomplete(seen)
    assert client_context.create_context(user, USER) == []
    client_context.remove_context(user, USER, made)
    assert json.loads(host.read("/home/u/.docker/config.json") or "") == {"auths": {"r": {}}}
    assert names.read_context(user, USER)["meta"] is False


def test_created_client_config_is_removed(host: Host) -> None:
    made = client_context.create_context(USER.scope_host(host), USER)
    assert made == ["meta", "current", "config"]
    client_context.remove_context(USER.scope_host(host), USER, made)
    assert list(host.path("/home/u/.docker").rglob("*.json")) == []


@pytest.mark.parametrize(("leads_to", "elsewhere"), [(f"unix://{USER.socket}", None), ("tcp://far", "tcp://far")])
def test_own_context_is_kept(host: Host, leads_to: str, elsewhere: str | None) -> None:
    user, (own, config) = USER.scope_host(host), names.list_context_paths(USER)
    text = json.dumps({"Name": "rootless", "Metadata": {"Description": "mine"}, "Endpoints": {"docker": {"Host": leads_to}}})
    write_files(host, {own: text, config: '{\n\t"auths": {}\n}'})
    assert names.read_context(user, USER)["elsewhere"] == elsewhere
    made = client_context.create_context(user, USER)
    assert made == ([] if elsewhere else ["current"])
    client_context.remove_context(user, USER, made)
    assert (host.read(own), host.read(config)) == (text, '{\n\t"auths": {}\n}')


def test_chosen_context_is_kept(host: Host) -> None:
    write_files(host, {"/home/u/.docker/config.json": '{"currentContext": "far"}'})
    client_context.create_context(USER.scope_host(host), USER)
    assert names.read_context(USER.scope_host(host), USER)["current"] == "far"


def test_link_instead_of_client_config_is_not_followed(host: Host) -> None:
    write_files(host, {"/etc/secret": "{}"})
    host.path("/home/u/.docker").mkdir()
    host.path("/home/u/.docker/config.json").symlink_to(host.path("/etc/secret"))
    assert names.read_context(USER.scope_host(host), USER)["error"]
    with pytest.raises(OSError):
        client_context.create_context(USER.scope_host(host), USER)
    assert host.read("/etc/secret") == "{}"
