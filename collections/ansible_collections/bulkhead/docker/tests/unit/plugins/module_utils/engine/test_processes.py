# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd processes of a host; some end during the read, and some only have that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import client, processes
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import ROOTFUL
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

from ...builders import write_files

PLAIN, OWN = "0 0 4294967295\n", "0 1000 1\n1 100000 65536\n"


def process(root: Path, pid: int, comm: str, uid: int, uid_map: str) -> None:
    status = f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\n"
    write_files(root / f"proc/{pid}", {"comm": f"{comm}\n", "status": status, "uid_map": uid_map, "cmdline": f"{comm}\0-H\0fd://\0"})


def test_rootful_and_rootless_processes(tmp_path: Path) -> None:
    process(tmp_path, 7, "dockerd", 0, PLAIN)
    process(tmp_path, 8, "dockerd", 1000, OWN)
    process(tmp_path, 9, "dockerd", 1000, PLAIN)  # anybody can name a program so
    process(tmp_path, 10, "sleep", 0, PLAIN)
    assert [(d["pid"], d["uid"], d["rootless"]) for d in processes.list_dockerds(Host(tmp_path))] == [(7, 0, False), (8, 1000, True)]


@pytest.mark.parametrize("name", ["comm", "status", "uid_map", "cmdline"])
def test_process_that_ends_during_the_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    process(tmp_path, 7, "dockerd", 0, PLAIN)
    process(tmp_path, 8, "dockerd", 0, PLAIN)
    real = Host.read

    def read(self: Host, path: str, limit: int = 1 << 20, user: Owner | None = None) -> str | None:
        if path == f"/proc/7/{name}":
            raise ProcessLookupError(3, "No such process")
        return real(self, path, limit, user)

    monkeypatch.setattr(Host, "read", read)
    assert [d["pid"] for d in processes.list_dockerds(Host(tmp_path))] == [8]
    assert processes.read_command(Host(tmp_path), 8) == "dockerd"
    assert processes.read_command(Host(tmp_path), 9) == ""


def test_engine_in_an_unprivileged_container_host(tmp_path: Path) -> None:
    """In an unprivileged LXC every process has a shifted map; a rootless engine has another namespace than PID 1 (tteck/Proxmox#28)."""
    process(tmp_path, 7, "dockerd", 0, "0 100000 65536\n")
    process(tmp_path, 8, "dockerd", 1000, OWN)
    for pid, namespace in ((1, "user:[1]"), (7, "user:[1]"), (8, "user:[2]")):
        (tmp_path / f"proc/{pid}/ns").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/ns/user").symlink_to(namespace)
        (tmp_path / f"proc/{pid}/ns/pid").symlink_to("pid:[1]")
    assert [(d["pid"], d["rootless"]) for d in processes.list_dockerds(Host(tmp_path))] == [(7, False), (8, True)]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/docker.service\n", "docker.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service\n", "docker.service"),
        ("12:pids:/system.slice/docker.service\n1:name=systemd:/system.slice/docker.service\n0::/\n", "docker.service"),
        ("0::/system.slice/snap.docker.dockerd.service\n", "snap.docker.dockerd.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        ("0::/\n", ""),
    ],
)
def test_program_and_unit_of_a_process(tmp_path: Path, cgroup: str, unit: str) -> None:
    process(tmp_path, 7, "dockerd", 0, PLAIN)
    (tmp_path / "proc/7/cgroup").write_text(cgroup)
    (tmp_path / "proc/7/exe").symlink_to("/opt/x/dockerd (deleted)")
    found = processes.list_dockerds(Host(tmp_path))
    assert (found[0]["exe"], found[0]["unit"]) == ("/opt/x/dockerd", unit)


def test_process_of_the_service_comes_first() -> None:
    daemons = [{"pid": 5, "rootless": False, "unit": "x.service"}, {"pid": 9, "rootless": False, "unit": "docker.service"}]
    assert processes.find_process(daemons, ROOTFUL) == daemons[1]
    assert processes.find_process(daemons[:1], ROOTFUL) == daemons[0]
    assert processes.find_process([], ROOTFUL) is None


# --- the socket ---

UNIX = "Num       RefCount Protocol Flags    Type St Inode Path\n"
USUAL = "/var/run/docker.sock"


def listen(root: Path, pid: int, *sockets: tuple[int, str, bool]) -> None:
    """Write /proc/PID/net/unix, and /proc/PID/fd with the sockets that are the process's own."""
    folder = root / f"proc/{pid}"
    for name in ("fd", "net"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    text = "".join(f"0000000000000000: 00000002 00000000 00010000 0001 01 {inode} {path}\n" for inode, path, _own in sockets)
    (folder / "net/unix").write_text(UNIX + "0000000000000000: 00000003 00000000 00000000 0001 03 1 /run/connected.sock\n" + text)
    for inode, _path, own in sockets:
        if own:
            (folder / f"fd/{inode}").symlink_to(f"socket:[{inode}]")


@pytest.mark.parametrize(
    ("sockets", "found"),
    [
        ([(7, "/run/docker.sock", True)], USUAL),
        ([(7, "/run/other.sock", True)], "/run/other.sock"),  # of docker.socket (ListenStream=), or a flag, or daemon.json
        ([(7, "/run/docker.sock", False), (8, "/run/other.sock", True)], "/run/other.sock"),  # systemd still has the usual one
        ([(7, "/run/a.sock", True), (8, "/run/docker.sock", True)], USUAL),
        # As dockerd 26.1.5 on trixie has them, in addition to its API.
        ([(7, "/var/run/docker/metrics.sock", True), (8, "/var/run/docker/libnetwork/8bcf0e3ae6c1.sock", True)], USUAL),
        ([(7, "/srv/exec/metrics.sock", True), (9, "/srv/api.sock", True)], "/srv/api.sock"),
        ([], USUAL),  # TCP only
    ],
)
def test_socket_of_a_process(tmp_path: Path, sockets: list[tuple[int, str, bool]], found: str) -> None:
    listen(tmp_path, 7, *sockets)
    assert processes.find_socket(Host(tmp_path), {"pid": 7}, USUAL) == found
    assert processes.find_socket(Host(tmp_path), {"pid": 8}, USUAL) == USUAL  # it has ended


def test_client_of_an_engine_finds_its_socket(tmp_path: Path) -> None:
    process(tmp_path, 7, "dockerd", 0, PLAIN)
    listen(tmp_path, 7, (8, "/run/other.sock", True))
    assert client.open_engine(Host(tmp_path), ROOTFUL).socket == "/run/other.sock"
    assert client.open_engine(Host(tmp_path), ROOTFUL, 5, "/run/named.sock").socket == "/run/named.sock"
