# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of exposure: everything that may be granted to a container beyond the engine's defaults. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOTE, LOW, MEDIUM, HIGH, CRITICAL = SEVERITIES = ("note", "low", "medium", "high", "critical")


@dataclass(frozen=True)
class ExposureKind:
    """One kind of exposure.

    name: stable; people forbid, allow and waive exposures by it. meaning: what a process in the container can do with it.
    severity: NOTE is only listed; every other severity makes a finding `container.NAME`. controls: numbers in report/controls.yml.
    remedy: one instruction; empty when there is none.
    """

    name: str
    meaning: str
    severity: str
    controls: tuple[str, ...] = ()
    remedy: str = ""


KINDS: dict[str, ExposureKind] = {
    kind.name: kind
    for kind in (
        ExposureKind(
            "privileged",
            "no security layer and no device limit applies to it",
            CRITICAL,
            ("CIS-5.5",),
            "grant the capabilities and devices that it needs, by name",
        ),
        ExposureKind(
            "engine_socket",
            "its processes can command the engine, and so the host",
            CRITICAL,
            ("CIS-5.32",),
            "mount a filtering proxy of the engine's API instead",
        ),
        ExposureKind(
            "host_system_writable",
            "its processes can change the host's system files",
            CRITICAL,
            ("CIS-5.6",),
            "mount the single files that it needs, read-only",
        ),
        ExposureKind(
            "host_system_readable",
            "its processes can read the host's system files, secrets included",
            MEDIUM,
            ("CIS-5.6",),
            "mount the single files that it needs",
        ),
        ExposureKind("engine_data", "its processes can read other containers' files", HIGH, ("CIS-5.6",), "use a volume"),
        ExposureKind("host_keys", "its processes can read keys of the host's users", HIGH, ("CIS-5.6",), "mount only what it needs"),
        ExposureKind("host_run", "its processes reach runtime files and sockets of the host's services", LOW, ("CIS-5.6",)),
        ExposureKind("host_files", "files of the host", NOTE),
        ExposureKind(
            "shared_propagation",
            "what it mounts there also appears on the host",
            MEDIUM,
            ("CIS-5.20",),
            "mount it with rprivate or rslave propagation",
        ),
        ExposureKind("host_pid", "its processes see the host's processes and can signal them", CRITICAL, ("CIS-5.16",), "remove --pid=host"),
        ExposureKind("host_mount", "its processes see the host's file systems", CRITICAL, ("CIS-5.6",)),
        ExposureKind("host_network", "its processes use the host's network interfaces and local ports", MEDIUM, ("CIS-5.10",), "publish ports instead"),
        ExposureKind("host_ipc", "its processes share memory with the host's processes", MEDIUM, ("CIS-5.17",), "remove --ipc=host"),
        ExposureKind("host_uts", "its processes share the host's name", LOW, ("CIS-5.21",), "remove --uts=host"),
        ExposureKind("host_cgroup", "its processes see the host's control groups", LOW, ("CIS-5.25",), "remove --cgroupns=host"),
        ExposureKind("host_time", "the host's clocks; engines give no container other ones", NOTE),
        ExposureKind("shared_namespace", "a namespace of another container", NOTE),
        ExposureKind("block_device", "its processes can read or write a disk, past its file systems", CRITICAL, ("CIS-5.18",), "remove --device"),
        ExposureKind("memory_device", "its processes can read or write the host's memory or ports", CRITICAL, ("CIS-5.18",), "remove --device"),
        ExposureKind("device", "its processes can open a device of the host", LOW, ("CIS-5.18",), "remove the device if it is not needed"),
        ExposureKind("unmasked_path", "its processes reach files of the kernel that the engine hides or protects", HIGH, ("NIST-4.4.3",),
                     "remove systempaths=unconfined"),
        ExposureKind("writable_proc", "its processes can change settings of the kernel", HIGH, ("NIST-4.4.3",), "mount it read-only"),
        ExposureKind("dangerous_capability", "a capability with which a process can take over the host", HIGH, ("CIS-5.4",), "remove --cap-add"),
        ExposureKind("capability", "a capability beyond the engine's default", LOW, ("CIS-5.4",), "remove --cap-add if it is not needed"),
        ExposureKind("writable_place", "a writable file system in a container with a read-only root", NOTE, ("CIS-5.13",)),
        ExposureKind("no_memory_limit", "its processes can use all memory of the host", NOTE, ("CIS-5.11",), "set a limit with --memory"),
        ExposureKind("no_swap_limit", "its processes can use all swap space of the host", NOTE, ("CIS-5.11",), "set --memory-swap"),
        ExposureKind("no_cpu_limit", "its processes can use all CPUs of the host", NOTE, ("CIS-5.12",), "set a limit with --cpus"),
        ExposureKind("ulimit", "a resource limit beyond the engine's default", NOTE, ("CIS-5.19",)),
        ExposureKind("high_pids_limit", "its PIDs limit is more than eight times the host's default", LOW, ("CIS-5.29",), "lower --pids-limit"),
        ExposureKind("tracer", "another process reads and controls the memory of its processes", MEDIUM, (), "end the tracer"),
        ExposureKind("no_new_privileges_off", "setuid programs can give its processes more privileges", NOTE, ("CIS-5.26",)),
        ExposureKind("outdated_start", "it was started before the engine's present configuration or profile", NOTE, (), "restart it"),
        ExposureKind("published_port", "a port that is reachable on all addresses of the host", NOTE, ("CIS-5.14",)),
        ExposureKind("privileged_port", "a port of the host below 1024", NOTE, ("CIS-5.8",)),
        ExposureKind("sshd", "an SSH server runs in it", LOW, ("CIS-5.7",), "use docker exec"),
        ExposureKind("secrets_in_environment", "variables whose names look like secrets, which docker inspect shows", LOW, ("CIS-4.10",),
                     "pass secrets in files"),
    )
}  # fmt: skip
# What verify.yml fails for by default (bulkhead_containers_forbid).
FORBIDDEN = ("privileged", "engine_socket", "host_system_writable", "host_pid", "host_mount", "block_device", "memory_device")


def get_finding_id(kind: str) -> str:
    """Return the ID of the finding that exposures of a kind make."""
    return f"container.{kind}"


@dataclass(frozen=True)
class Exposure:
    """One object of one kind.

    object: what was granted; with the kind it identifies the exposure. text: the object for readers, with where and how.
    source: a path or command that a reader can repeat. value: what it contained.
    holder: the process that has it; empty for the whole container.
    """

    kind: str
    object: str
    text: str
    source: str
    value: Any
    holder: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.object}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "object": self.object,
            "severity": KINDS[self.kind].severity,
            "text": f"{self.text}, {self.holder}" if self.holder else self.text,
            "source": self.source,
            "value": self.value,
        }
