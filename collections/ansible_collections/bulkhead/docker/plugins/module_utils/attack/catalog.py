# SPDX-License-Identifier: GPL-3.0-or-later
"""The attacks, and the layers that they test: pure data for hosts, the control node and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

from ..layers import registry

# Outcomes of an attack.
BLOCKED, SUCCEEDED, INCONCLUSIVE, UNKNOWN = "blocked", "succeeded", "inconclusive", "unknown"

# What every container of the matrix gets, so that attacks have a target. Careless operators grant these.
FOOTHOLDS = {
    "proc": "the host's /proc, mounted",
    "socket": "a socket with the owner and mode of the engine's own, mounted",
    "cgroupns": "the host's cgroup namespace",
}


@dataclass(frozen=True)
class Attack:
    """name: as in the report and in `attack_matrix_required`. about: what the attacker does. foothold: a key of FOOTHOLDS."""

    name: str
    family: str
    about: str
    foothold: str = ""


ATTACKS: tuple[Attack, ...] = (
    Attack("host_shadow", "secrets", "open the host's /etc/shadow through a mounted /proc", "proc"),
    Attack("host_memory", "secrets", "read another process's memory on the host", "proc"),
    Attack("file_handle", "secrets", "open a file of the host by its handle (shocker)"),
    Attack("kernel_memory", "secrets", "open /proc/kcore"),
    Attack("kernel_log", "secrets", "read the kernel's log"),
    Attack("sysrq_trigger", "knobs", "open /proc/sysrq-trigger to write"),
    Attack("core_pattern", "knobs", "open core_pattern to write"),
    Attack("host_core_pattern", "knobs", "open core_pattern to write, through a mounted /proc", "proc"),
    Attack("sysfs_knob", "knobs", "make /sys writable and open a setting"),
    Attack("release_agent", "knobs", "mount a cgroup v1 hierarchy and open its release_agent", "cgroupns"),
    Attack("set_clock", "knobs", "set the host's clock"),
    Attack("install_tool", "persistence", "write a program to /usr/bin"),
    Attack("setuid_program", "escalation", "become root by a setuid program"),
    Attack("unshare_user", "escalation", "become root in a user namespace of its own"),
    Attack("trace_process", "escalation", "trace a process"),
    Attack("host_disk", "devices", "make a device node of the host's disk and open it"),
    Attack("io_ports", "devices", "get access to all I/O ports"),
    Attack("engine_socket", "host", "connect to a mounted engine socket", "socket"),
    Attack("enter_host", "host", "enter the host's mount namespace (nsenter)", "proc"),
    Attack("signal_host", "host", "end processes of the host through their cgroup", "cgroupns"),
    Attack("fork_bomb", "host", "start more processes or threads than a service needs"),
    Attack("mount_tmpfs", "mounts", "mount a file system"),
    Attack("new_mount_api", "mounts", "make a file system by fsopen and fsmount"),
    Attack("kexec_load", "kernel", "load another kernel"),
    Attack("init_module", "kernel", "load a kernel module"),
    Attack("swap_on", "kernel", "make the host swap to a file"),
    Attack("bpf", "kernel", "make a BPF map"),
    Attack("keyctl", "kernel", "ask for a keyring of the kernel"),
    Attack("perf_event_open", "kernel", "count events in the kernel"),
    Attack("io_uring", "kernel", "set up an io_uring"),
    Attack("userfaultfd", "kernel", "hold up the kernel's page faults"),
    Attack("crypto_socket", "sockets", "open an AF_ALG socket"),
    Attack("hypervisor_socket", "sockets", "open an AF_VSOCK socket"),
    Attack("raw_socket", "sockets", "open a raw IP socket"),
    Attack("packet_socket", "sockets", "open a packet socket"),
)
NAMES = tuple(attack.name for attack in ATTACKS)

# The system calls that attacks make by number.
CALLS = frozenset(
    """
    adjtimex bpf fsconfig fsmount fsopen init_module io_uring_setup iopl kexec_load keyctl mknodat mount open_by_handle_at
    perf_event_open ptrace setns swapon syslog umount2 unshare userfaultfd
    """.split()
)

# Kernel modules that attacks can load. Those that were not loaded before are unloaded again.
MODULES = (
    "af_alg", "af_packet", "hv_sock", "vmw_vmci", "vmw_vsock_virtio_transport", "vmw_vsock_virtio_transport_common", "vmw_vsock_vmci_transport",
    "vsock", "vsock_loopback",
)  # fmt: skip


# The layers with a column in the matrix, in order.
LAYERS = tuple(layer for layer in registry.LAYERS if layer.attacked)
LAYER_NAMES = registry.ATTACKED
