# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of each key of daemon.json does to containers, and when they notice it: the one table of it. Pure.

A new key gets its message by a row here; docs/what-stops-working.md repeats the rows, and tests compare both. Moments were measured on docker.io
26.1.5: the engine adds no-new-privileges, logs, runtime and shared memory when it creates a container. Others were read in moby v20.10.24,
v26.1.5 and v28.5.2: `daemon/create.go`, `daemon/oci_linux.go`, `daemon/daemon_unix.go`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils.layers.verdict import Effect

# When containers notice a new value: all at once; at their next start; only containers that are created afterwards; or through the default
# bridge, which an engine sets up only while no container runs (initNetworkController in daemon_unix.go).
AT_ONCE, AT_START, AT_CREATION, AT_BRIDGE = "at the engine's restart", "at its next start", "new containers only", "default bridge"
_ABSENT = object()


@dataclass(frozen=True)
class KeyEffect:
    """What one key does to containers.

    text: the effect of any new value. strict: the value with which something stops working, and stops: what. default: the engine's own value;
    a change between it and no value has no effect. remedy: what to do instead, for the documentation.
    """

    key: str
    moment: str
    text: str
    strict: Any = _ABSENT
    stops: str = ""
    default: Any = _ABSENT
    remedy: str = ""

    def describe(self, value: Any) -> str:
        """Return the effect of a new value; an absent one is None."""
        return self.stops if self.stops and value == self.strict else self.text


ROWS: tuple[KeyEffect, ...] = (
    KeyEffect(
        "icc",
        AT_BRIDGE,
        "containers of the default bridge reach each other on every port",
        False,
        "containers of the default bridge no longer reach each other by address",
        True,
        "connect them by a network of their own: `docker network create`, `--network`",
    ),
    KeyEffect(
        "userland-proxy",
        AT_ONCE,
        "a process per published port forwards what the kernel's rules do not",
        False,
        "published ports no longer answer on [::1] of the host; containers no longer reach them by the host's address from another network, or on"
        " the default bridge with icc: false",
        True,
        "use 127.0.0.1 on the host, and a common network between containers; or `docker_daemon_userland_proxy: true`",
    ),
    KeyEffect(
        "live-restore",
        AT_ONCE,
        "later restarts of the engine stop containers",
        True,
        "later restarts of the engine do not stop containers",
        False,
        "nothing; a swarm node does not support it",
    ),
    KeyEffect(
        "no-new-privileges",
        AT_CREATION,
        "setuid programs and file capabilities give privileges again",
        True,
        "setuid programs and file capabilities give no privileges: sudo, su, and ping as a user without CAP_NET_RAW",
        False,
        "`--security-opt no-new-privileges=false` for one container; start the service as its user instead of with su",
    ),
    KeyEffect(
        "seccomp-profile",
        AT_START,
        "system calls that the new profile does not allow fail, such as those of strace, gdb and 32-bit programs",
        remedy="a profile of its own for the container (seccomp_profiles_list, `--security-opt seccomp=FILE`)",
    ),
    KeyEffect(
        "userns-remap",
        AT_ONCE,
        "root of a container has other IDs on the host: files of host users, the engine's socket and host namespaces are closed to it",
        remedy="give files to the mapped owner; `--userns=host` for a container that has to be root of the host",
    ),
    KeyEffect(
        "default-pids-limit", AT_START, "fork and clone fail at the limit in containers without one of their own", remedy="`--pids-limit N`"
    ),
    KeyEffect("default-ulimits", AT_START, "containers without ulimits of their own get the new ones", remedy="`--ulimit nofile=N`"),
    KeyEffect(
        "log-driver",
        AT_CREATION,
        "containers log through the new driver; `docker logs` works with local, json-file and journald, or dual logging",
        default="json-file",
        remedy="`--log-driver`; recreate a container to move it",
    ),
    KeyEffect(
        "log-opts", AT_CREATION, "logs get the new options: with max-size and max-file, old messages are dropped", remedy="`--log-opt`"
    ),
    KeyEffect("default-runtime", AT_CREATION, "containers without a runtime of their own get the new one", default="runc", remedy="`--runtime`"),
    KeyEffect("runtimes", AT_START, "a container starts only if its runtime is still listed", remedy="keep the runtime listed"),
    KeyEffect("cgroup-parent", AT_START, "containers move below the new parent and share its limits", remedy="`--cgroup-parent`"),
    KeyEffect("init", AT_START, "the first process is docker-init instead of the service, or the reverse", default=False, remedy="`--init`"),
    KeyEffect("init-path", AT_START, "another program is the init of containers", remedy="leave it out"),
    KeyEffect("default-init", AT_START, "another program is the init of containers", remedy="leave it out"),
    KeyEffect("exec-opts", AT_ONCE, "with another cgroup driver, running containers do not survive the restart", remedy="change it while none runs"),
    KeyEffect("default-ipc-mode", AT_CREATION, "whether other containers may join the IPC namespace", default="private", remedy="`--ipc`"),
    KeyEffect("default-cgroupns-mode", AT_CREATION, "whether containers see the host's control groups", remedy="`--cgroupns`"),
    KeyEffect("default-shm-size", AT_CREATION, "/dev/shm has another size", remedy="`--shm-size`"),
    KeyEffect("selinux-enabled", AT_CREATION, "containers get SELinux labels, and bind mounts without `:z` are closed to them", remedy="`:z`, `:Z`"),
    KeyEffect("cpu-rt-period", AT_START, "containers get another budget of real-time scheduling", remedy="`--cpu-rt-runtime`"),
    KeyEffect("cpu-rt-runtime", AT_START, "containers get another budget of real-time scheduling", remedy="`--cpu-rt-runtime`"),
    KeyEffect("default-stop-timeout", AT_CREATION, "`docker stop` waits for another time before it kills", remedy="`--stop-timeout`"),
    KeyEffect("shutdown-timeout", AT_ONCE, "containers get another time to stop when the engine stops without live-restore", remedy="raise it"),
    KeyEffect("proxies", AT_ONCE, "the engine pulls images through the new proxies; containers keep their environment", remedy="`--env`"),
    KeyEffect("dns", AT_START, "containers ask the new name servers", remedy="`--dns`"),
    KeyEffect("dns-opts", AT_START, "containers resolve names with the new options", remedy="`--dns-option`"),
    KeyEffect("dns-search", AT_START, "containers resolve short names in the new domains", remedy="`--dns-search`"),
    KeyEffect("bridge", AT_BRIDGE, "the default network is another bridge; its containers get other addresses", remedy="use names, not addresses"),
    KeyEffect("bip", AT_BRIDGE, "the default bridge and its containers get other addresses", remedy="use names, not addresses"),
    KeyEffect("bip6", AT_BRIDGE, "the default bridge and its containers get other IPv6 addresses", remedy="use names, not addresses"),
    KeyEffect("fixed-cidr", AT_BRIDGE, "containers of the default bridge get addresses of the new range", remedy="use names, not addresses"),
    KeyEffect("fixed-cidr-v6", AT_BRIDGE, "containers of the default bridge get IPv6 addresses of the new range", remedy="use names, not addresses"),
    KeyEffect("default-gateway", AT_BRIDGE, "containers of the default bridge leave the host through another gateway", remedy="check its route"),
    KeyEffect("default-gateway-v6", AT_BRIDGE, "containers of the default bridge leave the host through another gateway", remedy="check its route"),
    KeyEffect("mtu", AT_BRIDGE, "packets on the default bridge have another largest size", remedy="`com.docker.network.driver.mtu` per network"),
    KeyEffect("ip", AT_BRIDGE, "ports published without an address are bound to the new one", remedy="name it: `-p ADDRESS:PORT:PORT`"),
    KeyEffect("ip-masq", AT_BRIDGE, "without masquerading, containers of the default bridge reach only what routes back to them", default=True,
              remedy="add the route"),
    KeyEffect("ipv6", AT_BRIDGE, "the default bridge has IPv6 or not", default=False, remedy="`docker network create --ipv6`"),
    KeyEffect("default-address-pools", AT_CREATION, "networks created from now on get addresses of the new pools", remedy="`--subnet`"),
    KeyEffect("default-network-opts", AT_CREATION, "networks created from now on get the new options", remedy="`docker network create --opt`"),
    KeyEffect(
        "iptables",
        AT_ONCE,
        "the engine manages the host's packet filter",
        False,
        "the engine adds no rules: published ports, outgoing connections and the isolation of networks need your own rules",
        True,
        "leave it on, or write the rules before the engine starts",
    ),
    KeyEffect(
        "ip6tables", AT_ONCE, "the engine manages the host's packet filter for IPv6", False,
        "the engine adds no IPv6 rules: published ports and the isolation of networks need your own rules", True,
        "leave it on, or write the rules before the engine starts",
    ),
    KeyEffect("ip-forward", AT_ONCE, "whether the engine lets the host forward packets, which containers need to leave it", default=True,
              remedy="set net.ipv4.ip_forward yourself"),
    KeyEffect("ip-forward-no-drop", AT_ONCE, "whether the engine drops what it does not forward for containers", default=False,
              remedy="filter in the chain DOCKER-USER"),
    KeyEffect("allow-direct-routing", AT_ONCE, "whether other hosts reach containers by their addresses", default=False, remedy="publish ports"),
    KeyEffect("firewall-backend", AT_ONCE, "the engine's rules move between iptables and nftables; rules in DOCKER-USER do not apply to nftables",
              remedy="move your own rules too"),
    KeyEffect("bridge-accept-fwmark", AT_ONCE, "marked packets reach containers without a published port", remedy="publish ports"),
    KeyEffect("userland-proxy-path", AT_ONCE, "another program forwards published ports", remedy="leave it out"),
    KeyEffect("host-gateway-ip", AT_START, "host.docker.internal leads to another address", remedy="`--add-host`"),
    KeyEffect("host-gateway-ips", AT_START, "host.docker.internal leads to other addresses", remedy="`--add-host`"),
    KeyEffect("data-root", AT_ONCE, "the engine no longer sees its images, containers and volumes", remedy="copy the data while the engine is stopped"),
    KeyEffect("graph", AT_ONCE, "the engine no longer sees its images, containers and volumes", remedy="copy the data while the engine is stopped"),
    KeyEffect("exec-root", AT_ONCE, "the engine no longer finds its running containers", remedy="stop them first"),
    KeyEffect("storage-driver", AT_ONCE, "the engine no longer sees its images and containers", remedy="`docker save` and `docker load`"),
    KeyEffect("storage-opts", AT_CREATION, "the writable layers of containers get the new options", remedy="`--storage-opt`"),
    KeyEffect("features", AT_ONCE, "with another image store (containerd-snapshotter), the engine no longer sees its images and containers",
              remedy="`docker save` and `docker load`"),
    KeyEffect("containerd", AT_ONCE, "the engine no longer finds its running containers", remedy="stop them first"),
    KeyEffect("containerd-namespace", AT_ONCE, "the engine no longer finds its running containers", remedy="stop them first"),
    KeyEffect("hosts", AT_ONCE, "programs that use the engine's other addresses, also from containers, no longer reach it", remedy="set DOCKER_HOST"),
    KeyEffect("group", AT_ONCE, "members of the previous group no longer reach the engine's socket", remedy="change the group of the accounts"),
    KeyEffect("tls", AT_ONCE, "programs without a certificate no longer reach the engine by TCP", remedy="give them a certificate"),
    KeyEffect("tlsverify", AT_ONCE, "programs without a certificate no longer reach the engine by TCP", remedy="give them a certificate"),
    KeyEffect("authorization-plugins", AT_ONCE, "the plugin decides which requests to the engine are allowed", remedy="allow them there"),
    KeyEffect("min-api-version", AT_ONCE, "programs of an older API version no longer reach the engine, such as old Traefik or Portainer",
              remedy="upgrade them"),
    KeyEffect("cdi-spec-dirs", AT_START, "devices of the previous folders are not found", remedy="list the folder"),
    KeyEffect("nri-opts", AT_START, "the plugins change what containers get", remedy="remove the plugin"),
    KeyEffect("swarm-default-advertise-addr", AT_ONCE, "a swarm that is joined later uses another address", remedy="`--advertise-addr`"),
)  # fmt: skip
BY_KEY: dict[str, KeyEffect] = {row.key: row for row in ROWS}
# Keys that concern the engine, its pulls and its own logs; containers do not notice a change.
ENGINE_ONLY: frozenset[str] = frozenset(
    "allow-nondistributable-artifacts api-cors-header builder cluster-advertise cluster-store cluster-store-opts containerd-plugin-namespace"
    " cri-containerd debug experimental insecure-registries labels log-format log-level max-concurrent-downloads max-concurrent-uploads"
    " max-download-attempts metrics-addr network-control-plane-mtu network-diagnostic-port node-generic-resources oom-score-adjust pidfile raw-logs"
    " registry-mirrors tlscacert tlscert tlskey".split()
)
# Their messages are made elsewhere, with more than the key: layers/userns, and the layer pids_limit.
_ELSEWHERE = frozenset({"userns-remap", "default-pids-limit"})


def describe_changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    containers: Sequence[Mapping[str, Any]],
    survives: bool,
    pending: Container[str] = (),
) -> list[Effect]:
    """Return one effect per changed key that containers notice, with the running containers concerned.

    before, after: content of daemon.json. containers: the running ones, from an observation. survives: whether they keep running during the
    engine's restart. pending: keys of the file that the running engine does not use yet.
    """
    found = []
    for row in ROWS:
        old, new = (_read_value(row, content) for content in (before, after))
        if row.key in _ELSEWHERE or (old == new and row.key not in pending):
            continue
        value = None if new is _ABSENT else new
        names, ports = _list_concerned(row, containers, survives)
        alone = "; it runs alone there now" if row.key == "icc" and len(names) == 1 else ""
        text = f"{_format_setting(row.key, value)}: {row.describe(value)}{_format_moment(row, containers, survives)}{alone}"
        found.append(Effect(text, names, ports))
    return found


def _read_value(row: KeyEffect, content: Mapping[str, Any]) -> Any:
    """Return the value that the engine uses. null is false for a boolean, even if its default is true, and no value otherwise (docs/facts.md)."""
    value = content.get(row.key, row.default)
    if value is not None:
        return value
    return False if isinstance(row.default, bool) else row.default


def _format_setting(key: str, value: Any) -> str:
    if value is None:
        return f"{key} removed"
    return f"{key}: {str(value).lower()}" if isinstance(value, bool) else key


def _format_moment(row: KeyEffect, containers: Sequence[Mapping[str, Any]], survives: bool) -> str:
    """Return when running containers notice it, with their names; empty if they do at once, or if none runs."""
    if not containers or row.moment == AT_ONCE:
        return ""
    if row.moment == AT_CREATION:
        return " (existing containers keep the old value until they are created anew)"
    if not survives:
        return ""
    if row.moment == AT_BRIDGE:
        return " (not before the engine starts while no container runs: live-restore keeps the default bridge as it is)"
    return " (running containers keep the old value until they are started again)"


def _list_concerned(row: KeyEffect, containers: Sequence[Mapping[str, Any]], survives: bool) -> tuple[list[str], dict[str, str]]:
    """Return the names of the running containers concerned, and their ports if these matter; no names if it is none in particular."""
    if row.key == "userland-proxy":
        ports = {c["name"]: " ".join(c["ports"]) for c in containers if c.get("ports")}
        return list(ports), ports
    if row.moment == AT_BRIDGE:
        return [c["name"] for c in containers if "bridge" in (c.get("networks") or ())], {}
    return [c["name"] for c in containers] if row.moment == AT_CREATION or (row.moment == AT_START and survives) else [], {}
