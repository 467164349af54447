# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters import install, kernel
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters.folders import FOLDER, PROGRAM, UNIT, VERSION
from ansible_collections.bulkhead.docker.plugins.module_utils.denial_counters.pins import PINS, CountersError
from ansible_collections.bulkhead.docker.plugins.module_utils.host.archive import build_archive
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder import btf

from .samples import write_kernel


class FakeManager:
    """Answers as systemctl does, and notes the commands."""

    def __init__(self) -> None:
        self.enabled, self.commands = True, []

    def __call__(self, *arguments: str, timeout: float = 0) -> str:
        self.commands.append(" ".join(arguments))
        return f"UnitFileState={'enabled' if self.enabled else 'disabled'}\n" if arguments[0] == "show" else ""


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "is_counting", lambda: True)
    monkeypatch.setattr(install, "write_atomically", lambda path, text, mode: path.write_text(text))
    monkeypatch.setattr(install, "ensure_folder", lambda host: host.path(FOLDER).parent.mkdir(parents=True, exist_ok=True))
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return Host(tmp_path)


def test_the_program_runs_alone(tmp_path):
    content, version = build_archive(install.START)
    path = tmp_path / "counters.pyz"
    path.write_bytes(content)
    done = subprocess.run([sys.executable, "-I", str(path), "dance"], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (2, "'dance' is not a command of the counters; write arm or disarm\n")
    assert len(version) == 16


def test_second_run_has_nothing_to_do(host, monkeypatch):
    run = FakeManager()
    assert install.find_changes(host, "v1", run) == [
        f"install {PROGRAM} and bulkhead-denials.service",
        "load the programs that count denials",
    ]
    install.install_counters(host, "v1", b"program", run)
    assert run.commands == ["daemon-reload", "enable bulkhead-denials.service", "restart bulkhead-denials.service"]
    assert install.find_changes(host, "v1", run) == []
    monkeypatch.setattr(install, "is_counting", lambda: False)
    assert install.find_changes(host, "v1", run) == ["load the programs that count denials"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (VERSION, "v0", f"replace {PROGRAM} by version v1"),
        (UNIT, "[Unit]", f"replace {UNIT}"),
        (None, "", "enable bulkhead-denials.service"),
    ],
)
def test_what_differs_is_named(host, path, text, message):
    run = FakeManager()
    install.install_counters(host, "v1", b"program", run)
    if path:
        host.path(path).write_text(text)
    else:
        run.enabled = False
    assert install.find_changes(host, "v1", run) == [message, "load the programs that count denials"]


def test_removal_is_listed_and_complete(host, monkeypatch):
    run, unloaded = FakeManager(), []
    monkeypatch.setattr(install, "unload_counters", lambda: unloaded.append(True))
    assert install.list_removals(host) == []
    install.install_counters(host, "v1", b"program", run)
    host.path(PINS).mkdir(parents=True)
    assert install.list_removals(host) == [f"stop and remove {UNIT}", "unload the programs that count denials", f"remove {FOLDER}"]
    install.remove_counters(host, run)
    assert (unloaded, host.path(UNIT).exists(), host.path(FOLDER).exists()) == ([True], False, False)
    assert run.commands[-2:] == ["disable --now bulkhead-denials.service", "daemon-reload"]


def test_obstacle_of_the_host_is_named(monkeypatch):
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "the kernel has no BTF")
    with pytest.raises(CountersError, match="denials cannot be counted: the kernel has no BTF"):
        kernel.load_counters()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(1, "Operation not permitted"), "run as root on the host itself, not in a container"),
        (OSError(524, "Unknown error 524"), "use Linux 6.4 or later"),
        (OSError(22, "Invalid argument: R1 is bad"), "does not accept the programs that count denials: Invalid argument: R1 is bad"),
    ],
)
def test_failure_to_load_leaves_nothing(tmp_path, monkeypatch, error, message):
    def fail(*_arguments):
        (tmp_path / "pins").mkdir()
        raise error

    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(write_kernel())
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    monkeypatch.setattr(kernel, "PINS", str(tmp_path / "pins"))
    monkeypatch.setattr(kernel, "VMLINUX", str(vmlinux))
    monkeypatch.setattr(kernel.os, "uname", lambda: type("Machine", (), {"machine": "x86_64", "release": "6.12"}))
    monkeypatch.setattr(kernel, "_load", fail)
    with pytest.raises(CountersError, match=message):
        kernel.load_counters()
    assert not (tmp_path / "pins").exists()


def test_failed_test_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "find_obstacle", lambda host: "")
    monkeypatch.setattr(kernel, "PINS", str(tmp_path / "pins"))
    monkeypatch.setattr(kernel, "Btf", lambda raw: btf.Btf(write_kernel()))
    monkeypatch.setattr(kernel.os, "uname", lambda: type("Machine", (), {"machine": "x86_64", "release": "6.12"}))
    monkeypatch.setattr(kernel, "VMLINUX", "/dev/null")
    monkeypatch.setattr(kernel, "_load", lambda offsets, function: None)
    monkeypatch.setattr(kernel.selftest, "find_fault", lambda: "it counted nothing")
    with pytest.raises(CountersError, match=r"their test failed: it counted nothing; report this with the kernel's release 6\.12"):
        kernel.load_counters()


def test_running_containers_are_added(monkeypatch):
    """A group below a container's belongs to it."""
    container, pod = "/docker/" + "a" * 64, "/system.slice/docker-" + "b" * 64 + ".scope"
    groups = {1: "/docker", 2: container, 3: f"{container}/init.scope", 4: pod, 5: "/system.slice/cron.service"}
    written: dict[tuple[int, bytes], bytes] = {}
    monkeypatch.setattr(kernel.bpf, "update", lambda map_, key, value, size: written.__setitem__((map_, key), value))
    kernel._add_containers({"containers": 10, "names": 20}, lambda host: groups)
    number = {value: value.to_bytes(8, "little") for value in groups}
    assert written == {
        (20, number[2]): container.encode(),
        (10, number[2]): number[2],
        (10, number[3]): number[2],
        (20, number[4]): pod.encode(),
        (10, number[4]): number[4],
    }
