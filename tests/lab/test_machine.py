# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's process: found dead, ended, never mistaken. Stand-ins take qemu's place."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab import lifecycle, paths, process, ssh
from lab.errors import LabError
from lab.machine import Machine
from lab.progress import Heartbeat


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine("x", tmp_path)


def test_a_process_that_ends_at_once_is_an_error_with_its_output(machine: Machine) -> None:
    (machine.directory / "serial.log").write_text("the guest's last words\n")
    with pytest.raises(LabError) as caught:
        machine.start(["sh", "-c", "echo no such device; exit 1"])
    assert "machine x: qemu did not start" in str(caught.value)
    assert "no such device" in str(caught.value)
    assert "the guest's last words" in str(caught.value)
    assert not machine.is_alive()


def test_a_missing_program_is_an_error(machine: Machine) -> None:
    with pytest.raises(LabError, match="bulkhead-no-such-program does not start"):
        machine.start(["bulkhead-no-such-program"])
    assert not machine.is_alive()


@pytest.mark.parametrize(("panics", "hopeless"), [(0, False), (2, False), (3, True)])
def test_a_guest_that_panics_now_and_then_may_boot_again(machine: Machine, panics: int, hopeless: bool) -> None:
    own = subprocess.Popen(["sleep", "60"])
    try:
        machine.update_state(pid=own.pid, started=process.start_time(own.pid))
        machine.serial.write_text("Linux version\n[ 1.0] Kernel panic - not syncing: Fatal exception\n" * panics)
        with pytest.raises(LabError, match="again and again") if hopeless else nullcontext():
            machine.check_progress(Heartbeat("booting"), 60, "no ssh")
    finally:
        own.kill()
        own.wait()


def test_a_process_with_the_pid_of_an_ended_machine_is_ignored(machine: Machine) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        machine.update_state(pid=stranger.pid, started="1", ready=True)
        assert not machine.is_alive()
        machine.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("script", ["exec sleep 60", "trap '' TERM; while :; do sleep 1; done"])
def test_the_machines_own_process_is_ended(machine: Machine, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TERM_SECONDS", 0.3)
    own = subprocess.Popen(["sh", "-c", script])
    machine.update_state(pid=own.pid, started=process.start_time(own.pid))
    assert machine.is_alive()
    machine.stop()
    assert not machine.is_alive()
    assert own.wait() != 0


def test_remove_machine_removes_files_of_an_ended_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "lab_dir", lambda: tmp_path)
    variables = tmp_path / "inventory" / "host_vars" / "x.yml"
    variables.parent.mkdir(parents=True)
    variables.touch()
    machine = Machine("x", paths.machine_dir("x"))
    machine.directory.mkdir()
    machine.update_state(pid=os.getpid(), started="1", ready=True, host_vars=[str(variables)])
    with pytest.raises(LabError, match="machine x is not up"):
        lifecycle.find_machine("x")
    assert lifecycle.remove_machine("x")
    assert not machine.directory.exists()
    assert not variables.exists()
    assert not lifecycle.remove_machine("x")


@pytest.mark.parametrize(("greeting", "expected"), [(b"SSH-2.0-OpenSSH\r\n", True), (b"HTTP/1.1 400\r\n", False), (b"", False)])
def test_only_an_ssh_greeting_counts(greeting: bytes, expected: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        assert ssh.has_ssh_server(server.getsockname()[1], 5.0, lambda: None) is expected
        thread.join()


def test_nobody_listening_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ssh.has_ssh_server(port, 5.0, lambda: None) is False


def test_a_silent_server_is_waited_for_only_so_long() -> None:
    beats: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ssh.has_ssh_server(server.getsockname()[1], 0.6, lambda: beats.append(1)) is False
    assert beats
