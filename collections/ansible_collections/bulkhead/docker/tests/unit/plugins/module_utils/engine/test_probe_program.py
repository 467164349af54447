# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the probe, run on this machine."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.probe import LIFETIME, build_probe_image
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.probe_image import find_program
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.probe_program import build_executable


def start(folder: Path, seconds: int) -> subprocess.Popen[bytes]:
    content = build_executable(os.uname().machine, seconds)
    if content is None:
        pytest.skip("no program for this machine")
    path = folder / "program"
    path.write_bytes(content)
    path.chmod(0o755)
    return subprocess.Popen([path])


def test_the_program_sleeps_as_long_as_it_should(tmp_path: Path) -> None:
    began = time.monotonic()
    with start(tmp_path, 1) as process:
        assert process.wait(20) == 0
    assert 1 <= time.monotonic() - began < 15


def test_the_program_sleeps_and_has_no_executable_stack(tmp_path: Path) -> None:
    with start(tmp_path, 30) as process:
        folder, deadline = Path(f"/proc/{process.pid}"), time.monotonic() + 10
        while (folder / "stat").read_text().rpartition(")")[2].split()[0] != "S" and time.monotonic() < deadline:
            time.sleep(0.01)
        maps = (folder / "maps").read_text().splitlines()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert [line.split()[1] for line in maps if "[stack]" in line] == ["rw-p"]
    assert [line.split()[1] for line in maps if line.endswith("/program")] == ["r-xp"]


def test_other_machines_have_none() -> None:
    assert build_executable("riscv64", 1) is None
    assert build_executable("aarch64", 1) != build_executable("x86_64", 1)


def test_the_image_contains_it_or_the_hosts_own_program() -> None:
    images = {machine: build_probe_image(machine) for machine in ("x86_64", "aarch64", "riscv64")}
    for machine in ("x86_64", "aarch64"):
        archive, command = images[machine]
        assert command == ["/bulkhead-probe"]
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert [(member.name, member.mode) for member in tar.getmembers()] == [("bulkhead-probe", 0o755)]
        assert len(archive) <= 10240
    assert images["riscv64"][1] == [find_program("sleep"), str(LIFETIME)]
