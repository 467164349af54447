# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: how each is brought about, in the middle of a run or before it, and how an operator mends what is theirs to mend."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from faults.machine import FaultMachine, end
from faults.played import Played

# The engine's root does not change: all other layers do, with files, profiles and a restart.
CONVERGE = ("-e", "userns_remap_layer=disabled")
# That layer alone, and what holds is looked at by markers: an emulated machine takes minutes for all layers and their proof.
MIGRATE = ("--tags", "userns", "-e", "userns_remap_existing_data=migrate", "-e", "bulkhead_verify=false")
# The engine's configuration alone.
ENGINE = ("--tags", "pids_limit,no_new_privileges", "-e", "bulkhead_verify=false")

Disturb = Callable[[FaultMachine, "subprocess.Popen[bytes]", random.Random], str]


@dataclass(frozen=True)
class Case:
    """One fault. `arrange` before the run and `mend` after it are shell scripts in the machine; `disturb` happens during the run.

    power: what changes the machine is played, and it is cut off meanwhile. refused: words of the run that has to fail, when the fault is one
    that we can see. runs: the containers that have to run after the fault. hides: while the fault lasts the engine itself cannot show everything, so it
    is looked at when the fault is mended.
    """

    name: str
    fault: str
    variables: tuple[str, ...] = CONVERGE
    arrange: str = ""
    disturb: Disturb | None = None
    mend: str = ""
    power: bool = False
    refused: tuple[str, ...] = ()
    runs: frozenset[str] = field(default_factory=lambda: frozenset(("keeper", "plain")))
    hides: bool = False


# The task in which the engine's configuration changes; how long it, and what comes before it, may take where nothing else is at work.
_TASK, _WINDOW, _BEFORE = "Change the engine's configuration", 30.0, 20.0


def _moment(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Wait for a random moment, three times out of four in the task that matters. Says which."""
    if chance.random() < 0.25:
        moment = chance.uniform(0, _BEFORE)
        time.sleep(moment)
        return f"{moment:.1f} s into the run"
    while process.poll() is None and _TASK not in (machine.folder / "run.log").read_text(errors="replace"):
        time.sleep(0.1)
    moment = chance.uniform(0, _WINDOW)
    time.sleep(moment)
    return f"{moment:.1f} s into the change" + (", when it had ended" if process.poll() is not None else "")


def cut_power(machine: FaultMachine, played: Played, chance: random.Random) -> str:
    """Play what changes the machine, and cut: half of the times at a random moment, half with a random write to the disk, when there
    is something that it may lose. Says when, and what was lost."""
    aimed = chance.random() < 0.5
    moment, write = chance.uniform(0, played.seconds), chance.randint(1, played.writes)
    all_of_it = chance.random() < 0.5
    played.start(machine)
    if not aimed:
        time.sleep(moment)
        when = f"after {moment:.1f} s of {played.seconds:.0f}"
    elif machine.await_write(write, 2 * played.seconds + 30):
        when = f"with write {write} of {played.writes}"
    else:
        when = f"at the end, as write {write} of {played.writes} did not come"
    pending, lost = machine.cut(None if all_of_it else chance)
    return f"{when}; {pending} writes not flushed, {lost} of them lost"


def cut_ssh(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _moment(machine, process, chance)
    end(process)
    machine.run("pkill -KILL -f '^sshd.*root@notty' || true")
    return moment


def kill_engine(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _moment(machine, process, chance)
    killed = machine.run("kill -KILL $(pidof dockerd)").returncode == 0
    process.wait()
    return moment + ("" if killed else ", when none ran")


def jump_clock(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _moment(machine, process, chance)
    days = chance.choice((-400, -1, 1, 400))
    machine.run(f"date -s '{days:+d} days'")
    process.wait()
    return f"by {days:+d} days, {moment}"


def run_twice(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    time.sleep(chance.uniform(0, 5))
    other = machine.begin("harden", *ENGINE, log="second.log")
    process.wait()
    other.wait()
    return f"exit codes {process.returncode} and {other.returncode}"


# bookworm's engine gives way to the next suite's; elsewhere the same packages are put in place anew. Debian's packages leave the engine running: the
# operator restarts it.
_UPGRADE = """
export DEBIAN_FRONTEND=noninteractive
. /etc/os-release
if [ "$VERSION_CODENAME" = bookworm ]; then
  sed -n 's/ bookworm main/ trixie main/p' /etc/apt/sources.list > /etc/apt/sources.list.d/newer.list
  apt-get update && apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold docker.io docker-cli
else
  apt-get update && apt-get install -y --reinstall docker.io containerd runc
fi
systemctl restart docker
"""


def upgrade(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    process.wait()
    versions = [machine.check("dockerd --version").split(",")[0]]
    machine.check(_UPGRADE, 3600)
    versions.append(machine.check("dockerd --version").split(",")[0])
    return " to ".join(versions)


_REMOVE_JSON = "rm -rf /etc/docker/daemon.json"


def _spoilt(name: str, what: str, *words: str, text: str = "", arrange: str = "", mend: str = _REMOVE_JSON) -> Case:
    """daemon.json as no engine, or nobody, should have it: the run has to say so, with these words, and to touch nothing."""
    write = f"printf '{text}' > /etc/docker/daemon.json;" if text else ""
    return Case(
        f"json-{name}",
        f"daemon.json {what}",
        ENGINE,
        arrange=f"mkdir -p /etc/docker; {write} {arrange}",
        mend=mend,
        refused=("daemon.json", *words),
    )


# What chattr does (man 2 ioctl_iflags: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL), which the machine has not got.
_FLAG = """
python3 - <<'PYTHON'
import fcntl, struct
with open("/etc/docker/daemon.json") as file:
    (flags,) = struct.unpack("<Q", fcntl.ioctl(file, 0x80086601, bytes(8)))
    fcntl.ioctl(file, 0x40086602, struct.pack("<Q", flags {}))
PYTHON
"""
_FAILING_START = """
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\\nExecStartPre=/bin/sh -c "! grep -q no-new-privileges /etc/docker/daemon.json"\\n' > /etc/systemd/system/docker.service.d/fails.conf
systemctl daemon-reload
"""

CASES = (
    Case("power-cut", "power cut in a converge", power=True, runs=frozenset(["keeper"])),
    Case("power-cut-engine", "power cut in a change of the engine's configuration", ENGINE, power=True, runs=frozenset(["keeper"])),
    Case("power-cut-migration", "power cut in a migration", MIGRATE, power=True, runs=frozenset(["keeper"])),
    Case("ssh-cut", "SSH cut and Ansible killed in a converge", disturb=cut_ssh),
    Case("ssh-cut-migration", "SSH cut and Ansible killed in a migration", MIGRATE, disturb=cut_ssh, runs=frozenset()),
    Case("engine-killed", "dockerd killed (SIGKILL) in a converge", ENGINE, disturb=kill_engine, runs=frozenset(["keeper"])),
    Case("engine-killed-migration", "dockerd killed (SIGKILL) in a migration", MIGRATE, disturb=kill_engine, runs=frozenset(["keeper"])),
    Case("clock-jump", "clock jump in a converge", ENGINE, disturb=jump_clock),
    Case("two-runs", "two runs at once", ENGINE, disturb=run_twice),
    Case("upgrade", "package upgrade of the engine after a converge", disturb=upgrade, runs=frozenset(["keeper"])),
    Case("upgrade-remapped", "package upgrade of the engine after a migration", MIGRATE, disturb=upgrade, runs=frozenset(["keeper"])),
    Case(
        "disk-full",
        "disk full (/etc and the engine's data root are on it)",
        arrange="dd if=/dev/zero of=/filler bs=1M status=none; dd if=/dev/zero of=/filler2 bs=512 status=none; true",
        mend="rm -f /filler /filler2",
        refused=("No space left",),
        hides=True,  # files of a container that has ended are read through a mount, for which the engine makes a folder
    ),
    Case(
        "disk-full-migration",
        "disk with too little room for a migration",
        MIGRATE,
        arrange="fallocate -l $(($(stat -f -c '%a * %S' /) - (1 << 20))) /filler",
        mend="rm -f /filler",
        refused=("MiB free",),
    ),
    Case(
        "read-only-etc",
        "/etc read-only",
        arrange="mount --bind /etc /etc && mount -o remount,ro,bind /etc",
        mend="umount /etc",
        refused=("Read-only file system",),
    ),
    Case(
        "restart-fails",
        "systemctl restart docker fails with the new configuration",
        ENGINE,
        arrange=_FAILING_START,
        mend="rm -r /etc/systemd/system/docker.service.d; systemctl daemon-reload",
        refused=("the previous configuration is back",),
    ),
    _spoilt("bom", "with a byte order mark", "byte order mark", text='\\xef\\xbb\\xbf{"debug": true}'),
    _spoilt("comment", "with comments", text='// mine\\n{"debug": true}'),
    _spoilt("twice", "with a key twice", "debug", text='{"debug": true, "debug": false}'),
    _spoilt("truncated", "truncated", text='{"debug": tr'),
    _spoilt("folder", "a folder", arrange="mkdir /etc/docker/daemon.json"),
    _spoilt("dangling", "a dangling link", arrange="ln -s /nowhere/daemon.json /etc/docker/daemon.json"),
    _spoilt(
        "immutable",
        "immutable (chattr +i)",
        "chattr -i",
        text='{"debug": true}',
        arrange=_FLAG.format("| 16"),
        mend=_FLAG.format("& ~16"),
    ),
    Case(
        "subuid-corrupt",
        "/etc/subuid corrupted",
        MIGRATE,
        arrange="printf 'dockremap:231072\\n\\xff\\xfe:1:2:3\\n' >> /etc/subuid",
        mend="sed -i '/dockremap:231072$/d; /:1:2:3/d' /etc/subuid",
        refused=("/etc/subuid",),
    ),
    Case(
        "profile-unreadable",
        "the seccomp profile of daemon.json cannot be read (a folder in its place)",
        arrange="mkdir -p /etc/docker/seccomp/bulkhead-default.json",
        mend="rmdir /etc/docker/seccomp/bulkhead-default.json",
        refused=("bulkhead-default",),
    ),
)
