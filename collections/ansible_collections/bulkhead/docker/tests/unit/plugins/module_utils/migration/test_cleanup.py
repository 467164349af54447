# SPDX-License-Identifier: GPL-3.0-or-later
"""Which remapped roots count as empty. Images of the containerd store are not among their files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.migration import cleanup

INFO = {"DockerRootDir": "/var/lib/docker", "Containerd": {"Address": "/run/other.sock"}}
Answer = Callable[[str], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the remapped root of an engine with the containerd store: it has no folder `image`."""
    root = tmp_path / "var/lib/docker/231072.231072"
    for name in ("buildkit", "containers", "rootfs/overlayfs", "volumes"):
        (root / name).mkdir(parents=True)
    return root


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[str]], Callable[[str | Exception], None]]:
    """Return the commands that were run, and a function that sets what `ctr` prints or fails with."""
    commands: list[list[str]] = []

    def set_answer(given: str | Exception) -> None:
        def run(command: list[str], **unused: Any) -> subprocess.CompletedProcess[str]:
            commands.append(command)
            if isinstance(given, Exception):
                raise given
            return subprocess.CompletedProcess(command, 0, given, "")

        monkeypatch.setattr(subprocess, "run", run)

    return commands, set_answer


def test_a_root_whose_images_are_in_containerd_is_kept(tmp_path: Path, root: Path, answer: Any) -> None:
    commands, set_answer = answer
    set_answer("docker.io/library/web:1\nmoby-dangling@sha256:1\n")
    found, kept = cleanup.list_empty_roots(Host(tmp_path), INFO)
    assert found == []
    assert "2 images in its namespace moby-231072.231072, beginning with docker.io/library/web:1" in kept[0]
    assert commands == [["ctr", "--address", "/run/other.sock", "--namespace", "moby-231072.231072", "images", "ls", "--quiet"]]


def test_a_root_without_images_is_empty(tmp_path: Path, root: Path, answer: Any) -> None:
    answer[1]("")
    assert cleanup.list_empty_roots(Host(tmp_path), INFO) == ([root], [])


@pytest.mark.parametrize("error", [FileNotFoundError("ctr"), subprocess.CalledProcessError(1, "ctr"), subprocess.TimeoutExpired("ctr", 60)])
def test_without_an_answer_the_folder_image_decides(tmp_path: Path, root: Path, answer: Any, error: Exception) -> None:
    answer[1](error)
    found, kept = cleanup.list_empty_roots(Host(tmp_path), INFO)
    assert found == []
    assert "is not known" in kept[0]
    (root / "image/overlay2").mkdir(parents=True)
    assert cleanup.list_empty_roots(Host(tmp_path), INFO) == ([root], [])


def test_mounts_of_stopped_containers_are_unmounted() -> None:
    for path in ("rootfs/overlayfs/abc", "overlay2/abc/merged", "containers/abc/mounts/shm"):
        assert cleanup._STALE_MOUNT.fullmatch(path)
    assert not cleanup._STALE_MOUNT.fullmatch("volumes/data/_data")
