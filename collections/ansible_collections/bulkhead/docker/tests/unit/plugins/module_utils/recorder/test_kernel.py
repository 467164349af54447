# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import kernel, pins

from .samples import write_kernel


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64", release="6.12.118+deb13-amd64"))
    return Host(tmp_path)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    """The folder of the pins, on an ordinary file system."""
    monkeypatch.setattr(kernel, "PINS", str(tmp_path / "bulkhead/recorder"))
    monkeypatch.setattr(pins, "PINS", str(tmp_path / "bulkhead/recorder"))
    folder = tmp_path / "bulkhead/recorder" / os.path.basename(pins.find_folder())
    folder.mkdir(parents=True)
    for name in pins.list_pins():
        (folder / name).touch()
    return folder


def test_every_pin_is_needed(folder):
    assert kernel.is_armed()
    for name in pins.list_pins():
        (folder / name).unlink()
        assert not kernel.is_armed()
        (folder / name).touch()


def test_programs_at_functions_need_both_second_ones(folder):
    (folder / "second_sys_exit").touch()
    assert not kernel.is_armed()
    (folder / "second_sys_enter").touch()
    assert kernel.is_armed()


def test_other_version_is_not_armed(folder):
    folder.rename(folder.with_name("0123456789ab"))
    assert not kernel.is_armed()


def test_disarming_removes_every_pin(folder, tmp_path):
    kernel.disarm()
    assert os.listdir(tmp_path) == []
    kernel.disarm()


def test_disarming_keeps_other_pins(folder, tmp_path):
    (tmp_path / "bulkhead/other").touch()
    kernel.disarm()
    assert os.listdir(tmp_path / "bulkhead") == ["other"]


def test_obstacle_stops_arming(monkeypatch):
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "no")
    with pytest.raises(kernel.RecorderError, match=r"^no$"):
        kernel.arm()


def test_arming_twice_changes_nothing(folder, monkeypatch):
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    kernel.arm()
    assert kernel.is_armed()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(1, "bpf(2): Operation not permitted"),
            "load BPF programs .bpf.2.: Operation not permitted.; run as root on the host",
        ),
        (
            OSError(22, "Invalid argument: R0 !read_ok"),
            "kernel 6.12.118.* does not accept the recorder's programs: Invalid argument: R0 !read_ok;",
        ),
        (FileNotFoundError(2, "No such file or directory", "/sys/x/type"), "programs: /sys/x/type: No such file or directory; report this"),
    ],
)
def test_failed_load_is_explained_and_removed(host, folder, monkeypatch, error, message):
    def fail(*unused: object) -> None:
        raise error

    (folder / "calls").unlink()
    host.path("/vmlinux").write_bytes(write_kernel())
    monkeypatch.setattr(kernel, "VMLINUX", str(host.path("/vmlinux")))
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    monkeypatch.setattr(kernel.bpf, "create_map", fail)
    with pytest.raises(kernel.RecorderError, match=message):
        kernel.arm()
    assert not folder.exists()


def test_faulty_recorder_is_removed(host, folder, monkeypatch):
    (folder / "calls").unlink()
    host.path("/vmlinux").write_bytes(write_kernel())
    monkeypatch.setattr(kernel, "VMLINUX", str(host.path("/vmlinux")))
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    monkeypatch.setattr(kernel, "_load", lambda *unused: folder.mkdir(parents=True))
    monkeypatch.setattr(kernel.selftest, "find_fault", lambda: "it counted nothing")
    with pytest.raises(kernel.RecorderError, match="its test failed: it counted nothing; report this"):
        kernel.arm()
    assert not folder.exists()


def test_recorder_that_cannot_be_read_is_removed(host, folder, monkeypatch):
    (folder / "calls").unlink()
    host.path("/vmlinux").write_bytes(write_kernel())
    monkeypatch.setattr(kernel, "VMLINUX", str(host.path("/vmlinux")))
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    monkeypatch.setattr(kernel, "_load", lambda *unused: folder.mkdir(parents=True))
    monkeypatch.setattr(kernel.selftest, "find_fault", lambda: (nothing for nothing in ()).throw(kernel.RecorderError("no")))
    with pytest.raises(kernel.RecorderError, match=r"^no$"):
        kernel.arm()
    assert not folder.exists()


def test_kernel_without_a_type_is_named(host, folder, monkeypatch):
    (folder / "calls").unlink()
    host.path("/vmlinux").write_bytes(write_kernel(without="cgroup.kn"))
    monkeypatch.setattr(kernel, "VMLINUX", str(host.path("/vmlinux")))
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    with pytest.raises(kernel.RecorderError, match="vmlinux: has no member kn in structure cgroup; calls cannot be recorded with kernel"):
        kernel.arm()
