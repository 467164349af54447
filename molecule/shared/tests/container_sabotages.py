# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of sabotaged and benign containers, which run at the same time on one VM, and what verification must report of each. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REMAP, PLAIN, ROOTLESS = "remap", "plain", "rootless"
ROOTFUL = frozenset({REMAP, PLAIN})
EVERYWHERE = frozenset({REMAP, PLAIN, ROOTLESS})
SECRET = "hunter2-of-the-test"
_ALLOW_ALL = "/root/sabotage-allow-all.json"
_WIDE_OPEN = "/root/sabotage-wide-open.json"
_WAIT = "/bin/sleep infinity"
_NO_LIMIT = 'docker update --pids-limit -1 "$name" >/dev/null'
# A process that docker exec started, as findings name it.
_EXECUTED = r"process \d+ \(sleep\)"
_TRACED = "/bin/perl -e 'if (fork) { sleep 1e6 } else { syscall(101, 0, 0, 0, 0); sleep 1e6 }'"  # 101: ptrace, 0: PTRACE_TRACEME
# 22 forks below a limit of 20 tasks: the first process and 19 others run, and three forks fail. They end before the container is read.
_FORKS = "/bin/perl -e 'for (1..22) { if (!(fork // 1)) { sleep 2; exit } } 1 while wait > 0; sleep 1e6'"
# The size is a variable: Perl makes a constant text when it compiles, before the fork.
_TOO_LARGE = "/bin/perl -e 'my $n = 128 << 20; if (!fork) { $x = \"a\" x $n; exit } wait; sleep 1e6'"
_ROOT_CHILD = "/bin/perl -e 'fork or sleep 1e6; $( = 65534; $) = \"65534 65534\"; $< = $> = 65534; sleep 1e6'"


@dataclass(frozen=True)
class Container:
    """A container and its expected verdict.

    options, command: of `docker run`. before, after, undo: scripts that root runs on the host; $name is the container's, $data the engine's
    data root. host_users: an engine with userns-remap refuses it or changes its effect, so it runs with --userns=host there.
    exposed: kinds of exposure and a regular expression of the evidence of each; all that may be more than a note.
    accepted: kinds that are true as well, and follow from an exposed one.
    layers: `FINDING STATUS` and a regular expression of its text; all that may have a status, except those of settings that no engine has
    a default for. observed: findings without a status, and a regular expression of each text.
    engines: where it runs. fast: part of the set of CI. label: another image, with labels like those of our probe.
    """

    name: str
    options: str = ""
    command: str = ""
    before: str = ""
    after: str = ""
    undo: str = ""
    exposed: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    observed: Mapping[str, str] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    host_users: bool = False
    engines: frozenset[str] = ROOTFUL
    fast: bool = False
    label: bool = False
    network: str = "none"

    @property
    def is_benign(self) -> bool:
        return self.name.startswith("benign-")


def _bind(
    path: str, exposed: Mapping[str, str], mode: str = "rw", name: str = "", fast: bool = False, before: str = "", undo: str = ""
) -> Container:
    """Return a container that has a path of the host at /mounted."""
    name = name or f"bind-{path.strip('/').replace('/', '-').replace('.', '-') or 'root'}-{mode}"
    return Container(name, f'-v "{path}:/mounted:{mode}"', exposed=exposed, fast=fast, before=before, undo=undo)


def _capability(name: str, kind: str = "dangerous_capability", fast: bool = False) -> Container:
    status = "absent" if name == "SYS_ADMIN" else "degraded"
    return Container(
        f"cap-{name.lower().replace('_', '-')}",
        f"--cap-add {name}",
        exposed={kind: rf'"{name}"'},
        layers={f"capabilities.surplus {status}": name},
        engines=EVERYWHERE,
        fast=fast,
    )


_DANGEROUS = {"dangerous_capability": '"SYS_ADMIN"', "capability": '"IPC_LOCK"'}
_ENGINE_SOCKET = {"engine_socket": r"/run/docker\.sock at /mounted"}
_PRIVILEGED_LAYERS = {"seccomp.opted_out absent": "", "apparmor.opted_out absent": "unconfined", "capabilities.surplus absent": "SYS_ADMIN"}

SABOTAGES = (
    # The engine allows no private mount of its data root, so what the host mounts later is writable in it: the roots of later containers.
    Container(
        "bind-root-ro", "-v /:/mounted:ro",
        exposed={
            "engine_socket": r"docker\.sock at /mounted/run",
            **dict.fromkeys(("host_keys", "host_system_readable", "engine_data"), '"/ at /mounted, read"'),
        },
        accepted=frozenset({"host_system_writable"}),
    ),
    # All at once
    Container(
        "privileged", "--privileged", host_users=True, fast=True, layers=_PRIVILEGED_LAYERS,
        exposed={
            "privileged": "HostConfig.Privileged", "block_device": "vda", "memory_device": "/dev/mem", "device": "/dev/", **_DANGEROUS,
            "unmasked_path": "/proc/kcore", "writable_proc": "/proc/sys",
        },
    ),
    # Engine sockets
    Container("socket-renamed", "-v /run/docker.sock:/tmp/anything", exposed={"engine_socket": r"/run/docker\.sock at /tmp/anything"}, fast=True),
    Container("socket-of-user", '-v "${DOCKER_HOST#unix://}:/mounted"', engines=frozenset({ROOTLESS}),
              exposed={"engine_socket": r"/run/user/\d+/docker\.sock at /mounted"}),
    _bind("/run", {"engine_socket": r"docker\.sock at /mounted", "host_system_writable": "/run at /mounted, read and write"}, fast=True),
    _bind("/run/innocent.sock", _ENGINE_SOCKET, name="socket-hard-link", before="ln -f /run/docker.sock /run/innocent.sock",
          undo="rm -f /run/innocent.sock", fast=True),
    _bind("/run/innocent", {**_ENGINE_SOCKET, "host_run": "/run/innocent at /mounted"}, name="socket-hard-link-in-folder",
          before="mkdir -p /run/innocent && ln -f /run/docker.sock /run/innocent/service", undo="rm -rf /run/innocent"),
    _bind("/run/containerd/containerd.sock", {"engine_socket": r"containerd\.sock at /mounted"}, name="socket-containerd"),
    # Files of the host
    Container(
        "volume-of-etc", "-v sabotage-etc:/mounted", exposed={"host_system_writable": "/etc at /mounted"}, fast=True,
        before="docker volume create -o type=none -o o=bind -o device=/etc sabotage-etc >/dev/null", undo="docker volume rm -f sabotage-etc",
    ),
    _bind(
        "/",
        {
            "engine_socket": r"docker\.sock at /mounted/run",
            **dict.fromkeys(("host_keys", "host_system_writable"), '"/ at /mounted, read and write'),
        },
        fast=True,
    ),
    _bind("/etc", {"host_system_writable": "/etc at /mounted, read and write"}),
    _bind("/etc", {"host_system_readable": '/etc at /mounted, read"'}, mode="ro"),
    _bind("/usr", {"host_system_writable": "/usr at /mounted"}),
    _bind("/boot", {"host_system_writable": "/boot at /mounted"}),
    _bind("/proc", {"host_system_writable": "/proc at /mounted"}, fast=True),
    _bind("/sys", {"host_system_writable": "/sys at /mounted"}),
    Container("bind-dev-rw", "-v /dev:/mounted", exposed={"host_system_writable": "/dev at /mounted"}),
    _bind("$data", {"host_system_writable": "/var/lib/docker.* at /mounted"}, name="engine-data"),
    Container(
        "volume-of-another", '-v "$data/volumes/sabotage-secret/_data:/mounted:ro"', exposed={"engine_data": "volumes/sabotage-secret/_data"},
        before="docker volume create sabotage-secret >/dev/null", undo="docker volume rm -f sabotage-secret",
    ),
    _bind("/home/alice", {"host_keys": "/home/alice at /mounted"}, mode="ro", name="home-with-keys",
          before="mkdir -p -m 700 /home/alice/.ssh && touch /home/alice/.ssh/id_ed25519", undo="rm -rf /home/alice"),
    _bind("/root/.ssh", {"host_keys": "/root/.ssh at /mounted"}, mode="ro", name="keys-of-root"),
    Container(
        "shared-propagation", "-v /srv/shared:/mounted:rshared", exposed={"shared_propagation": "/srv/shared at /mounted"}, host_users=True,
        before="mkdir -p /srv/shared", undo="rmdir /srv/shared",
    ),
    # Namespaces of the host
    Container("host-pid", "--pid=host", exposed={"host_pid": "pid:"}, host_users=True, fast=True),
    Container("host-network", exposed={"host_network": "net:"}, host_users=True, network="host", fast=True),
    Container("host-network-joined", exposed={"host_network": "net:"}, host_users=True, network="container:host-network"),
    Container("host-ipc", "--ipc=host", exposed={"host_ipc": "ipc:"}, host_users=True),
    Container("host-uts", "--uts=host", exposed={"host_uts": "uts:"}, host_users=True),
    Container("host-cgroup", "--cgroupns=host", exposed={"host_cgroup": "cgroup:"}, engines=frozenset({PLAIN})),
    # With --userns=host the engine mounts it writable.
    Container(
        "host-cgroup-writable", "--cgroupns=host", host_users=True, engines=frozenset({REMAP}),
        exposed={"host_cgroup": "cgroup:", "host_system_writable": "/sys/fs/cgroup at /sys/fs/cgroup, read and write"},
    ),
    Container(
        "host-mount", "--privileged --pid=host", after='docker exec --privileged -d "$name" nsenter -t 1 -m /bin/sleep infinity', host_users=True,
        exposed={
            "privileged": "HostConfig.Privileged", "block_device": "vda", "memory_device": "/dev/mem", "device": "/dev/", **_DANGEROUS,
            "unmasked_path": "/proc/kcore", "writable_proc": "/proc/sys", "host_pid": "pid:", "host_mount": _EXECUTED,
        },
        layers=_PRIVILEGED_LAYERS, accepted=frozenset({"engine_socket", "host_system_writable", "shared_propagation"}),
    ),
    # Devices
    Container("device-disk", "--device /dev/vda", exposed={"block_device": "/dev/vda"}, host_users=True, fast=True),
    Container(
        "device-rule", "--device-cgroup-rule='b 254:* rwm'", exposed={"block_device": "vda"}, host_users=True,
        after='docker exec "$name" mknod /tmp/disk b 254 0',
    ),
    Container("device-memory", "--device /dev/mem", exposed={"memory_device": "/dev/mem"}, host_users=True),
    Container("device-fuse", "--device /dev/fuse", exposed={"device": "/dev/fuse"}, before="modprobe -q fuse || true"),
    # Files of the kernel
    Container("unmasked", "--security-opt systempaths=unconfined", exposed={"unmasked_path": "/proc/kcore", "writable_proc": "/proc/sys"}, fast=True),
    Container(
        "remounted", "--cap-add SYS_ADMIN --security-opt apparmor=unconfined --security-opt seccomp=unconfined",
        after='docker exec --privileged "$name" mount -o remount,rw /proc/sys',
        exposed={"writable_proc": "/proc/sys", "dangerous_capability": "SYS_ADMIN"},
        layers={"seccomp.opted_out absent": "", "apparmor.opted_out absent": "", "capabilities.surplus absent": "SYS_ADMIN"},
    ),
    # Capabilities
    _capability("SYS_ADMIN", fast=True),
    *(_capability(name) for name in ("SYS_PTRACE", "DAC_READ_SEARCH", "NET_ADMIN", "SYS_TIME", "BPF")),
    _capability("IPC_LOCK", "capability"),
    Container("cap-all", "--cap-add ALL", exposed=_DANGEROUS, layers={"capabilities.surplus absent": "SYS_ADMIN"}, engines=EVERYWHERE),
    # Seccomp and AppArmor
    Container("seccomp-unconfined", "--security-opt seccomp=unconfined", layers={"seccomp.opted_out absent": ""}, engines=EVERYWHERE),
    Container(
        "seccomp-allow-all", f"--security-opt seccomp={_ALLOW_ALL}", layers={"seccomp.allows_all absent": "every call"}, engines=EVERYWHERE, fast=True,
        before=f"""echo '{{"defaultAction": "SCMP_ACT_ALLOW"}}' > {_ALLOW_ALL}""",
    ),
    Container(
        "seccomp-wide-open", f"--security-opt seccomp={_WIDE_OPEN}", layers={"seccomp.wide_open degraded": "no profile should allow"},
        before=f"""echo '{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}}]}}' > {_WIDE_OPEN}""",
        engines=EVERYWHERE,
    ),
    Container("apparmor-unconfined", "--security-opt apparmor=unconfined", layers={"apparmor.opted_out absent": "unconfined"}, fast=True),
    Container(
        "apparmor-complain", "--security-opt apparmor=sabotage-complain", layers={"apparmor.complain degraded": "sabotage-complain"},
        before="echo 'profile sabotage-complain flags=(complain) { file, }' | apparmor_parser -r",
        undo="echo 'profile sabotage-complain {}' | apparmor_parser -R",
    ),
    # Processes that differ from the first one
    Container(
        "exec-privileged", after=f'docker exec --privileged -d "$name" {_WAIT}', fast=True,
        exposed={"dangerous_capability": f"SYS_ADMIN.*{_EXECUTED}", "capability": _EXECUTED},
        layers={"capabilities.surplus absent": _EXECUTED, "capabilities.more_than_asked degraded": _EXECUTED},
        engines=EVERYWHERE,
    ),
    Container(
        "exec-as-root", "--user 65534:65534", after=f'docker exec -u 0 -d "$name" {_WAIT}', layers={"non_root_user.root absent": _EXECUTED}, fast=True,
        engines=EVERYWHERE,
    ),
    Container("root-child", command=_ROOT_CHILD, layers={"non_root_user.root absent": r"process \d+ \(perl\)"}, engines=EVERYWHERE),
    Container(
        "nested-group", "--user 65534:65534", layers={"non_root_user.root absent": _EXECUTED},
        after=f"""docker exec -u 0 -d "$name" {_WAIT}; sleep 1
group=/sys/fs/cgroup$(cut -d: -f3 /proc/$(docker inspect -f '{{{{.State.Pid}}}}' "$name")/cgroup); mkdir -p "$group/inner"
for pid in $(cat "$group/cgroup.procs"); do grep -q '^Uid:.65534' /proc/$pid/status || echo $pid > "$group/inner/cgroup.procs"; done""",
    ),
    Container("cgroup-parent", "--cgroup-parent sabotage.slice --security-opt seccomp=unconfined", layers={"seccomp.opted_out absent": ""}),
    Container("traced", "--security-opt seccomp=builtin", _TRACED, exposed={"tracer": r"process \d+ traces process \d+ \(perl\)"}, fast=True),
    # Other layers and settings
    Container(
        "new-privileges", "--security-opt no-new-privileges=false", exposed={"no_new_privileges_off": "NoNewPrivs 0"},
        layers={"no_new_privileges.opted_out absent": "no-new-privileges=false"}, engines=EVERYWHERE,
    ),
    Container("pids-high", "--pids-limit 4000000", exposed={"high_pids_limit": "4000000"}, engines=EVERYWHERE),
    Container("pids-unlimited", after=_NO_LIMIT, fast=True, layers={"pids_limit.above_default absent": "pids.max is max"}),
    # systemd limits the tasks of a user.
    Container(
        "pids-limit-of-user", after=_NO_LIMIT, engines=frozenset({ROOTLESS}),
        layers={"pids_limit.above_default absent": r"pids.max is \d+ by /sys/fs/cgroup/user.slice/user-\d+.slice/pids.max"},
    ),
    Container("host-users", "--userns=host", layers={"userns.host_namespace absent": "user:"}, engines=frozenset({REMAP})),
    Container("sshd", command="/bin/sshd infinity", exposed={"sshd": "sshd runs"}, engines=EVERYWHERE),
    Container("secret", f"-e DB_PASSWORD={SECRET}", exposed={"secrets_in_environment": "1 variable"}, engines=EVERYWHERE, fast=True),
    Container("published", "-p 8081:80 -p 81:81", network="bridge", exposed={"published_port": "8081", "privileged_port": '"81"'}),
    Container("bulkhead-probe-999999", "--security-opt seccomp=unconfined --label io.bulkhead.probe=999999:1", label=True, fast=True,
              layers={"seccomp.opted_out absent": ""}),
    Container("labelled", "--security-opt apparmor=unconfined --label io.bulkhead.canary=1", label=True,
              layers={"apparmor.opted_out absent": ""}),
    Container("shared-ipc", "--ipc=container:benign-shareable --security-opt seccomp=unconfined",
              exposed={"shared_namespace": "ipc of container benign-shareable"}, layers={"seccomp.opted_out absent": ""}),
    Container("ulimit", "--ulimit nofile=1000000:1000000", exposed={"ulimit": "nofile"}),
)  # fmt: skip

_NOTES = {"no_memory_limit": "memory.max is max", "no_swap_limit": "memory.swap.max is max", "no_cpu_limit": "cpu.max is max"}

BENIGN = (
    Container("benign-plain", exposed=_NOTES, engines=EVERYWHERE, fast=True),
    Container("benign-read-only", "--read-only --tmpfs /tmp", exposed={"writable_place": "/tmp"}, engines=EVERYWHERE, fast=True),
    Container("benign-user", "--user 65534:65534", engines=EVERYWHERE, fast=True),
    Container("benign-volume", "-v sabotage-own:/data", engines=EVERYWHERE, undo="docker volume rm -f sabotage-own", fast=True),
    Container(
        "benign-bind", "-v /srv/data:/data", exposed={"host_files": "/srv/data at /data, read and write"}, before="mkdir -p /srv/data",
        undo="rmdir /srv/data", fast=True,
    ),
    Container("benign-localtime", "-v /etc/localtime:/etc/localtime:ro", exposed={"host_files": "at /etc/localtime"}),
    Container("benign-port", "-p 127.0.0.1:8082:80", network="bridge"),
    Container("benign-tmpfs", "--tmpfs /run --tmpfs /scratch:size=1m,noexec", engines=EVERYWHERE),
    Container(
        "benign-network", network="sabotage-network", before="docker network create sabotage-network >/dev/null",
        undo="docker network rm sabotage-network",
    ),
    Container("benign-health", "--health-cmd 'cat /bin/id >/dev/null' --health-interval 2s --health-timeout 60s", engines=EVERYWHERE, fast=True),
    Container("benign-limits", "--memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 50", engines=EVERYWHERE),
    Container("benign-forks", "--pids-limit 20", _FORKS, engines=EVERYWHERE, fast=True,
              observed={"container.pids_limit_reached": "reached its PIDs limit of 20 3 times"}),
    Container("benign-too-large", "--memory 32m --memory-swap 32m", _TOO_LARGE, engines=EVERYWHERE, fast=True,
              observed={"container.out_of_memory": r"reached its memory limit (once|twice|\d+ times), and the kernel ended one of its processes"}),
    Container("benign-paused", after='docker pause "$name" >/dev/null', engines=EVERYWHERE),
    Container("benign-shareable", "--ipc=shareable"),
)  # fmt: skip
