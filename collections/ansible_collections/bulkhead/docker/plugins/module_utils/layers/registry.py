# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of layers: every layer once, in order of effort. Pure data; all other lists of layers are derived from it.

A new layer is one package next to this file, one entry here, and one role. Tests compare what has to repeat it: imports, tags, argument specs, docs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Layer:
    """One layer of hardening.

    name: package, tag and name in reports. title: for headings. short: for narrow columns. meaning: its purpose.
    role, switch: role and variable that configure it; empty for a setting of single containers.
    daemon_keys, rootless_keys: its keys of daemon.json, and those in a rootless engine's.
    engine_default: whether every engine of a host is judged by it. built_in: whether an engine without any configuration gives it to containers.
    per_service: whether it depends on the service alone, so that a service without it causes no warning.
    judged: whether verification judges it; the others are columns of the attack matrix only. attacked: whether it is a column there.
    off, alone: what a container asks for to be without it, and to have it where no host gives it (keys of HostConfig, and `User`).
    silent: why a denial by this layer may leave no message in the kernel's log.
    repeat: the commands that repeat its verification for process $pid. controls: numbers in report/controls.yml.
    """

    name: str
    title: str
    short: str
    meaning: str = ""
    role: str = ""
    switch: str = ""
    daemon_keys: tuple[str, ...] = ()
    rootless_keys: tuple[str, ...] = ()
    engine_default: bool = False
    built_in: bool = False
    per_service: bool = False
    judged: bool = True
    attacked: bool = True
    off: dict[str, Any] = field(default_factory=dict)
    alone: dict[str, Any] = field(default_factory=dict)
    silent: str = ""
    repeat: str = ""
    controls: tuple[str, ...] = ()


LAYERS: tuple[Layer, ...] = (
    Layer(
        "pids_limit",
        "Default PIDs limit",
        "pids",
        "a fork bomb ends at the limit of its own container",
        role="docker_daemon",
        switch="docker_daemon_pids_limit_layer",
        daemon_keys=("default-pids-limit",),
        engine_default=True,
        off={"PidsLimit": 0},  # the attack matrix replaces 0 by its own bound
        silent="the PIDs controller counts (pids.events), and the kernel logs the first time only",
        repeat="cat /sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)/pids.max",
        controls=("CIS-5.29", "NIST-4.4.3"),
    ),
    Layer(
        "no_new_privileges",
        "no-new-privileges",
        "nnp",
        "setuid programs and file capabilities give no privileges",
        role="docker_daemon",
        switch="docker_daemon_no_new_privileges_layer",
        daemon_keys=("no-new-privileges",),
        engine_default=True,
        off={"SecurityOpt": ["no-new-privileges=false"]},
        silent="the kernel ignores a setuid bit without a message",
        repeat="grep NoNewPrivs /proc/$pid/status",
        controls=("CIS-2.15", "CIS-5.26", "NIST-4.4.3"),
    ),
    Layer(
        "seccomp",
        "seccomp",
        "sec",
        "system calls that the service never needs do not reach the kernel",
        role="seccomp_profiles",
        switch="seccomp_profiles_layer",
        daemon_keys=("seccomp-profile",),
        engine_default=True,
        built_in=True,
        off={"SecurityOpt": ["seccomp=unconfined"]},
        silent="seccomp: an errno without the filter flag LOG is not logged (man 2 seccomp)",
        repeat="grep Seccomp: /proc/$pid/status    # 2: filtered\n"
        "# the filter itself, call by call (PTRACE_SECCOMP_GET_FILTER): verify.yml -e bulkhead_deep=all",
        controls=("CIS-2.18", "CIS-5.22", "NIST-4.4.3"),
    ),
    Layer(
        "apparmor",
        "AppArmor",
        "aa",
        "a profile states which files, capabilities and signals a container may use",
        role="apparmor_profiles",
        switch="apparmor_profiles_layer",
        engine_default=True,
        built_in=True,
        off={"SecurityOpt": ["apparmor=unconfined"]},
        silent="AppArmor: a plain `deny` rule is silent (man 5 apparmor.d: audit deny)",
        repeat="cat /proc/$pid/attr/current\n"
        "# the kernel's policy is the file's when both sums are the same:\n"
        "cat /sys/kernel/security/apparmor/policy/profiles/bulkhead-web.*/raw_sha256\n"
        "apparmor_parser -S -K -T /etc/apparmor.d/bulkhead-web | sha256sum",
        controls=("CIS-5.2", "NIST-4.4.3"),
    ),
    Layer(
        "userns",
        "User namespaces",
        "user",
        "root in the container is an unprivileged user on the host",
        role="userns_remap",
        switch="userns_remap_layer",
        daemon_keys=("userns-remap",),
        off={"UsernsMode": "host"},
        silent="the kernel does not log a denial for lack of rights over the host",
        repeat="cat /proc/$pid/uid_map /proc/$pid/gid_map\ncat /etc/subuid /etc/subgid    # no two ranges may overlap",
        controls=("CIS-2.10", "CIS-5.31", "NIST-4.4.3"),
    ),
    Layer(
        "capabilities",
        "Capabilities",
        "caps",
        "a container has at most the engine's default capabilities",
        engine_default=True,
        built_in=True,
        off={"CapAdd": ["ALL"]},
        silent="the kernel does not log a missing capability (AppArmor logs those that it denies)",
        repeat="grep Cap /proc/$pid/status    # capsh --decode=VALUE names them",
        controls=("CIS-5.4", "NIST-4.4.3"),
    ),
    Layer(
        "masked_paths",
        "Masked paths",
        "mask",
        judged=False,
        built_in=True,
        off={"MaskedPaths": [], "ReadonlyPaths": []},
        silent="a read-only or masked path denies without a message",
    ),
    Layer(
        "devices",
        "Device controller",
        "dev",
        judged=False,
        built_in=True,
        off={"DeviceCgroupRules": ["a *:* rwm"]},
        silent="the device controller denies without a message",
    ),
    Layer(
        "read_only_root",
        "Read-only root",
        "ro",
        "an intruder cannot leave programs in the container's root",
        per_service=True,
        alone={"ReadonlyRootfs": True},
        silent="a read-only mount denies without a message",
        repeat="awk '$5 == \"/\"' /proc/$pid/mountinfo",
        controls=("CIS-5.13", "NIST-4.4.4"),
    ),
    Layer(
        "non_root_user",
        "Non-root user",
        "uid",
        "the service does not run as root, not even as root of its own user namespace",
        per_service=True,
        alone={"User": "65534:65534"},
        silent="file permissions deny without a message",
        repeat="grep Uid: /proc/$pid/status",
        controls=("CIS-4.1", "NIST-4.1.2"),
    ),
    Layer(
        "rootless",
        "Rootless engine",
        "less",
        "the engine itself has no power over the host",
        role="rootless_docker",
        switch="rootless_docker_layer",
        rootless_keys=("runtimes", "default-runtime"),
        attacked=False,
        repeat="for p in $(pidof dockerd); do grep Uid: /proc/$p/status; cat /proc/$p/uid_map; done",
        controls=("CIS-2.1", "NIST-4.4.3"),
    ),
    Layer(
        "files",
        "Files of the engine",
        "files",
        "only root changes what the engine reads, and only chosen users reach its socket",
        role="docker_files",
        switch="docker_files_layer",
        attacked=False,
        repeat="stat -L -c '%U:%G %a %n' /etc/docker /etc/docker/daemon.json /run/docker.sock /run/containerd/containerd.sock\n"
        "systemctl show -p FragmentPath docker.service docker.socket containerd.service    # their files too",
        controls=(*(f"CIS-3.{number}" for number in range(1, 25)), "NIST-4.5.4"),
    ),
    Layer(
        "audit_rules",
        "Audit rules",
        "audit",
        "who changes the engine's programs, data or configuration leaves a record",
        role="docker_audit_rules",
        switch="docker_audit_rules_layer",
        attacked=False,
        repeat="auditctl -s    # enabled 1 or 2, and the PID of auditd\nauditctl -l",
        controls=tuple(f"CIS-1.1.{number}" for number in range(3, 19)),
    ),
    Layer(
        "egress",
        "Egress rules",
        "egress",
        "a container reaches only the destinations that it should",
        role="container_egress",
        switch="container_egress_layer",
        attacked=False,
        repeat="nft list table inet bulkhead_egress\nnft list counters table inet bulkhead_egress    # denied packets per preset",
        controls=("NIST-4.4.2",),
    ),
)

BY_NAME: dict[str, Layer] = {layer.name: layer for layer in LAYERS}
JUDGED: tuple[str, ...] = tuple(layer.name for layer in LAYERS if layer.judged)
ATTACKED: tuple[str, ...] = tuple(layer.name for layer in LAYERS if layer.attacked)
# Layer -> the variable that requires it, for the layers that a role configures.
SWITCHES: dict[str, str] = {layer.name: layer.switch for layer in LAYERS if layer.switch}
ENGINE_DEFAULTS: frozenset[str] = frozenset(layer.name for layer in LAYERS if layer.engine_default)
PER_SERVICE: frozenset[str] = frozenset(layer.name for layer in LAYERS if layer.per_service)
