# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers use of a host, and its owners and modes."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.userns import observe_access

from ...builders import write_files

ONE, TWO, GONE = "a" * 64, "b" * 64, "c" * 64
GROUP = f"/system.slice/docker-{ONE}.scope"


class Engine:
    def __init__(self, inspect: dict[str, Any], volumes: Any = ()) -> None:
        self.inspect, self.volumes = inspect, list(volumes)

    def get(self, path: str, **query: Any) -> Any:
        if path == "/volumes":
            return {"Volumes": self.volumes}
        assert (path, query) == ("/containers/json", {"all": "1"})
        return [
            {"Id": ONE, "Names": ["/web"], "State": "running"},
            {"Id": TWO, "Names": ["/db"], "State": "exited"},
            {"Id": GONE, "Names": ["/x"], "State": "restarting"},
        ]

    def get_within(self, patience: float, path: str) -> Any:
        if GONE in path:
            raise EngineError(500, "broken")
        return self.inspect if ONE in path else {"Config": {"User": "app"}, "HostConfig": {"Privileged": True}, "State": {"Pid": 0}}


def test_containers_with_their_mounts_and_ids(tmp_path: Path) -> None:
    for pid, uids, groups in ((7, "0\t0\t0\t0", "0 999"), (8, "33\t70000\t33\t33", "")):
        status = f"Name:\tx\nUid:\t{uids}\nGid:\t0\t0\t0\t0\nGroups:\t{groups}\n"
        maps = dict.fromkeys(("uid_map", "gid_map"), "0 0 4294967295\n")
        write_files(tmp_path / f"proc/{pid}", {"status": status, "cgroup": f"0::{GROUP}\n", **maps})
    write_files(tmp_path, {f"sys/fs/cgroup{GROUP}/cgroup.procs": "7\n8\n9\n"})
    inspect = {
        "State": {"Pid": 7},
        "Config": {"User": "", "Env": ["PASSWORD=x"]},
        "HostConfig": {"IpcMode": "host", "Memory": 1, "Devices": [{"PathOnHost": "/dev/sda"}]},
        "Mounts": [
            {"Type": "bind", "Source": "/srv/x", "RW": False},
            {"Type": "volume", "Name": "plain", "Driver": "local", "RW": True},
            {"Type": "volume", "Name": "bound", "Driver": "local", "RW": True},
            {"Type": "volume", "Name": "share", "Driver": "local", "RW": True},
            {"Type": "volume", "Name": "far", "Driver": "vieux/sshfs", "RW": True},
            {"Type": "volume", "Name": "memory", "Driver": "local", "RW": True},
            {"Type": "tmpfs", "RW": True},
        ],
    }
    volumes = [
        {"Name": "bound", "Driver": "local", "Options": {"type": "none", "o": "bind", "device": "/data"}},
        {"Name": "share", "Driver": "local", "Options": {"type": "nfs", "o": "addr=server", "device": ":/x"}},
        {"Name": "memory", "Driver": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}},
        {"Name": "plain", "Driver": "local", "Options": None},
        {"Name": "far", "Driver": "vieux/sshfs", "Options": None},
    ]
    db, web, gone = observe_access.observe_containers(Host(tmp_path), Engine(inspect, volumes))  # type: ignore[arg-type]
    assert (web["uids"], web["gids"], web["devices"], web["runs"]) == ([0, 33, 70000], [0, 999], ["/dev/sda"], True)
    assert web["host"] == {"IpcMode": "host"}
    assert [(m["source"], m["writable"], m["volume"], m["type"]) for m in web["mounts"]] == [
        ("/srv/x", False, "", "bind"),
        ("/data", True, "bound", "none"),
        ("", True, "share", "nfs"),
        ("", True, "far", "vieux/sshfs"),
    ]
    assert (db["uids"], db["config"], db["runs"]) == ([], {"User": "app"}, False)
    assert (gone["error"], gone["runs"]) == ("broken", True)
    assert "PASSWORD" not in str([db, web, gone])


def look(tmp_path: Path, path: str, seconds: float = 60, data_root: str = "/var/lib/docker") -> dict[str, Any]:
    return observe_access.observe_paths(Host(tmp_path), {path}, data_root, seconds)[path]


def test_owners_and_modes_are_grouped(tmp_path: Path) -> None:
    top = tmp_path / "srv"
    (top / "sub").mkdir(parents=True)
    top.chmod(0o711)
    (top / "sub").chmod(0o755)
    for name in ("a", "b", "sub/c"):
        (top / name).write_text("")
        (top / name).chmod(0o600)
    (top / "link").symlink_to("/nowhere")
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *e) for e in ((1, 6, 2**32 - 1), (2, 6, 5), (4, 4, 2**32 - 1), (0x10, 6, 2**32 - 1), (0x20, 4, 2**32 - 1))
    )
    os.setxattr(top / "b", "system.posix_acl_access", acl)
    os.mkfifo(top / "pipe", 0o600)
    found = look(tmp_path, "/srv")
    assert found["kind"] == "folder" and found["entries"][0]["path"] == "/srv" and found["entries"][0]["mode"] == 0o711
    assert [(e["path"], e["kind"], e["acl"], e["count"]) for e in found["entries"][1:]] == [
        ("/srv/a", "file", False, 2),
        ("/srv/b", "file", True, 1),
        ("/srv/pipe", "pipe", False, 1),
        ("/srv/sub", "folder", False, 1),
    ]
    assert (found["unread"], found["skipped"], found["errors"]) == ("", [], [])


def test_link_to_a_socket_and_a_missing_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("../run")
    monkeypatch.chdir(tmp_path / "run")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
    assert look(tmp_path, "/var/run/s")["entries"][0]["kind"] == "socket"
    assert look(tmp_path, "/nothing") == {"kind": "missing", "entries": [], "more": False, "skipped": [], "unread": "", "errors": []}


def test_time_and_number_of_entries_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"srv/a": ""})
    assert look(tmp_path, "/srv", seconds=-1)["unread"] == "/srv"
    monkeypatch.setattr(observe_access, "_MAX_GROUPS", 1)
    assert look(tmp_path, "/srv")["more"] is True


def test_no_path_uses_up_the_time_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def observe(_host: Host, path: str, _mounts: Any, _root: str, deadline: float) -> dict[str, Any]:
        asked.append((path, deadline))
        return {}

    monkeypatch.setattr(observe_access, "_observe_path", observe)
    monkeypatch.setattr(observe_access.time, "monotonic", lambda: 100.0)
    observe_access.observe_paths(Host(tmp_path), {"/", "/srv", "/srv/app/x"}, "/var/lib/docker", 60)
    assert asked == [("/srv/app/x", 120.0), ("/srv", 130.0), ("/", 160.0)]


def test_other_file_systems_and_the_data_root(tmp_path: Path) -> None:
    for name in ("srv/nfs", "srv/disk/x", "srv/proc", "var/lib/docker/x", "share"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    lines = (("/", "ext4"), ("/srv/nfs", "nfs4"), ("/srv/disk", "xfs"), ("/srv/proc", "proc"), ("/share", "fuse.sshfs"))
    text = "".join(f"{number} 1 0:{number} / {point} rw - {kind} x rw\n" for number, (point, kind) in enumerate(lines, 20))
    (tmp_path / "proc/self/mountinfo").write_text(text)
    assert look(tmp_path, "/srv")["skipped"] == ["/srv/nfs (nfs4)"]
    assert [e["path"] for e in look(tmp_path, "/srv/proc")["entries"]] == ["/srv/proc"], "the kernel's files are not listed"
    assert look(tmp_path, "/share") == {**look(tmp_path, "/nothing"), "kind": "remote", "skipped": ["/share (fuse.sshfs)"]}
    whole = look(tmp_path, "/var")["entries"]
    assert sum(e["count"] for e in whole) == 2, "the engine's data is not a container's"
    assert sum(e["count"] for e in look(tmp_path, "/var/lib/docker")["entries"]) == 2
    assert look(tmp_path, "/srv", seconds=-1)["unread"] == "/srv", "the first place is named, not the last file system"


def test_root_on_an_overlay_and_a_subvolume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srv/sub").mkdir(parents=True)
    write_files(tmp_path, {"srv/a": "", "proc/self/mountinfo": "20 1 0:20 / / rw - overlay overlay rw\n"})
    lstat = os.lstat

    def faked(path: Any) -> os.stat_result:
        status = lstat(path)
        return os.stat_result((*status[:2], 99, *status[3:])) if str(path).endswith("/sub") else status

    monkeypatch.setattr(os, "lstat", faked)
    found = look(tmp_path, "/srv")
    assert [e["path"] for e in found["entries"]] == ["/srv", "/srv/a"]
    assert found["errors"] == ["/srv/sub, which is another file system"]
