# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs its control node: ``make bench-fleet [HOSTS="10 100 500"]``.

The hosts are simulated on this machine's loopback network: each has process IDs, a name and a Debian root of its own (the lab's image under
an overlay) and a real sshd on an address of its own, so that playbooks/verify.yml and its module really run there. What they lack is a running
engine. Since their work is done by this machine's processors too, the time of a run is an upper bound; the control node's own processor time
and memory are measured apart from theirs.

Needs root (namespaces, overlays), Linux, and the lab's image. Leaves nothing behind.
"""

from __future__ import annotations

import argparse
import ctypes
import ipaddress
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import yaml

PORT = 2222
FIRST = ipaddress.IPv4Address("127.77.0.1")
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, man 2 prctl
CONSTANT = 10.0  # per cent by which the cost of a host may differ between a small fleet and a large one
NO_REUSE = "-o ControlMaster=no -o ControlPath=none"


class Trouble(Exception):
    """The benchmark cannot run; the message says why."""


@dataclass
class Cost:
    """One run on the control node: seconds on the clock, its processors' seconds, and the most memory that it used at one time, in MiB."""

    hosts: int
    seconds: float
    processor: float
    memory: float


# The hosts


@contextmanager
def image() -> Iterator[tuple[Path, Path]]:
    """A folder with the lab's image mounted in it, and the key that opens it."""
    built = subprocess.run([sys.executable, "-m", "lab", "image"], check=True, capture_output=True, text=True).stdout.split()[-1]
    source = Path(built).parents[1]
    folder = Path(tempfile.mkdtemp(prefix="bench-fleet-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    root = folder / "image"
    try:
        for name in ("image", "shared", "host"):
            (folder / name).mkdir()
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(source / "disk.qcow2"), str(folder / "disk.raw")], check=True)
        subprocess.run(["mount", "-o", "loop,ro", str(folder / "disk.raw"), str(root)], check=True)
        shutil.copy(source / "ssh_key", folder / "ssh_key")
        yield folder, folder / "ssh_key"
    finally:
        if root.is_mount():
            subprocess.run(["umount", str(root)], check=True)
        shutil.rmtree(folder)


@contextmanager
def fleet(number: int, folder: Path) -> Iterator[list[str]]:
    """So many hosts that answer; gives their addresses."""
    addresses = [str(FIRST + index) for index in range(number)]
    say(f"starting {number} hosts")
    running: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "hosts.log", "ab") as log:
            for index, address in enumerate(addresses):
                running.append(start(folder, name(index), address, log))
        for process, address in zip(running, addresses, strict=True):
            await_answer(process, address, folder)
        yield addresses
    finally:
        for process in running:
            process.kill()  # unshare does not listen to anything gentler; what it started goes with it
        for process in running:
            process.wait()


def start(folder: Path, host: str, address: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start one host; it lives as long as the process does."""
    command = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    command += ["scripts/fleet_host", str(folder), host, address, str(PORT)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def name(index: int) -> str:
    """A host's name."""
    return f"host{index + 1:04}"


def await_answer(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    """Wait until the sshd of this host answers, and not one of another process."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if process.poll() is not None:
                raise OSError("the host ended")
            with socket.create_connection((address, PORT), 5):
                return
        except OSError as error:
            if time.monotonic() > deadline or process.returncode is not None:
                last = (folder / "hosts.log").read_text(errors="replace").splitlines()[-5:]
                raise Trouble(f"no sshd on {address}: {error}; the hosts said: {last}") from error
            time.sleep(0.1)


def write_inventory(folder: Path, addresses: Sequence[str]) -> Path:
    """The inventory of the hosts."""
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
    variables = {
        "ansible_user": "root",
        "ansible_port": PORT,
        "ansible_ssh_private_key_file": str(folder / "ssh_key"),
        "ansible_ssh_common_args": options,
        "ansible_timeout": 60,
    }
    hosts = {name(index): {"ansible_host": address} for index, address in enumerate(addresses)}
    path = folder / f"inventory-{len(addresses)}.yml"
    path.write_text(yaml.safe_dump({"docker_hosts": {"vars": variables, "hosts": hosts}}))
    return path


# The control node


def spent() -> float:
    """Processor seconds of all children that were waited for, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parents() -> dict[int, int]:
    """Every process → its parent (man 5 proc, stat)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return found


def ours(spared: set[int]) -> set[int]:
    """What descends from this process, without those that were there before: the run, and connections that outlive it (a subreaper gets them)."""
    parent = parents()
    found: set[int] = set()
    wave = {os.getpid()}
    while wave:
        wave = {child for child, of in parent.items() if of in wave and child not in spared}
        found |= wave
    return found


def memory(processes: set[int]) -> float:
    """MiB that processes use, what they share counted once (Pss)."""
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total / 1024


class Watch(threading.Thread):
    """Notes the most memory that was used."""

    def __init__(self, spared: set[int]) -> None:
        super().__init__(daemon=True)
        self.spared, self.most, self.over = spared, 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(1):
            self.most = max(self.most, memory(ours(self.spared)))


def end_connections(spared: set[int]) -> None:
    """End the connections that the run left open, so that what they cost is counted, and the next run begins without."""
    for process in ours(spared):
        try:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def measure(folder: Path, inventory: Path, hosts: int, settings: Mapping[str, str], playbook: Path) -> Cost:
    """Run a playbook against all hosts. Raises Trouble where a host has no report with evidence."""
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    spared = set(parents()) - {os.getpid()}
    command = [
        "ansible-playbook",
        "-i",
        str(inventory),
        str(playbook),
        "-e",
        f"bulkhead_report_dir={reports}",
        "-e",
        "bulkhead_show=failing",
    ]
    watch = Watch(spared)
    before, began = spent(), time.monotonic()
    with open(folder / "run.log", "wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        watch.start()
        process.wait()
    except BaseException:  # interrupted: the run must not go on without its hosts
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_connections(spared)
        raise
    seconds = time.monotonic() - began
    watch.over.set()
    watch.join()
    end_connections(spared)
    looked = [path for path in reports.glob("verify-*.json") if '"layers"' in path.read_text()]
    if len(looked) != hosts:
        tail = "\n".join((folder / "run.log").read_text(errors="replace").splitlines()[-20:])
        raise Trouble(f"{hosts} hosts, {len(looked)} reports with evidence; the run said:\n{tail}")
    return Cost(hosts, seconds, spent() - before, watch.most)


# The figures


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def shown(what: str, cost: Cost) -> str:
    """One row."""
    each = f"{cost.processor / cost.hosts:>7.2f} s {cost.memory / cost.hosts:>7.1f}"
    return f"{what:<44} {cost.seconds:>7.1f} s {cost.processor:>8.1f} s {cost.memory:>8.0f} {each}"


def slope(small: Cost, large: Cost) -> float:
    """Processor seconds that one host more costs, between two sizes: what a run costs at all is left out."""
    return (large.processor - small.processor) / (large.hosts - small.hosts)


def growth(costs: Sequence[Cost]) -> float | None:
    """By how many per cent one host more costs more (or less) between the largest sizes than between the smallest; None with fewer than three."""
    if len(costs) < 3:
        return None
    return (slope(costs[-2], costs[-1]) / slope(costs[0], costs[1]) - 1) * 100


def knobs(folder: Path) -> list[tuple[str, dict[str, str], Path]]:
    """What is turned, one at a time, against the settings of ansible.cfg."""
    verify = Path("playbooks/verify.yml")
    polling = folder / "polling.cfg"  # the only way to set it
    polling.write_text(Path("ansible.cfg").read_text().replace("[defaults]\n", "[defaults]\ninternal_poll_interval = 0.01\n"))
    seldom = {
        "ANSIBLE_CONFIG": str(polling),
        "ANSIBLE_COLLECTIONS_PATH": os.path.abspath("collections"),
        "ANSIBLE_ROLES_PATH": os.path.abspath("roles"),
    }
    facts = folder / "facts.yml"
    play = {"name": "Facts", "hosts": "docker_hosts", "gather_facts": True}
    facts.write_text(yaml.safe_dump([play, {"name": "Verify", "ansible.builtin.import_playbook": str(verify.resolve())}], sort_keys=False))
    return [
        ("as in ansible.cfg", {}, verify),
        *((f"forks {number}", {"ANSIBLE_FORKS": str(number)}, verify) for number in (5, 10, 50, 100)),
        ("without pipelining", {"ANSIBLE_PIPELINING": "False"}, verify),
        ("without ControlPersist", {"ANSIBLE_SSH_ARGS": NO_REUSE}, verify),
        ("without both", {"ANSIBLE_PIPELINING": "False", "ANSIBLE_SSH_ARGS": NO_REUSE}, verify),
        ("polling every 10 ms, not every 1", seldom, verify),
        ("with facts gathered first", {}, facts),
    ]


def bench(sizes: Sequence[int], knob_hosts: int, wait: float) -> None:
    """Take all figures."""
    with image() as (folder, _key), fleet(max(*sizes, knob_hosts, 1), folder) as addresses:
        patience = folder / "shared" / "wait"
        patience.write_text("0\n")
        measure(folder, write_inventory(folder, addresses[:2]), 2, {}, Path("playbooks/verify.yml"))  # the first run compiles
        say(f"\n{machine()}\n\n{'verify.yml':<44} {'time':>9} {'processor':>10} {'MiB':>8} {'each':>9} {'MiB':>7}")
        costs = []
        for size in sizes:
            costs.append(measure(folder, write_inventory(folder, addresses[:size]), size, {}, Path("playbooks/verify.yml")))
            say(shown(f"{size} hosts (load {os.getloadavg()[0]:.1f})", costs[-1]))
        for small, large in pairwise(costs):
            more = (large.memory - small.memory) / (large.hosts - small.hosts)
            say(f"one host more, between {small.hosts} and {large.hosts}: {slope(small, large):.2f} s of processor, {more:.2f} MiB")
        change = growth(costs)
        if change is not None:
            say(f"which grew by {change:+.0f} % (at most {CONSTANT:.0f} %){'' if change <= CONSTANT else ' MISSED'}")
        if knob_hosts:
            patience.write_text(f"{wait}\n")
            say(f"\n{knob_hosts} hosts; each command on a host takes {wait} s more, without using a processor")
            inventory = write_inventory(folder, addresses[:knob_hosts])
            for what, settings, playbook in knobs(folder):
                say(shown(what, measure(folder, inventory, knob_hosts, settings, playbook)))


def machine() -> str:
    """This machine, in a line."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return f"{os.cpu_count()} x {model}, {total} GiB, Linux {os.uname().release}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", type=int, help="sizes of fleets, the smallest first (default: 10 100 500)")
    parser.add_argument(
        "--knobs", type=int, default=100, metavar="HOSTS", help="hosts with which settings are compared; 0 for none (default: %(default)s)"
    )
    parser.add_argument(
        "--wait", type=float, default=1.0, metavar="SECONDS", help="how long a host lets one wait then (default: %(default)s)"
    )
    arguments = parser.parse_args()
    sizes = sorted(set(arguments.hosts or [10, 100, 500]))
    if sizes[0] < 2 or sizes[-1] > 5000:
        parser.error("fleets have 2 to 5000 hosts here")
    if os.geteuid() != 0:
        print("bulkhead: bench-fleet needs root, for namespaces and overlays: sudo make bench-fleet", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in what a script started in the background
        signal.signal(number, signal.default_int_handler)
    ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        bench(sizes, arguments.knobs, arguments.wait)
    except Trouble as trouble:
        print(f"bulkhead: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the hosts are gone.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
