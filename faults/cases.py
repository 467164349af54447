# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: how each is caused, during a run or before it, and how an operator repairs their own part."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from faults.machine import FaultMachine, kill_playbook
from faults.replay import RecordedRun

# All layers except userns: files, profiles and a restart, without a change of the data root.
CONVERGE = ("-e", "userns_remap_layer=disabled")
# Only the layer userns. The markers are compared; an emulated machine takes minutes to change and verify all layers.
MIGRATE = ("--tags", "userns", "-e", "userns_remap_existing_data=migrate", "-e", "bulkhead_verify=false")
# The same for an engine that keeps images in containerd: under userns-remap it has to use a storage driver.
MIGRATE_IMAGES = (
    *("--tags", "userns,pids_limit,no_new_privileges", "-e", "userns_remap_existing_data=migrate", "-e", "bulkhead_verify=false"),
    *("-e", '{"docker_daemon_options": {"features": {"containerd-snapshotter": false}}}'),
)
# Only the engine's configuration.
ENGINE = ("--tags", "pids_limit,no_new_privileges", "-e", "bulkhead_verify=false")

Disturb = Callable[[FaultMachine, "subprocess.Popen[bytes]", random.Random], str]


@dataclass(frozen=True)
class Case:
    """One fault. `arrange` (before the run) and `repair` (after it) are shell scripts in the machine; `disturb` runs during the run.

    power: the power is cut while the recorded modules are replayed. messages: if the plan can see the fault, the run must fail with these
    texts in its output. running: the containers that must run after the fault. hides_data: the engine cannot show all data during the
    fault, so the markers are compared only after the repair. containerd: for a machine whose engine keeps images in containerd.
    """

    name: str
    fault: str
    variables: tuple[str, ...] = CONVERGE
    arrange: str = ""
    disturb: Disturb | None = None
    repair: str = ""
    power: bool = False
    messages: tuple[str, ...] = ()
    running: frozenset[str] = field(default_factory=lambda: frozenset(("keeper", "plain")))
    hides_data: bool = False
    containerd: bool = False


# The task that changes the engine's configuration. Seconds that it, and what precedes it, take on an idle control node.
_TASK, _TASK_SECONDS, _SECONDS_BEFORE = "Change the engine's configuration", 30.0, 20.0


def _wait_for_moment(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Wait for a random moment, three times out of four within the task that changes the engine. Return its description."""
    if chance.random() < 0.25:
        moment = chance.uniform(0, _SECONDS_BEFORE)
        time.sleep(moment)
        return f"{moment:.1f} s into the run"
    _wait_for_task(machine, process, _TASK)
    moment = chance.uniform(0, _TASK_SECONDS)
    time.sleep(moment)
    return f"{moment:.1f} s into the change" + (", after the end of the run" if process.poll() is not None else "")


def _wait_for_task(machine: FaultMachine, process: subprocess.Popen[bytes], task: str) -> None:
    """Wait until a task of the run begins, or the run ends."""
    while process.poll() is None and task not in (machine.folder / "run.log").read_text(errors="replace"):
        time.sleep(0.1)


def cut_power(machine: FaultMachine, recording: RecordedRun, chance: random.Random) -> str:
    """Replay the recorded modules and cut the power meanwhile. Return a description of the moment and of what was lost.

    Half of the cuts come at a random moment, half at a random write to the disk, when something can be lost.
    """
    at_write = chance.random() < 0.5
    moment, write = chance.uniform(0, recording.seconds), chance.randint(1, recording.writes)
    drop_all = chance.random() < 0.5
    recording.start_replay(machine)
    if not at_write:
        time.sleep(moment)
        when = f"after {moment:.1f} s of {recording.seconds:.0f}"
    elif machine.wait_for_write(write, 2 * recording.seconds + 30):
        when = f"at write {write} of {recording.writes}"
    else:
        when = f"at the end, because write {write} of {recording.writes} did not come"
    pending, lost = machine.cut_power(None if drop_all else chance)
    return f"{when}; {pending} writes not flushed, {lost} of them lost"


def cut_ssh(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _wait_for_moment(machine, process, chance)
    kill_playbook(process)
    machine.run_script("pkill -KILL -f '^sshd.*root@notty' || true")
    return moment


def kill_engine(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _wait_for_moment(machine, process, chance)
    killed = machine.run_script("kill -KILL $(pidof dockerd)").returncode == 0
    process.wait()
    return moment + ("" if killed else ", but no engine ran")


def kill_containerd(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Kill containerd, which systemd starts again."""
    moment = _wait_for_moment(machine, process, chance)
    machine.run_script("kill -KILL $(pidof containerd)")
    process.wait()
    return moment


# The largest content is the archive of the one layer. Nothing reads it as long as the engine works with the layer's files.
_FIND_ARCHIVE = "archive=$(find /var/lib/containerd/io.containerd.content.v1.content/blobs -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2)"
_CHANGE_ARCHIVE = f"""
{_FIND_ARCHIVE}
cp -a $archive /saved
python3 - $archive <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(100000)
    byte = file.read(1)
    file.seek(100000)
    file.write(bytes([byte[0] ^ 1]))
PYTHON
"""
_RESTORE_ARCHIVE = f"""
{_FIND_ARCHIVE}
cp -a /saved $archive
"""


def damage_archive(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Change a byte in the archive of a layer after the plan has compared it."""
    _wait_for_task(machine, process, "Allocate subordinate ID ranges")
    machine.check_script(_CHANGE_ARCHIVE)
    process.wait()
    return "after the plan"


def jump_clock(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    moment = _wait_for_moment(machine, process, chance)
    days = chance.choice((-400, -1, 1, 400))
    machine.run_script(f"date -s '{days:+d} days'")
    process.wait()
    return f"by {days:+d} days, {moment}"


def start_second_run(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    time.sleep(chance.uniform(0, 5))
    other = machine.start_playbook("harden", *ENGINE, log="second.log")
    process.wait()
    other.wait()
    return f"exit codes {process.returncode} and {other.returncode}"


# On bookworm the next suite's engine is installed, elsewhere the same packages again. Debian's packages do not restart the engine.
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


def upgrade_engine(machine: FaultMachine, process: subprocess.Popen[bytes], chance: random.Random) -> str:
    process.wait()
    versions = [machine.check_script("dockerd --version").split(",")[0]]
    machine.check_script(_UPGRADE, 3600)
    versions.append(machine.check_script("dockerd --version").split(",")[0])
    return " to ".join(versions)


_REMOVE_JSON = "rm -rf /etc/docker/daemon.json"


def _make_json_case(name: str, what: str, *messages: str, text: str = "", arrange: str = "", repair: str = _REMOVE_JSON) -> Case:
    """Return a case with an invalid or unusual daemon.json. The run must report it with these messages and change nothing."""
    write = f"printf '{text}' > /etc/docker/daemon.json;" if text else ""
    return Case(
        f"json-{name}",
        f"daemon.json {what}",
        ENGINE,
        arrange=f"mkdir -p /etc/docker; {write} {arrange}",
        repair=repair,
        messages=("daemon.json", *messages),
    )


# Does what chattr does, which the machine does not have (man 2 ioctl_iflags: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL).
_SET_FLAGS = """
python3 - <<'PYTHON'
import fcntl, struct
with open("/etc/docker/daemon.json") as file:
    (flags,) = struct.unpack("<Q", fcntl.ioctl(file, 0x80086601, bytes(8)))
    fcntl.ioctl(file, 0x40086602, struct.pack("<Q", flags {}))
PYTHON
"""
_FAIL_RESTART = """
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\\nExecStartPre=/bin/sh -c "! grep -q no-new-privileges /etc/docker/daemon.json"\\n' > /etc/systemd/system/docker.service.d/fails.conf
systemctl daemon-reload
"""

CASES = (
    Case("power-cut", "power cut in a converge", power=True, running=frozenset(["keeper"])),
    Case("power-cut-engine", "power cut in a change of the engine's configuration", ENGINE, power=True, running=frozenset(["keeper"])),
    Case("power-cut-migration", "power cut in a migration", MIGRATE, power=True, running=frozenset(["keeper"])),
    Case("ssh-cut", "SSH cut and Ansible killed in a converge", disturb=cut_ssh),
    Case("ssh-cut-migration", "SSH cut and Ansible killed in a migration", MIGRATE, disturb=cut_ssh, running=frozenset()),
    Case("engine-killed", "dockerd killed (SIGKILL) in a converge", ENGINE, disturb=kill_engine, running=frozenset(["keeper"])),
    Case("engine-killed-migration", "dockerd killed (SIGKILL) in a migration", MIGRATE, disturb=kill_engine, running=frozenset(["keeper"])),
    Case("clock-jump", "clock jump in a converge", ENGINE, disturb=jump_clock),
    Case("two-runs", "two runs at once", ENGINE, disturb=start_second_run),
    Case("upgrade", "package upgrade of the engine after a converge", disturb=upgrade_engine, running=frozenset(["keeper"])),
    Case(
        "upgrade-remapped",
        "package upgrade of the engine after a migration",
        MIGRATE,
        disturb=upgrade_engine,
        running=frozenset(["keeper"]),
    ),
    Case(
        "disk-full",
        "disk full (/etc and the engine's data root are on it)",
        arrange="dd if=/dev/zero of=/filler bs=1M status=none; dd if=/dev/zero of=/filler2 bs=512 status=none; true",
        repair="rm -f /filler /filler2",
        messages=("No space left",),
        hides_data=True,  # the engine creates a folder to read the files of a container that has ended
    ),
    Case(
        "disk-full-migration",
        "disk with too little room for a migration",
        MIGRATE,
        arrange="fallocate -l $(($(stat -f -c '%a * %S' /) - (1 << 20))) /filler",
        repair="rm -f /filler",
        messages=("MiB free",),
    ),
    Case(
        "read-only-etc",
        "/etc read-only",
        arrange="mount --bind /etc /etc && mount -o remount,ro,bind /etc",
        repair="umount /etc",
        messages=("Read-only file system",),
    ),
    Case(
        "restart-fails",
        "systemctl restart docker fails with the new configuration",
        ENGINE,
        arrange=_FAIL_RESTART,
        repair="rm -r /etc/systemd/system/docker.service.d; systemctl daemon-reload",
        messages=("the previous configuration is restored",),
    ),
    Case(
        "power-cut-images",
        "power cut in a migration of images in containerd",
        MIGRATE_IMAGES,
        power=True,
        running=frozenset(["keeper"]),
        containerd=True,
    ),
    Case(
        "engine-killed-images",
        "dockerd killed (SIGKILL) in a migration of images in containerd",
        MIGRATE_IMAGES,
        disturb=kill_engine,
        running=frozenset(),  # an engine that was killed does not start them again (seen with 26.1.5, without a run)
        containerd=True,
    ),
    Case(
        "containerd-killed-images",
        "containerd killed (SIGKILL) in a migration of images in it",
        MIGRATE_IMAGES,
        disturb=kill_containerd,
        running=frozenset(["keeper"]),
        containerd=True,
    ),
    Case(
        "disk-full-images",
        "disk with too little room for a migration of images in containerd",
        MIGRATE_IMAGES,
        arrange="fallocate -l $(($(stat -f -c '%a * %S' /) - (1 << 20))) /filler",
        repair="rm -f /filler",
        messages=("MiB free",),
        containerd=True,
    ),
    Case(
        "archive-damaged-images",
        "a changed byte in the archive of a layer in containerd",
        MIGRATE_IMAGES,
        arrange=_CHANGE_ARCHIVE,
        repair=_RESTORE_ARCHIVE,
        messages=("is damaged: its bytes have the digest", "Nothing was changed"),
        containerd=True,
    ),
    Case(
        "archive-damaged-late-images",
        "a changed byte in the archive of a layer in containerd, after the plan",
        MIGRATE_IMAGES,
        disturb=damage_archive,
        repair=_RESTORE_ARCHIVE,
        messages=("images in containerd cannot be migrated", "the engine was not changed"),
        containerd=True,
    ),
    _make_json_case("bom", "with a byte order mark", "byte order mark", text='\\xef\\xbb\\xbf{"debug": true}'),
    _make_json_case("comment", "with comments", text='// mine\\n{"debug": true}'),
    _make_json_case("twice", "with a key twice", "debug", text='{"debug": true, "debug": false}'),
    _make_json_case("truncated", "truncated", text='{"debug": tr'),
    _make_json_case("folder", "a folder", arrange="mkdir /etc/docker/daemon.json"),
    _make_json_case("dangling", "a dangling link", arrange="ln -s /nowhere/daemon.json /etc/docker/daemon.json"),
    _make_json_case(
        "immutable",
        "immutable (chattr +i)",
        "chattr -i",
        text='{"debug": true}',
        arrange=_SET_FLAGS.format("| 16"),
        repair=_SET_FLAGS.format("& ~16"),
    ),
    Case(
        "subuid-corrupt",
        "/etc/subuid corrupted",
        MIGRATE,
        arrange="printf 'dockremap:231072\\n\\xff\\xfe:1:2:3\\n' >> /etc/subuid",
        repair="sed -i '/dockremap:231072$/d; /:1:2:3/d' /etc/subuid",
        messages=("/etc/subuid",),
    ),
    Case(
        "profile-unreadable",
        "the seccomp profile of daemon.json cannot be read (a folder in its place)",
        arrange="mkdir -p /etc/docker/seccomp/bulkhead-default.json",
        repair="rmdir /etc/docker/seccomp/bulkhead-default.json",
        messages=("bulkhead-default",),
    ),
)
