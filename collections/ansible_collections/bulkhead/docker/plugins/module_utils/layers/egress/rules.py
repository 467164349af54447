# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of Bulkhead: its text, the data of the host in it, and what it does with a connection. Pure; control node only."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ...host.egress import LOG_RATE, RULES, TABLE, UNIT_NAME, USED, WANTED_BY
from .settings import HOST, LISTED, LOG, METADATA, PRIVATE, Allowed, EgressSettings, Entry

# Ranges of the presets. Link-local addresses, and the services of clouds that have others: Azure, Alibaba, Oracle, and over IPv6 AWS and Google.
RANGES = {
    METADATA: ("169.254.0.0/16", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254"),
    PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
}
_FORWARD, _INPUT, _OUTPUT = "forward", "input", "output"
# Bridges whatever networks exist: of the default network and of swarm. All others of the engine have a name that begins with `br-`, or one that a user chose.
FIXED_BRIDGES = ("docker0", "docker_gwbridge")
PATTERN = "br-*"
# The engine's rules for forwarded packets have priority 0, Bulkhead's come first.
_PRIORITY = "filter - 10"
_NEIGHBOURS = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-query, mld-listener-report, mld-listener-done,"
    " mld2-listener-report } accept"
)
_INPUTS = "# inputs: "


@dataclass
class Inputs:
    """The data of the host in the rules.

    names: name -> addresses. nameservers: addresses. ports: published ones, `tcp/80`. bridges: label of an entry -> bridges. named: bridges of the
    engine with a chosen name. others: bridges that are not the engine's and whose names begin as those of the engine do. uid: the user of a rootless
    engine, which has no bridges on the host; None for the rootful one.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    nameservers: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    bridges: dict[str, list[str]] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    uid: int | None = None

    @classmethod
    def from_text(cls, text: str | None) -> Self | None:
        """Return the inputs that a file of rules was made of; None without a file of Bulkhead."""
        line = next((line for line in (text or "").splitlines() if line.startswith(_INPUTS)), None)
        try:
            return cls(**json.loads(line.removeprefix(_INPUTS))) if line else None
        except (ValueError, TypeError):
            return None


def collect_inputs(settings: EgressSettings, observed: Mapping[str, Any], before: Inputs | None = None, uid: int | None = None) -> Inputs:
    """Return what the host has now. before: what was loaded; a name that cannot be resolved and networks of a stopped engine keep it.

    uid: of the user of a rootless engine.
    """
    known = before or Inputs()
    names = {
        name: answer["addresses"] or known.names.get(name, [])
        for name, answer in observed["names"].items()
        if name in settings.list_names()
    }
    if uid is not None:
        ports = known.ports if observed["error"] else observed["ports"]
        return Inputs(names, observed["nameservers"] if settings.dns else [], ports if HOST in settings.presets else [], uid=uid)
    if observed["error"]:
        return Inputs(names, observed["nameservers"] if settings.dns else [], known.ports, known.bridges, known.named, known.others)
    bridges = {entry.label: find_bridges(entry, observed["networks"]) for entry in settings.entries}
    own = {network["bridge"] for network in observed["networks"]} - {""}
    return Inputs(
        names,
        observed["nameservers"] if settings.dns else [],
        observed["ports"] if HOST in list_presets(settings) else [],
        bridges,
        sorted(bridge for bridge in own if bridge not in FIXED_BRIDGES and not bridge.startswith("br-")),
        sorted(bridge for bridge in observed["bridges"] if bridge.startswith("br-") and bridge not in own),
    )


def list_presets(settings: EgressSettings) -> set[str]:
    """Return the presets that any network has."""
    return {*settings.presets, *(preset for entry in settings.entries for preset in entry.presets)}


def find_bridges(entry: Entry, networks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the bridges of an entry's networks."""
    key = "name" if entry.kind == "network" else "project"
    return sorted(network["bridge"] for network in networks if network[key] == entry.name and network["bridge"])


def render_unit(nft: str) -> str:
    """Return the text of the unit that loads the rules before the engine starts. Managers of users start after systemd-user-sessions.service."""
    return f"""# Written by Bulkhead (role container_egress). Changes are lost.
[Unit]
Description=Rules for what containers may reach
After=nftables.service
Before=docker.service systemd-user-sessions.service
RequiresMountsFor={RULES}

[Service]
Type=oneshot
ExecStart={nft} -f {RULES}

[Install]
WantedBy={" ".join(WANTED_BY)}
"""


def render_drop_in(nft: str) -> str:
    """Return the drop-in that loads the rules again whenever nftables.service removed all tables."""
    commands = "".join(f"{moment}=-{nft} -f {RULES}\n" for moment in ("ExecStartPost", "ExecReload", "ExecStopPost"))
    return f"# Written by Bulkhead (role container_egress). Changes are lost.\n[Service]\n{commands}"


def render_rules(settings: EgressSettings, inputs: Inputs) -> str:
    """Return the file that replaces the table in one transaction (man 8 nft)."""
    presets = [preset for preset in RANGES if preset in list_presets(settings)]
    used = [preset for preset in (METADATA, HOST, PRIVATE, LISTED) if preset in list_presets(settings)]
    policies = [
        _Policy(f"network_{number}", entry.presets, (*entry.allow, *settings.allow)) for number, entry in enumerate(settings.entries, 1)
    ]
    default = _Policy("default", settings.presets, settings.allow)
    lines = [
        "# Written by Bulkhead (role container_egress). Changes are lost.",
        f"# {UNIT_NAME} loads this file.",
        f"{_INPUTS}{json.dumps(asdict(inputs), sort_keys=True)}",
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *(f"\tcounter denied_{preset} {{ }}" for preset in used),
        # One container cannot use up the messages of another one.
        *(f"\tset {LOG_RATE}{v} {{ type ipv{v}_addr; size 65535; flags dynamic,timeout; timeout 1m; }}" for v in (4, 6)),
        *(_render_set(f"{preset}{v}", v, RANGES[preset]) for preset in presets for v in (4, 6)),
        *(_render_set(f"nameservers{v}", v, inputs.nameservers) for v in (4, 6)),
        *(_render_used_sets(inputs.uid) if settings.stage == LOG else ()),
    ]
    for preset in used:
        lines += _render_chain(f"deny_{preset}", _render_denial(preset, settings.stage, inputs.uid))
    if inputs.uid is not None:
        lines += _render_chain(f"default_{_OUTPUT}", _render_output(default, inputs))
        return "\n".join([*lines, *_render_chain(_OUTPUT, _render_user_hook(inputs.uid)), "}", ""])
    for policy in (*policies, default):
        lines += _render_chain(f"{policy.name}_{_FORWARD}", _render_forward(policy, inputs))
        lines += _render_chain(f"{policy.name}_{_INPUT}", _render_input(policy, inputs))
    chosen = [
        (bridge, policy) for entry, policy in zip(settings.entries, policies, strict=True) for bridge in inputs.bridges.get(entry.label, ())
    ]
    for hook in (_FORWARD, _INPUT):
        lines += _render_chain(hook, _render_hook(hook, chosen, inputs))
    return "\n".join([*lines, "}", ""])


@dataclass(frozen=True)
class _Policy:
    name: str
    presets: tuple[str, ...]
    allow: tuple[Allowed, ...]


def _render_chain(name: str, rules: Iterable[str]) -> list[str]:
    return [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]


def _render_set(name: str, version: int, addresses: Iterable[str]) -> str:
    chosen = _select_version(addresses, version)
    elements = f"; elements = {{ {', '.join(chosen)} }}" if chosen else ""
    return f"\tset {name} {{ type ipv{version}_addr; flags interval{elements}; }}"


def _render_used_sets(uid: int | None) -> list[str]:
    """Return the sets of what containers used, by bridge. The user of a rootless engine has none."""
    bridge = "ifname . " if uid is None else ""
    return [f"\tset {USED}{v} {{ type {bridge}ipv{v}_addr . inet_proto . inet_service; size 65535; flags dynamic; }}" for v in (4, 6)]


def _render_denial(preset: str, stage: str, uid: int | None) -> list[str]:
    log = f'limit rate 10/minute burst 20 packets }} log prefix "bulkhead-egress {stage} {preset}: " level info flags skuid'
    bridge = "iifname . " if uid is None else ""
    keep = [
        f"meta l4proto {{ tcp, udp }} add @{USED}{v} {{ {bridge}{family} daddr . meta l4proto . th dport }}"
        for family, v in (("ip", 4), ("ip6", 6))
    ]
    return [
        f'counter name "denied_{preset}"',
        *(keep if stage == LOG else ()),
        f"update @{LOG_RATE}4 {{ ip saddr {log}",
        f"update @{LOG_RATE}6 {{ ip6 saddr {log}",
        # A client learns at once that a connection is denied, and one from before the rules ends.
        *(
            ["accept"]
            if stage == LOG
            else ["meta l4proto tcp ct state established reject with tcp reset", "reject with icmpx type admin-prohibited"]
        ),
    ]


def _render_hook(hook: str, chosen: Iterable[tuple[str, _Policy]], inputs: Inputs) -> list[str]:
    """Return a base chain. `accept` ends only this chain: the rules of the engine and of others follow."""
    rules = [f"type filter hook {hook} priority {_PRIORITY}; policy accept;", "ct direction reply accept", "ct state related accept"]
    if hook == _INPUT:
        rules.append(_NEIGHBOURS)
    rules += [f'iifname "{bridge}" goto {policy.name}_{hook}' for bridge, policy in chosen]
    if inputs.others:
        rules.append(f"iifname {_quote(inputs.others)} accept")
    return [*rules, f"iifname {_quote((*FIXED_BRIDGES, *inputs.named))} goto default_{hook}", f'iifname "{PATTERN}" goto default_{hook}']


def _render_forward(policy: _Policy, inputs: Inputs) -> list[str]:
    """Return the rules for packets that leave the host, or go to another container: those are left to the engine, which separates networks."""
    others = f"oifname != {_quote(inputs.others)} " if inputs.others else ""
    rules = [
        f"oifname {_quote((*FIXED_BRIDGES, *inputs.named))} accept",
        f'{others}oifname "{PATTERN}" accept',
        *_render_allowed(policy, inputs),
    ]
    for preset in (METADATA, PRIVATE):
        if preset in policy.presets:
            rules += [f"{family} daddr @{preset}{v} goto deny_{preset}" for family, v in (("ip", 4), ("ip6", 6))]
    rules += _render_translated(policy)
    return [*rules, *([f"goto deny_{LISTED}"] if LISTED in policy.presets else [])]


def _render_input(policy: _Policy, inputs: Inputs) -> list[str]:
    """Return the rules for packets to the host itself."""
    rules = _render_allowed(policy, inputs)
    if METADATA in policy.presets:
        rules += [f"{family} daddr @{METADATA}{v} goto deny_{METADATA}" for family, v in (("ip", 4), ("ip6", 6))]
    rules += _render_translated(policy)
    if HOST in policy.presets:
        rules += _render_published(inputs)
    end = [preset for preset in (LISTED, HOST) if preset in policy.presets]
    return [*rules, *(f"goto deny_{preset}" for preset in end[:1])]


def _render_output(policy: _Policy, inputs: Inputs) -> list[str]:
    """Return the rules for packets of a rootless engine's user, to the network and to the host itself."""
    rules = _render_allowed(policy, inputs)
    for preset, local in ((METADATA, ""), (PRIVATE, "fib daddr type != local ")):
        if preset in policy.presets:
            rules += [f"{local}{family} daddr @{preset}{v} goto deny_{preset}" for family, v in (("ip", 4), ("ip6", 6))]
    if HOST in policy.presets:
        rules += [*_render_published(inputs), f"fib daddr type local goto deny_{HOST}"]
    return [*rules, *([f"goto deny_{LISTED}"] if LISTED in policy.presets else [])]


def _render_user_hook(uid: int) -> list[str]:
    """Return a base chain for the user's processes. Those use the loopback interface among themselves, and a container does not reach it.

    A packet without a socket, such as a reset of the kernel, has no user and matches no rule.
    """
    return [
        f"type filter hook {_OUTPUT} priority {_PRIORITY}; policy accept;",
        "ct direction reply accept",
        "ct state related accept",
        "ip daddr 127.0.0.0/8 accept",
        "ip6 daddr ::1 accept",
        _NEIGHBOURS,
        f"meta skuid {uid} goto default_{_OUTPUT}",
    ]


def _render_published(inputs: Inputs) -> list[str]:
    rules = []
    for protocol in sorted({port.partition("/")[0] for port in inputs.ports}):
        ports = [port.partition("/")[2] for port in inputs.ports if port.partition("/")[0] == protocol]
        rules.append(f"{protocol} dport {{ {', '.join(ports)} }} accept")
    return rules


def _render_translated(policy: _Policy) -> list[str]:
    """Return the rules for a metadata service that a rule of others translates to another address."""
    if METADATA not in policy.presets:
        return []
    return [f"ct original {family} daddr @{METADATA}{v} goto deny_{METADATA}" for family, v in (("ip", 4), ("ip6", 6))]


def _render_allowed(policy: _Policy, inputs: Inputs) -> list[str]:
    rules = [f"{family} daddr @nameservers{v} meta l4proto {{ tcp, udp }} th dport 53 accept" for family, v in (("ip", 4), ("ip6", 6))]
    for allowed in policy.allow:
        addresses = inputs.names.get(allowed.to, []) if allowed.is_name else [allowed.to]
        for family, version in (("ip", 4), ("ip6", 6)):
            if chosen := _select_version(addresses, version):
                rules.append(f"{family} daddr {{ {', '.join(chosen)} }} {_render_ports(allowed)}accept")
    return list(dict.fromkeys(rules))


def _render_ports(allowed: Allowed) -> str:
    if not allowed.ports:
        return f"meta l4proto {allowed.protocol} " if allowed.protocol else ""
    merged = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in _merge_ranges(allowed.ports))
    return f"{allowed.protocol} dport {{ {merged} }} "


def _merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return sorted ranges without overlaps, which nft rejects."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def _select_version(addresses: Iterable[str], version: int) -> list[str]:
    """Return the addresses and ranges of IPv4 or IPv6, merged and sorted: nft rejects overlaps."""
    networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
    chosen = ipaddress.collapse_addresses(network for network in networks if network.version == version)  # type: ignore[type-var]
    return [str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network) for network in chosen]


def _quote(names: Iterable[str]) -> str:
    return f"{{ {', '.join(json.dumps(name) for name in dict.fromkeys(names))} }}"


def choose_policy(settings: EgressSettings, inputs: Inputs, bridge: str) -> tuple[str, tuple[str, ...], tuple[Allowed, ...]]:
    """Return label, presets and allowed destinations of a bridge."""
    for entry in settings.entries:
        if bridge in inputs.bridges.get(entry.label, ()):
            return entry.label, entry.presets, (*entry.allow, *settings.allow)
    return "all networks", settings.presets, settings.allow


def find_denial(
    settings: EgressSettings, inputs: Inputs, connection: Mapping[str, Any], bridge: str, local: bool, among_containers: bool
) -> str:
    """Return the preset that denies a connection of a container; empty if it is allowed. local: it goes to the host itself."""
    _label, presets, allow = choose_policy(settings, inputs, bridge)
    if among_containers:
        return ""
    destination, port, protocol = connection["destination"], connection["port"], connection["protocol"]
    if destination in inputs.nameservers and port == 53 and protocol in ("tcp", "udp"):
        return ""
    if any(_is_allowed(allowed, inputs, destination, protocol, port) for allowed in allow):
        return ""
    if METADATA in presets and (_is_within(destination, RANGES[METADATA]) or _is_within(connection["asked"], RANGES[METADATA])):
        return METADATA
    if PRIVATE in presets and not local and _is_within(destination, RANGES[PRIVATE]):
        return PRIVATE
    if LISTED in presets and not (HOST in presets and local and f"{protocol}/{port}" in inputs.ports):
        return LISTED
    return HOST if HOST in presets and local and f"{protocol}/{port}" not in inputs.ports else ""


def is_metadata(address: str) -> bool:
    """Return whether preset `metadata` denies an address."""
    return _is_within(address, RANGES[METADATA])


def _is_allowed(allowed: Allowed, inputs: Inputs, destination: str, protocol: str, port: int) -> bool:
    addresses = inputs.names.get(allowed.to, []) if allowed.is_name else [allowed.to]
    return (
        _is_within(destination, addresses)
        and allowed.protocol in ("", protocol)
        and (not allowed.ports or any(first <= port <= last for first, last in allowed.ports))
    )


def _is_within(address: str, ranges: Iterable[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(each, strict=False) for each in ranges)
