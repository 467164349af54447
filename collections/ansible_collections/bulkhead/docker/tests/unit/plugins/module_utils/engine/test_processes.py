# SPDX-License-Identifier: GPL-3.0-or-later
"""The dockerd processes of a host; some end during the read, and some only have that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import processes
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

PLAIN, OWN = "0 0 4294967295\n", "0 1000 1\n1 100000 65536\n"


def process(root: Path, pid: int, comm: str, uid: int, uid_map: str) -> None:
    folder = root / f"proc/{pid}"
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "status").write_text(f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\n")
    (folder / "uid_map").write_text(uid_map)
    (folder / "cmdline").write_text(f"{comm}\0-H\0fd://\0")


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
