# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges section 2: the engine, from its process, the kernel and `/info`; its files only where neither shows a setting. Pure."""

from __future__ import annotations

import json
from typing import Any

from .catalog import Control
from .verdict import MANUAL, NOT_APPLICABLE, PASS, ControlOutcome, Facts, MissingFact, build_evidence, decide

# Drivers that send logs to another host, or can. The others keep them on the host (docs.docker.com, logging drivers).
_REMOTE_DRIVERS = frozenset({"syslog", "gelf", "fluentd", "awslogs", "splunk", "gcplogs", "logentries", "etwlogs"})
# Ports that a swarm opens: its managers, and gossip between nodes.
SWARM_PORTS = ("2377", "7946")


def read_setting(facts: Facts, key: str, flag: str = "", default: Any = None) -> tuple[Any, str]:
    """Return a setting with which the engine runs, and its source: a flag of the process, daemon.json, or the engine's default.

    Raises MissingFact if the file cannot be used, or was changed after the engine started.
    """
    observed = facts.observed
    flags, file, engine = observed["unit"]["flags"], observed["daemon_json"], observed["engine"]
    if not engine["pid"]:
        raise MissingFact("the engine does not run")
    name = flag or key
    if name in flags:
        return flags[name], f"/proc/{engine['pid']}/cmdline --{name}"
    if file["error"]:
        raise MissingFact(file["error"])
    content = json.loads(file["text"] or "{}") or {}
    if file["mtime"] and engine["started_at"] and file["mtime"] > engine["started_at"] + 1:
        raise MissingFact(
            f"{file['path']} was changed after the engine started, so it is not known with which {key} it runs; restart the engine"
        )
    if key in content:
        return content[key], f"{file['path']} {key}"
    return default, f"{file['path']} {key}: not set"


def is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "t")


def judge_rootless_engine(control: Control, facts: Facts) -> ControlOutcome:
    engine = facts.observed["engine"]
    process = next((daemon for daemon in engine["daemons"] if daemon["pid"] == engine["pid"]), None)
    if process is None:
        raise MissingFact("the engine does not run")
    good, bad = f"the engine runs as user {process['uid']}", "the engine runs as root"
    return decide(bool(process["rootless"]), good, bad, f"/proc/{process['pid']}/status Uid", process["uid"])


def judge_bridge_traffic(control: Control, facts: Facts) -> ControlOutcome:
    allowed = facts.get("bridge")
    source = "docker network inspect bridge"
    if allowed is None:
        return ControlOutcome(NOT_APPLICABLE, "the engine has no default bridge", build_evidence(source, "does not exist"))
    good, bad = "containers on the default bridge cannot reach each other", "containers on the default bridge can reach each other"
    return decide(not is_true(allowed), good, bad, f"{source} (enable_icc)", allowed)


def judge_log_level(control: Control, facts: Facts) -> ControlOutcome:
    level, source = read_setting(facts, "log-level", default="info")
    if facts.get("info")["Debug"]:
        return decide(False, "", "the engine logs debug messages", "docker info (Debug)", True)
    return decide(level == "info", "the engine logs at level info", f"the engine logs at level {level}", source, level)


def judge_iptables(control: Control, facts: Facts) -> ControlOutcome:
    value, source = read_setting(facts, "iptables", default=True)
    return decide(is_true(value), "the engine changes iptables rules", "the engine does not change iptables rules", source, value)


def judge_insecure_registries(control: Control, facts: Facts) -> ControlOutcome:
    """Judge without the loopback networks, which every engine trusts (moby registry/config.go)."""
    info = facts.get("info")
    networks = [network for network in info["InsecureRegistryCIDRs"] if network not in ("127.0.0.0/8", "::1/128")]
    found = [*info["InsecureRegistries"], *networks]
    return decide(
        not found,
        "every registry needs TLS",
        f"registries without TLS: {', '.join(found)}",
        "docker info (RegistryConfig)",
        found or "none",
    )


def _judge_driver(facts: Facts, driver: str) -> ControlOutcome:
    now = facts.get_info("Driver")
    return decide(now != driver, f"the storage driver is {now}", f"the storage driver is {driver}", "docker info (Driver)", now)


def judge_not_aufs(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_driver(facts, "aufs")


def judge_not_devicemapper(control: Control, facts: Facts) -> ControlOutcome:
    return _judge_driver(facts, "devicemapper")


def judge_tcp_sockets(control: Control, facts: Facts) -> ControlOutcome:
    """Judge the sockets that the kernel shows; without one, no client has to be verified."""
    pid, found = facts.observed["engine"]["pid"], facts.get("tcp_sockets")
    swarm = facts.observed["engine"].get("swarm")
    # Without the userland proxy, the engine itself holds the ports that containers publish (libnetwork portmapper).
    others = {address for container in facts.get("containers") for address in container["addresses"]}
    others.add(str(read_setting(facts, "metrics-addr", default="")[0]))
    sockets = [each for each in found if not (swarm and each.rpartition(":")[2] in SWARM_PORTS) and each not in others]
    source = f"/proc/{pid}/net/tcp, tcp6 and /proc/{pid}/fd"
    if not sockets:
        return ControlOutcome(NOT_APPLICABLE, "the engine does not listen on TCP", build_evidence(source, "no listening socket"))
    verified, where = read_setting(facts, "tlsverify", default=False)
    names = ", ".join(sockets)
    outcome = decide(
        is_true(verified), f"clients on {names} need a certificate", f"clients on {names} need no certificate", source, sockets
    )
    outcome.evidence += build_evidence(where, verified)
    return outcome


def judge_default_ulimits(control: Control, facts: Facts) -> ControlOutcome:
    value, source = read_setting(facts, "default-ulimits", "default-ulimit")
    return decide(bool(value), "default ulimits are set", "no default ulimits are set", source, str(value) if value else "not set")


def judge_cgroup_parent(control: Control, facts: Facts) -> ControlOutcome:
    value, source = read_setting(facts, "cgroup-parent", default="")
    return decide(not value, "the parent group is the engine's default", f"containers are below {value}", source, value or "not set")


def judge_base_size(control: Control, facts: Facts) -> ControlOutcome:
    driver = facts.get_info("Driver")
    if driver != "devicemapper":
        return ControlOutcome(PASS, f"the storage driver {driver} has no base size", build_evidence("docker info (Driver)", driver))
    value, source = read_setting(facts, "storage-opts", "storage-opt", default=())
    return decide("dm.basesize" not in str(value), "dm.basesize is not set", "dm.basesize is set", source, str(value))


def judge_authorization(control: Control, facts: Facts) -> ControlOutcome:
    plugins = facts.get("info")["Authorization"]
    names = ", ".join(plugins)
    return decide(
        bool(plugins), f"authorized by {names}", "no plugin authorizes commands", "docker info (Plugins.Authorization)", names or "none"
    )


def judge_central_logging(control: Control, facts: Facts) -> ControlOutcome:
    driver, source = facts.get_info("LoggingDriver"), "docker info (LoggingDriver)"
    if driver == "journald":
        return ControlOutcome(
            MANUAL, "logs are in the journal, and the engine does not know whether it is forwarded", build_evidence(source, driver)
        )
    return decide(driver in _REMOTE_DRIVERS, f"{driver} sends logs elsewhere", f"{driver} keeps logs on the host only", source, driver)


def judge_live_restore(control: Control, facts: Facts) -> ControlOutcome:
    engine = facts.observed["engine"]
    if not engine["running"]:
        raise MissingFact(f"/info is unknown: {engine['error']}")
    source = "docker info (LiveRestoreEnabled)"
    if engine["swarm"]:
        return ControlOutcome(NOT_APPLICABLE, "swarm mode excludes it", build_evidence("docker info (Swarm)", "active"))
    return decide(engine["live_restore"], "live restore is on", "live restore is off", source, engine["live_restore"])


def judge_userland_proxy(control: Control, facts: Facts) -> ControlOutcome:
    running = facts.get("proxies")
    if running:
        return decide(False, "", f"{running} processes of the proxy run", "pgrep -c docker-proxy", running)
    value, source = read_setting(facts, "userland-proxy", default=True)
    return decide(not is_true(value), "the userland proxy is off", "the userland proxy is on", source, value)


def judge_experimental(control: Control, facts: Facts) -> ControlOutcome:
    value = facts.get("info")["ExperimentalBuild"]
    return decide(not value, "experimental features are off", "experimental features are on", "docker info (ExperimentalBuild)", value)


def judge_selinux(control: Control, facts: Facts) -> ControlOutcome:
    modules = facts.observed["system"]["lsm"]
    if "selinux" not in modules:
        return ControlOutcome(
            NOT_APPLICABLE, "SELinux is not active in this kernel", build_evidence("/sys/kernel/security/lsm", ",".join(modules))
        )
    options = facts.get_info("SecurityOptions") or []
    enabled = any("name=selinux" in option for option in options)
    return decide(enabled, "the engine labels containers", "the engine does not label containers", "docker info (SecurityOptions)", options)
