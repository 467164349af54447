# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs its control node: ``make bench-fleet [HOSTS="10 100 500"]``.

The hosts are simulated on this machine's loopback network: each has process IDs, a name and a Debian root of its own (the lab's image under
an overlay) and a real sshd on an address of its own, so that playbooks/verify.yml and its module really run there. What they lack is a running
engine. Since their work is done by this machine's processors too, the time of a run is an upper bound; the control node's own processor time
and memory are measured separately.

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
FIRST_ADDRESS = ipaddress.IPv4Address("127.77.0.1")
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, man 2 prctl
MAX_GROWTH = 10.0  # per cent by which the cost of a host may differ between a small fleet and a large one
NO_REUSE = "-o ControlMaster=no -o ControlPath=none"


class BenchmarkError(Exception):
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
def mount_image() -> Iterator[tuple[Path, Path]]:
    """Mount the lab's image; yield the folder with it, and the private key of root there."""
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
def start_fleet(number: int, folder: Path) -> Iterator[list[str]]:
    """Start a number of hosts; yield their addresses when their sshd answers."""
    addresses = [str(FIRST_ADDRESS + index) for index in range(number)]
    print_line(f"starting {number} hosts")
    running: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "hosts.log", "ab") as log:
            for index, address in enumerate(addresses):
                running.append(start_host(folder, name_host(index), address, log))
        for process, address in zip(running, addresses, strict=True):
            wait_for_sshd(process, address, folder)
        yield addresses
    finally:
        for process in running:
            process.kill()  # unshare ignores SIGTERM; what it started ends with it
        for process in running:
            process.wait()


def start_host(folder: Path, host: str, address: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start one host and return its process; the host ends with it."""
    command = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    command += ["scripts/fleet_host", str(folder), host, address, str(PORT)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def name_host(index: int) -> str:
    """Return the name of the host with this index."""
    return f"host{index + 1:04}"


def wait_for_sshd(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
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
                last_lines = (folder / "hosts.log").read_text(errors="replace").splitlines()[-5:]
                raise BenchmarkError(f"no sshd on {address}: {error}; the hosts said: {last_lines}") from error
            time.sleep(0.1)


def write_inventory(folder: Path, addresses: Sequence[str]) -> Path:
    """Write the inventory of the hosts and return its path."""
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
    variables = {
        "ansible_user": "root",
        "ansible_port": PORT,
        "ansible_ssh_private_key_file": str(folder / "ssh_key"),
        "ansible_ssh_common_args": options,
        "ansible_timeout": 60,
    }
    hosts = {name_host(index): {"ansible_host": address} for index, address in enumerate(addresses)}
    path = folder / f"inventory-{len(addresses)}.yml"
    path.write_text(yaml.safe_dump({"docker_hosts": {"vars": variables, "hosts": hosts}}))
    return path


# The control node


def read_processor_seconds() -> float:
    """Return the processor seconds of all children that were waited for, and of their children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def list_parents() -> dict[int, int]:
    """Return every process -> its parent (man 5 proc, stat)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return found


def list_own_processes(excluded: set[int]) -> set[int]:
    """Return the descendants of this process that are not excluded: the run, and connections that outlive it (this process is their subreaper)."""
    parents = list_parents()
    found: set[int] = set()
    wave = {os.getpid()}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave and child not in excluded}
        found |= wave
    return found


def measure_memory(processes: set[int]) -> float:
    """Return the MiB that processes use; shared memory counts once (Pss)."""
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total / 1024


class MemoryMonitor(threading.Thread):
    """Measures once per second and keeps the largest memory."""

    def __init__(self, excluded: set[int]) -> None:
        super().__init__(daemon=True)
        self.excluded, self.peak, self.ended = excluded, 0.0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(1):
            self.peak = max(self.peak, measure_memory(list_own_processes(self.excluded)))


def end_connections(excluded: set[int]) -> None:
    """End the connections that the run left open, so that their cost is counted and the next run starts without them."""
    for process in list_own_processes(excluded):
        try:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def measure_run(folder: Path, inventory: Path, hosts: int, settings: Mapping[str, str], playbook: Path) -> Cost:
    """Run a playbook against all hosts and return its cost. Raises BenchmarkError if a host has no report with evidence."""
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    excluded = set(list_parents()) - {os.getpid()}
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
    monitor = MemoryMonitor(excluded)
    before, began = read_processor_seconds(), time.monotonic()
    with open(folder / "run.log", "wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        monitor.start()
        process.wait()
    except BaseException:  # interrupted: the run must not go on without its hosts
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_connections(excluded)
        raise
    seconds = time.monotonic() - began
    monitor.ended.set()
    monitor.join()
    end_connections(excluded)
    verified = [path for path in reports.glob("verify-*.json") if '"layers"' in path.read_text()]
    if len(verified) != hosts:
        tail = "\n".join((folder / "run.log").read_text(errors="replace").splitlines()[-20:])
        raise BenchmarkError(f"{hosts} hosts, {len(verified)} reports with evidence; the run said:\n{tail}")
    return Cost(hosts, seconds, read_processor_seconds() - before, monitor.peak)


# The figures


def print_line(text: str) -> None:
    """Print a line without buffering, also into a pipe."""
    print(text, flush=True)


def format_row(what: str, cost: Cost) -> str:
    """Return one row of the table."""
    each = f"{cost.processor / cost.hosts:>7.2f} s {cost.memory / cost.hosts:>7.1f}"
    return f"{what:<44} {cost.seconds:>7.1f} s {cost.processor:>8.1f} s {cost.memory:>8.0f} {each}"


def compute_slope(small: Cost, large: Cost) -> float:
    """Return the processor seconds per additional host between two sizes, without what each run costs at any size."""
    return (large.processor - small.processor) / (large.hosts - small.hosts)


def compute_growth(costs: Sequence[Cost]) -> float | None:
    """Return by how many per cent an additional host costs more between the largest sizes than between the smallest; None below three sizes."""
    if len(costs) < 3:
        return None
    return (compute_slope(costs[-2], costs[-1]) / compute_slope(costs[0], costs[1]) - 1) * 100


def list_settings(folder: Path) -> list[tuple[str, dict[str, str], Path]]:
    """Return the settings to compare with those of ansible.cfg: title, environment, playbook. Each changes one thing."""
    verify = Path("playbooks/verify.yml")
    polling = folder / "polling.cfg"  # the only way to set it
    polling.write_text(Path("ansible.cfg").read_text().replace("[defaults]\n", "[defaults]\ninternal_poll_interval = 0.01\n"))
    slow_polling = {
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
        ("polling every 10 ms, not every 1", slow_polling, verify),
        ("with facts gathered first", {}, facts),
    ]


def run_benchmark(sizes: Sequence[int], knob_hosts: int, wait: float) -> None:
    """Measure all sizes and settings, and print the figures."""
    with mount_image() as (folder, _key), start_fleet(max(*sizes, knob_hosts, 1), folder) as addresses:
        wait_file = folder / "shared" / "wait"
        wait_file.write_text("0\n")
        measure_run(folder, write_inventory(folder, addresses[:2]), 2, {}, Path("playbooks/verify.yml"))  # the first run compiles
        print_line(f"\n{describe_machine()}\n\n{'verify.yml':<44} {'time':>9} {'processor':>10} {'MiB':>8} {'each':>9} {'MiB':>7}")
        costs = []
        for size in sizes:
            costs.append(measure_run(folder, write_inventory(folder, addresses[:size]), size, {}, Path("playbooks/verify.yml")))
            print_line(format_row(f"{size} hosts (load {os.getloadavg()[0]:.1f})", costs[-1]))
        for small, large in pairwise(costs):
            more = (large.memory - small.memory) / (large.hosts - small.hosts)
            print_line(
                f"one host more, between {small.hosts} and {large.hosts}: {compute_slope(small, large):.2f} s of processor, {more:.2f} MiB"
            )
        change = compute_growth(costs)
        if change is not None:
            print_line(f"which grew by {change:+.0f} % (at most {MAX_GROWTH:.0f} %){'' if change <= MAX_GROWTH else ' MISSED'}")
        if knob_hosts:
            wait_file.write_text(f"{wait}\n")
            print_line(f"\n{knob_hosts} hosts; each command on a host takes {wait} s more, without using a processor")
            inventory = write_inventory(folder, addresses[:knob_hosts])
            for what, settings, playbook in list_settings(folder):
                print_line(format_row(what, measure_run(folder, inventory, knob_hosts, settings, playbook)))


def describe_machine() -> str:
    """Return one line that describes this machine."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return f"{os.cpu_count()} x {model}, {total} GiB, Linux {os.uname().release}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"


def main() -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", type=int, help="sizes of fleets, the smallest first (default: 10 100 500)")
    parser.add_argument(
        "--knobs", type=int, default=100, metavar="HOSTS", help="hosts with which settings are compared; 0 for none (default: %(default)s)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how much longer each command on a host takes then (default: %(default)s)",
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
        run_benchmark(sizes, arguments.knobs, arguments.wait)
    except BenchmarkError as error:
        print(f"bulkhead: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the hosts are gone.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
