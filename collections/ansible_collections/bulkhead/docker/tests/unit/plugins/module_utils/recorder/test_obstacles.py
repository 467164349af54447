# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import obstacles

from ...builders import write_files

MOUNTS = "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid,mode=700 0 0\n"


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    """A host that can record calls."""
    files = {
        "sys/fs/cgroup/cgroup.controllers": "cpu pids\n",
        "sys/kernel/btf/vmlinux": "",
        "proc/self/mounts": MOUNTS,
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
    }
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64", release="6.12.118+deb13-amd64"))
    monkeypatch.setattr(obstacles.sys, "maxsize", (1 << 63) - 1)
    return write_files(tmp_path, files)


def test_host_without_obstacle(host):
    assert obstacles.find_obstacle(host) == ""


def test_lockdown_that_cannot_be_read_is_no_obstacle(host):
    host.path("/sys/kernel/security/lockdown").unlink()
    assert obstacles.find_obstacle(host) == ""


@pytest.mark.parametrize(
    ("machine", "release", "message"),
    [
        ("riscv64", "6.12.0", "calls cannot be recorded on riscv64; use a host with x86_64 or aarch64"),
        ("x86_64", "5.10.0-33-amd64", "kernel 5.10.0-33-amd64 cannot record calls; install Linux 5.15 or later"),
        ("aarch64", "4.19.0", "kernel 4.19.0 cannot record calls; install Linux 5.15 or later"),
    ],
)
def test_machine_and_kernel_are_named(host, monkeypatch, machine, release, message):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine, release=release))
    assert obstacles.find_obstacle(host) == message


def test_python_with_32_bits_is_named(host, monkeypatch):
    monkeypatch.setattr(obstacles.sys, "maxsize", (1 << 31) - 1)
    assert "set ansible_python_interpreter to a 64-bit Python" in obstacles.find_obstacle(host)


def test_missing_btf_is_named(host):
    host.path("/sys/kernel/btf/vmlinux").unlink()
    message = "the kernel does not describe its types: /sys/kernel/btf/vmlinux does not exist; use a kernel with CONFIG_DEBUG_INFO_BTF"
    assert obstacles.find_obstacle(host) == message


def test_cgroup_v1_is_named(host):
    host.path("/sys/fs/cgroup/cgroup.controllers").unlink()
    host.path("/sys/fs/cgroup/pids").mkdir()
    assert "by cgroup v2, and this host does not use it; boot with systemd.unified_cgroup_hierarchy=1" in obstacles.find_obstacle(host)


@pytest.mark.parametrize("mounts", ["", "tmpfs /sys/fs/bpf tmpfs rw 0 0\n", "bpf /other bpf rw 0 0\n"])
def test_missing_bpffs_is_named(host, mounts):
    host.path("/proc/self/mounts").write_text(mounts)
    assert obstacles.find_obstacle(host) == "no BPF file system is mounted at /sys/fs/bpf; run: mount -t bpf bpf /sys/fs/bpf"


def test_lockdown_for_confidentiality_is_named(host):
    host.path("/sys/kernel/security/lockdown").write_text("none integrity [confidentiality]\n")
    assert "lockdown is 'confidentiality'" in obstacles.find_obstacle(host)
