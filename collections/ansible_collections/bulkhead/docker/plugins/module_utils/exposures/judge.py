# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what was granted to each container beyond the engine's defaults, from the kernel's evidence. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..capabilities import ENGINE_DEFAULT, decode_capabilities
from ..layers.states import name_state
from ..layers.verdict import DEGRADED
from .device_rules import DeviceRules, decode_rules
from .devices import find_device_exposures
from .host_devices import HostDevice
from .host_files import judge_host_files
from .kernel_files import judge_kernel_files
from .kinds import KINDS, NOTE, Exposure, get_finding_id

# Namespace -> the kind of exposure when it is the host's. That of users is layer userns.
_HOST_NAMESPACES = {
    "pid": "host_pid", "net": "host_network", "ipc": "host_ipc", "uts": "host_uts", "cgroup": "host_cgroup", "mnt": "host_mount", "time": "host_time",
}  # fmt: skip
_LIMITS = {"memory.max": "no_memory_limit", "memory.swap.max": "no_swap_limit", "cpu.max": "no_cpu_limit"}
# Capability -> what a process can do with it, when it is root of the host's user namespace.
DANGEROUS = {
    "AUDIT_CONTROL": "switch off the host's audit log",
    "BPF": "load programs into the kernel",
    "CHECKPOINT_RESTORE": "restore processes with any PID and memory map",
    "DAC_READ_SEARCH": "open any file of the host by its handle",
    "LINUX_IMMUTABLE": "change immutable files",
    "MAC_ADMIN": "change the AppArmor policy",
    "MAC_OVERRIDE": "ignore mandatory access control",
    "NET_ADMIN": "change interfaces, routes and firewall of its network namespace",
    "PERFMON": "read the kernel's memory through performance counters",
    "SYSLOG": "read addresses of the kernel",
    "SYS_ADMIN": "mount file systems and change namespaces",
    "SYS_BOOT": "reboot the host and load another kernel",
    "SYS_MODULE": "load kernel modules",
    "SYS_PTRACE": "control other processes",
    "SYS_RAWIO": "access ports and memory of the hardware",
    "SYS_TIME": "set the host's clock",
}
_SSH_SERVERS = ("sshd", "dropbear")
_PIDS_FACTOR = 8
SHOWN = 5


def judge_exposures(container: Mapping[str, Any], evidence: Mapping[str, Any], default_pids: int | None) -> list[Exposure]:
    """Return the exposures of one container; none without evidence. default_pids: the PIDs limit of a container that sets none."""
    about, own = evidence.get("exposures"), container.get("exposed")
    if not about or not own:
        return []
    about = {**about, "namespaces": evidence["observed"]["system"]["namespaces"]}
    found = [
        *_judge_privileges(container, about),
        *judge_host_files(container, own, about, [other["id"] for other in evidence["containers"]]),
        *_judge_namespaces(container, evidence["containers"], about),
        *_judge_devices(container, own, about),
        *judge_kernel_files(container, about),
        *_judge_limits(container, default_pids),
        *_judge_tasks(container),
        *_judge_settings(container, own, evidence["observed"]["engine"]),
    ]
    return list({exposure.id: exposure for exposure in reversed(found)}.values())[::-1]


def build_findings(name: str, exposures: Sequence[Exposure]) -> list[dict[str, Any]]:
    """Return one finding per kind that is more than a note, with the IDs of its exposures."""
    kinds = defaultdict(list)
    for exposure in exposures:
        kinds[exposure.kind].append(exposure)
    findings = []
    for kind, objects in kinds.items():
        about = KINDS[kind]
        if about.severity != NOTE:
            holders = list(dict.fromkeys(e.holder for e in objects))
            shown = [_render_objects([e.text for e in objects if e.holder == holder], holder) for holder in holders[:SHOWN]]
            text = f"container {name}: {about.meaning} ({'; '.join(shown)})"
            findings.append(
                {
                    "id": get_finding_id(kind),
                    "text": text,
                    "status": DEGRADED,
                    "remedy": about.remedy,
                    "exposures": [e.id for e in objects],
                }
            )
    return findings


def _render_objects(texts: Sequence[str], holder: str) -> str:
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more + (f", {holder}" if holder else "")


def _name_holder(container: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Return which task has an exposure; empty for the first process, whose exposures are the container's."""
    return "" if state["pid"] == container["pid"] and not state.get("tid") else name_state(container, state)


def _judge_privileges(container: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Exposure]:
    """Yield privileged states, and capabilities beyond the engine's default, from all five sets of every state."""
    if container["inspect"]["HostConfig"].get("Privileged"):
        yield Exposure("privileged", "container", "HostConfig.Privileged", f"docker inspect {container['name']}", True)
    granted: dict[str, Exposure] = {}
    for state in container["states"]:
        sets = state.get("cap", {})
        bits, everything = 0, about["all_capabilities"]
        for value in sets.values():
            bits |= value
        in_host = state.get("namespaces", {}).get("user") == about["namespaces"].get("user")
        source, who = f"/proc/{state['pid']}/status Cap*", name_state(container, state)
        unconfined = state.get("seccomp") == 0 or "unconfined" in (state.get("label") or "unconfined")
        if in_host and everything and sets.get("eff", 0) & everything == everything and unconfined:
            yield Exposure("privileged", f"process {state['pid']}", f"{who} has every capability", source, f"{sets['eff']:016x}")
        for name in sorted(set(decode_capabilities(bits)) - ENGINE_DEFAULT):
            dangerous = in_host and name in DANGEROUS
            text = f"{name}: {DANGEROUS[name]}" if dangerous else name
            kind = "dangerous_capability" if dangerous else "capability"
            exposure = Exposure(kind, name, text, source, f"{bits:016x}", _name_holder(container, state))
            if name not in granted or (dangerous and granted[name].kind == "capability"):
                granted[name] = exposure
    yield from granted.values()


def _judge_devices(container: Mapping[str, Any], own: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Exposure]:
    none = DeviceRules("", error="the container has no control group of its own")
    rules = decode_rules(own["device_rules"]) if own["device_rules"] else none
    devices = [HostDevice(*device) for device in about["devices"]]
    for found in find_device_exposures(container, rules, devices, "\n".join(container["mountinfo"].values())):
        text = f"{found['object']} ({found['access']})"
        yield Exposure(found["kind"], found["object"], text, found["source"], found["value"])


def _judge_namespaces(
    container: Mapping[str, Any], containers: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> Iterator[Exposure]:
    """Yield the namespaces that are the host's, by their inodes, and those that other containers have too."""
    reported = set()
    for state in container["states"]:
        for namespace, kind in _HOST_NAMESPACES.items():
            own = state.get("namespaces", {}).get(namespace)
            if own and own == about["namespaces"].get(namespace) and kind not in reported:
                reported.add(kind)
                yield Exposure(kind, namespace, own, f"/proc/{state['pid']}/ns/{namespace}", own, _name_holder(container, state))
    own_namespaces = container["kernel"].get("namespaces", {})
    for other in containers:
        if other["id"] == container["id"]:
            continue
        shared = [
            name
            for name, inode in other["kernel"].get("namespaces", {}).items()
            if inode and own_namespaces.get(name) == inode != about["namespaces"].get(name) and name not in ("user", "time")
        ]
        if shared:
            text = f"{', '.join(shared)} of container {other['name']}"
            yield Exposure("shared_namespace", other["name"], text, f"/proc/{container['pid']}/ns/{shared[0]}", own_namespaces[shared[0]])


def _judge_limits(container: Mapping[str, Any], default_pids: int | None) -> Iterator[Exposure]:
    limits = container["kernel"].get("limits") or {}
    for name, kind in _LIMITS.items():
        if name in limits and limits[name]["max"] is None:
            yield Exposure(kind, name, f"{name} is max", f"{limits['folder']}/{name}", "max")
    pids = container["kernel"].get("pids") or {}
    maximum = pids.get("max")
    if default_pids and maximum and maximum > _PIDS_FACTOR * default_pids:
        yield Exposure("high_pids_limit", "pids.max", f"pids.max is {maximum}, the default is {default_pids}", pids["source"], maximum)
    for limit in container["inspect"]["HostConfig"].get("Ulimits") or ():
        text = f"{limit.get('Name')}: {limit.get('Soft')} (soft), {limit.get('Hard')} (hard)"
        yield Exposure("ulimit", str(limit.get("Name")), text, f"/proc/{container['pid']}/limits", text)


def _judge_tasks(container: Mapping[str, Any]) -> Iterator[Exposure]:
    for state in container["states"]:
        if state.get("tracer"):
            text = f"process {state['tracer']} traces {name_state(container, state)}"
            yield Exposure("tracer", str(state["pid"]), text, f"/proc/{state['pid']}/status TracerPid", state["tracer"])
    if container["kernel"].get("no_new_privs") == 0:
        yield Exposure("no_new_privileges_off", "NoNewPrivs", "NoNewPrivs 0", f"/proc/{container['pid']}/status NoNewPrivs", 0)
    for server in _SSH_SERVERS:
        if server in container["commands"]:
            folder = container["kernel"].get("cgroup_folder") or "/proc"
            yield Exposure("sshd", server, f"{server} runs", f"{folder}/cgroup.procs, /proc/PID/comm", server)


def _judge_settings(container: Mapping[str, Any], own: Mapping[str, Any], engine: Mapping[str, Any]) -> Iterator[Exposure]:
    """Yield what only the engine knows (ports, environment), what is writable besides a read-only root, and a start before the engine's."""
    inspect, source = container["inspect"], f"docker inspect {container['name']}"
    for port, bindings in inspect["Ports"].items():
        for binding in bindings or ():
            address, number = str(binding.get("HostIp") or "0.0.0.0"), str(binding.get("HostPort") or "")
            if address in ("0.0.0.0", "::"):
                yield Exposure("published_port", number, f"{number} on all addresses, to {port}", f"{source}: Ports", f"{address}:{number}")
            if number.isdigit() and 0 < int(number) < 1024:
                yield Exposure("privileged_port", number, f"{number}, to {port}", f"{source}: Ports", f"{address}:{number}")
    if inspect["SecretNames"]:
        text = f"{inspect['SecretNames']} variable{'s' if inspect['SecretNames'] > 1 else ''}"
        yield Exposure("secrets_in_environment", "Env", text, f"{source}: Config.Env", inspect["SecretNames"])
    if container["kernel"].get("root_read_only"):
        for place in own["writable"]:
            text = f"{place['point']} ({', '.join(place['options']) or 'no options'})"
            yield Exposure("writable_place", place["point"], text, f"/proc/{container['pid']}/mountinfo {place['point']}", place["options"])
    started = container["kernel"].get("started")
    if started is not None and engine.get("started_ticks") and started < engine["started_ticks"]:
        text = f"started before process {engine['pid']} of the engine"
        yield Exposure("outdated_start", "start", text, f"/proc/{container['pid']}/stat starttime", started)
