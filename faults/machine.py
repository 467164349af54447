# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine on which faults are caused: it starts each attempt in the same seeded state, and its power can be cut."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import markers
from faults.disk import VolatileDisk
from lab import image, inventory, locks, paths, qemu, recipe
from lab.debian import DebianBase
from lab.errors import LabError
from lab.machine import Machine
from lab.progress import Heartbeat, say
from lab.qmp import Monitor

SEEDED = "seeded"
IS_ENGINE_READY = "systemctl -q is-active docker && docker info"
PATIENCE = 1800.0  # seconds: a boot takes one minute on an idle control node


class FaultMachine:
    """One throwaway machine. Its disk is a copy of a disk that was booted, seeded with the markers, and stopped.

    containerd: whether its engine keeps images in containerd. Its folder is `.lab/NAME`, so that `python3 -m lab ssh NAME` and `lab down NAME` work.
    """

    def __init__(self, name: str, suite: str, containerd: bool = False) -> None:
        self.name, self.suite, self.containerd = name, suite, containerd
        self.base = DebianBase(recipe.create_recipe(suite))
        self.shape = qemu.detect_shape(2048, None)
        self.image = image.MachineImage(self.base)
        self.folder = paths.machine_dir(name)
        self.machine = Machine(name, self.folder)
        self._volatile: VolatileDisk | None = None
        self._held: int | None = None
        self._sockets = tempfile.TemporaryDirectory(prefix="bulkhead-")

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    # Start and stop

    def prepare(self) -> None:
        """Create the seeded state that every attempt starts from, unless an earlier campaign has kept it."""
        self._held = locks.try_lock(image.use_lock(self.base.key()), shared=True)
        image.ensure_image(self.base, self.shape)
        if (self.folder / "seeded.qcow2").exists() and self.machine.state.get("seed") == self._seed():
            return
        if self.folder.exists():
            self.machine.stop()
            shutil.rmtree(self.folder)
        self.folder.mkdir()
        shutil.copy(self.image.ssh_key, self.folder / "ssh_key")
        self._make_disk()
        self.machine.update_state(name=self.name, suite=self.suite, image=self.base.key(), ready=False, seed=self._seed())
        self._boot(None, None)
        if not wait_for(IS_ENGINE_READY, self, 600):
            raise LabError("the engine does not start after the first boot")
        self.run_script("systemctl is-system-running --wait; loginctl enable-linger root")
        self.check_script("! dmesg | grep -q 'without journal'")
        self.check_script(self._seed_script, 900)
        with Monitor(self.folder, timeout=900) as monitor:
            monitor.execute("stop")
            complaint = monitor.run_human_command(f"savevm {SEEDED}").strip()
            if complaint:
                raise LabError(f"savevm: {complaint}")
        self.stop()
        (self.folder / "disk.qcow2").rename(self.folder / "seeded.qcow2")
        say(f"{self.name} is seeded")

    def _make_disk(self) -> None:
        """Create a disk whose file system has a journal. The lab's disks have none, for speed, and do not survive a power cut."""
        disk, raw = self.folder / "disk.qcow2", self.folder / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(self.image.disk), str(raw)], check=True)
        subprocess.run(["/usr/sbin/tune2fs", "-j", str(raw)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(disk)], check=True)
        raw.unlink()

    def _seed(self) -> str:
        return f"{self.base.key()} {self.shape.key()} {recipe.compute_digest(self._seed_script)} journal"

    @property
    def _seed_script(self) -> str:
        return markers.USE_CONTAINERD + markers.SEED if self.containerd else markers.SEED

    def start_fresh(self, volatile: bool = False) -> None:
        """Start the machine in the seeded state. volatile: with a disk that can lose what was not flushed."""
        self.stop()
        disk = self.folder / "disk.qcow2"
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", str(self.folder / "seeded.qcow2"), str(disk)], check=True)
        self._boot(self._start_volatile_disk() if volatile else None, SEEDED)

    def cut_power(self, chance: random.Random | None) -> tuple[int, int]:
        """Cut the power. Returns the disk's writes since the guest's last flush, and how many of them were lost."""
        os.kill(int(self.machine.state["pid"]), signal.SIGKILL)
        self.machine.stop()
        assert self._volatile, "start_fresh(volatile=True) must come before cut_power"
        counts = self._volatile.drop_unflushed(chance)
        self._volatile = None
        return counts

    @property
    def writes(self) -> int:
        """The number of writes to a volatile disk since the machine was started."""
        assert self._volatile
        return self._volatile.writes

    def wait_for_write(self, further: int, timeout: float) -> bool:
        """Wait for that many further writes to a volatile disk, which then accepts no more. Return whether they came in time."""
        assert self._volatile
        return self._volatile.wait_for_write(further, timeout)

    def power_on(self) -> None:
        """Boot from the present content of the disk."""
        self._boot(None, None)

    def stop(self) -> None:
        self.machine.stop()
        if self._volatile:
            self._volatile.close()
            self._volatile = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_volatile_disk(self) -> str:
        self._volatile = VolatileDisk(self.folder / "disk.qcow2", self.folder / "nbd.sock")
        return "file.driver=nbd,file.server.type=unix,file.server.path=nbd.sock,cache=writeback"

    def _boot(self, drive: str | None, snapshot: str | None) -> None:
        command = qemu.build_command(
            self.shape,
            name=self.name,
            disk="disk.qcow2",
            boot=self.image.boot_options(self.shape),
            load_snapshot=snapshot is not None,
            snapshot=snapshot or "",
            drive=drive,
        )
        self.machine.start(command, keep_open=[self._held] if self._held is not None else [])
        if snapshot is None:
            self.machine.wait_for_ssh("booting", PATIENCE)
        self.machine.set_clock_and_hostname(PATIENCE)
        self.machine.update_state(ready=True)
        remote = self.machine.get_remote()
        variables = inventory.host_variables(remote.port, remote.key, remote.known_hosts)
        self.inventory.write_text(inventory.inventory_text(self.name, variables, ()), encoding="utf-8")

    # Scripts and playbooks

    def run_script(self, script: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the machine as root."""
        command = self.machine.get_remote().build_command(["bash", "-s"])
        return subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout, check=False)

    def check_script(self, script: str, timeout: float = 600) -> str:
        """Run a shell script in the machine as root and return its output. Raises LabError if it fails."""
        done = self.run_script(script, timeout)
        if done.returncode:
            raise LabError(f"in {self.name}: {script.strip().splitlines()[0]}…: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start_playbook(self, playbook: str, *arguments: str, log: str = "run.log") -> subprocess.Popen[bytes]:
        """Start one of the project's playbooks against the machine, in a process group of its own."""
        program = Path(sys.executable).parent / "ansible-playbook"
        settings = {"ANSIBLE_CONFIG": str(paths.REPOSITORY / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
        # Open connections would outlive a machine's power cut, and the next machine has another port. The path of a socket has at most 107 bytes.
        settings["ANSIBLE_SSH_CONTROL_PATH_DIR"] = tempfile.mkdtemp(dir=self._sockets.name)
        with open(self.folder / log, "wb") as out:
            return subprocess.Popen(
                [
                    str(program),
                    "-i",
                    str(self.inventory),
                    f"playbooks/{playbook}.yml",
                    "-v",  # prints the name of a task with a condition before its first result (callback compact)
                    "-e",
                    f"bulkhead_report_dir={self.folder}",
                    *arguments,
                ],
                cwd=paths.REPOSITORY,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_playbook(self, name: str, *arguments: str, log: str = "run.log", timeout: float = 1800) -> tuple[int, str]:
        """Run a playbook to its end and return its exit status and its output."""
        process = self.start_playbook(name, *arguments, log=log)
        try:
            process.wait(timeout)
        finally:
            kill_playbook(process)
        return process.returncode, (self.folder / log).read_text(errors="replace")


def kill_playbook(process: subprocess.Popen[bytes]) -> None:
    """Kill a playbook and every process that it started, as a lost terminal of the operator would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: str, machine: FaultMachine, seconds: float) -> bool:
    """Return whether a shell condition becomes true in the machine within that time.

    The loop runs in the machine, because each connection costs a second of its processor.
    """
    limit = time.monotonic() + seconds
    heartbeat = Heartbeat(f"waiting in {machine.name} for: {condition}", lambda: "")
    while time.monotonic() < limit:
        if machine.run_script(f"for unused in $(seq 20); do {condition} && exit; sleep 1; done >/dev/null 2>&1; exit 1").returncode == 0:
            return True
        heartbeat.beat()
    return False
