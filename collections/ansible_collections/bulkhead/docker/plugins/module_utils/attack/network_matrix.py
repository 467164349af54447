# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the attacks over the network in one container per column, one after the other, and removes all that they need.

The containers of `none` and `egress` differ in one thing: the rules do not match the bridge of the first one, whose name does not begin with `br-`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..audit.egress import parse_connection
from ..engine.api import Engine, EngineError, EngineUnreachable
from ..engine.records import Temporary
from ..engine.temporary import create_temporary, import_image, remove_container
from ..host.egress import find_nft
from ..host.namespaces import ProbeError
from ..host.root import Host
from . import attacks_network, configurations, network_runner
from .image import build_archive, build_command
from .network_catalog import BASELINE, COLUMNS, LAYER, NAMES
from .network_rows import Result, build_rows
from .network_setup import METADATA, PORT, Targets, is_loaded, open_host_service, prepare_targets, watch_packets
from .run import parse_log
from .runner import ENVIRONMENT

_NAMED = "com.docker.network.bridge.name"
_UNMATCHED = "bulkhead-n2"
_DEFAULT = "bridge"
_SECONDS = 30  # per attack
_NEIGHBOUR = "-neighbour"
_KMSG = "/dev/kmsg"


@dataclass(frozen=True)
class _Network:
    """name: of the engine. gateway: the host's address there. network: its addresses."""

    name: str
    bridge: str
    gateway: str
    network: str


def run_network_attacks(
    host: Host, engine: Engine, hardened: Mapping[str, Any], only: Iterable[str] | None, report: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Return the rows and columns as the module returns them. hardened: settings of role hardened_container. only: columns besides the baseline.

    Raises EngineError, EngineUnreachable, OSError; ValueError if the engine does not import the image.
    """
    began, nft = time.monotonic(), find_nft(host)
    columns = [name for name in COLUMNS if only is None or name in only or name in (BASELINE, LAYER)]
    settings = _choose_settings(host, columns, hardened)
    suffixes = [*(f"-{name}" for name in columns), _NEIGHBOUR]
    with create_temporary(host, engine, "bulkhead-network", suffixes, [f"-{BASELINE}", f"-{LAYER}"]) as record:
        import_image(host, engine, record, build_archive(attacks_network, network_runner))
        with prepare_targets() as targets:
            networks = _create_networks(engine, record, columns)
            used = list({network.name: network for network in networks.values()}.values())
            neighbour = ""
            try:
                neighbour, addresses = _start_neighbour(engine, record, used)
                with open_host_service(dict.fromkeys(network.gateway for network in used)) as port:
                    results = {}
                    for name in columns:
                        network = networks[name]
                        setup = _build_preparation(name, network, targets, port, addresses)
                        results[name] = _run_column(engine, record, name, settings[name], network, setup, targets, nft)
                        report(name)
            finally:
                if neighbour:
                    remove_container(engine, neighbour)
            note = targets.metadata
    return {**build_rows(columns, results, is_loaded(nft), note), "seconds": round(time.monotonic() - began, 1)}


def _create_networks(engine: Engine, record: Temporary, columns: Sequence[str]) -> dict[str, _Network]:
    """Return column -> its network. Two are made; the default network exists."""
    found = {}
    for suffix, options in ((BASELINE, {_NAMED: _UNMATCHED}), (LAYER, {})):
        name = f"{record.name}-{suffix}"
        engine.post("/networks/create", {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Options": options})
        found[suffix] = _describe_network(engine, name)
    for column in (column for column in columns if column not in found):
        found[column] = _describe_network(engine, _DEFAULT)
    return found


def _describe_network(engine: Engine, name: str) -> _Network:
    """Return a network of the engine. Raises EngineError, ProbeError."""
    entry = engine.get(f"/networks/{name}")
    bridge = (entry.get("Options") or {}).get(_NAMED) or f"br-{entry['Id'][:12]}"
    for config in (entry.get("IPAM") or {}).get("Config") or ():
        with suppress(ValueError, KeyError):
            network = ipaddress.IPv4Network(config["Subnet"])
            return _Network(name, bridge, str(config.get("Gateway") or network[1]).partition("/")[0], str(network))
    raise ProbeError(f"network {name} has no IPv4 addresses")


def _start_neighbour(engine: Engine, record: Temporary, networks: Sequence[_Network]) -> tuple[str, dict[str, str]]:
    """Start a container that listens in each network. Return its ID, and network -> its address."""
    seconds = len(record.containers) * len(NAMES) * _SECONDS
    request = {
        "Image": record.image,
        "Cmd": build_command("network_runner.listen"),
        "Env": [f"PORT={PORT}", f"SECONDS={seconds}"],
        "HostConfig": {"NetworkMode": networks[0].name, **configurations.BOUNDS},
    }
    container = str(engine.post("/containers/create", request, name=f"{record.name}{_NEIGHBOUR}")["Id"])
    try:
        for network in networks[1:]:
            engine.post(f"/networks/{network.name}/connect", {"Container": container})
        engine.post(f"/containers/{container}/start")
        joined = engine.get(f"/containers/{container}/json")["NetworkSettings"]["Networks"]
        return container, {network.name: str(joined[network.name].get("IPAddress") or "") for network in networks}
    except (EngineError, EngineUnreachable, LookupError):
        remove_container(engine, container)
        raise


def _choose_settings(host: Host, columns: Sequence[str], hardened: Mapping[str, Any]) -> dict[str, configurations.AttackConfiguration]:
    """Return column -> the settings of its container. In `none` and `egress`, all layers are off that a container can switch off."""
    path = str(hardened.get("seccomp_profile") or "")
    seccomp = host.read(path) if path else ""
    lacking = f"{path}: this seccomp profile does not exist on this host" if seccomp is None else ""
    stacked = configurations.get_role_settings(hardened, seccomp or "")
    found = {each.name: each for each in configurations.build_for_host(stacked, 0, None, lacking)}
    return {column: found[BASELINE if column == LAYER else column] for column in columns}


def _build_preparation(column: str, network: _Network, targets: Targets, port: int, neighbours: Mapping[str, str]) -> dict[str, Any]:
    return {
        "metadata": METADATA,
        "gateway": network.gateway,
        "host_port": port,
        "private": targets.private,
        "port": PORT,
        "neighbour": neighbours[network.name],
        "forged": choose_forged_address(network.network, (network.gateway, neighbours[network.name])),
        "token": column,
    }


def choose_forged_address(network: str, taken: Iterable[str]) -> str:
    """Return the last address of a network that is not in `taken`."""
    whole = ipaddress.IPv4Network(network)
    return next(address for offset in range(2, 100) if (address := str(whole[-offset])) not in set(taken))


def _run_column(
    engine: Engine,
    record: Temporary,
    column: str,
    settings: configurations.AttackConfiguration,
    network: _Network,
    preparation: Mapping[str, Any],
    targets: Targets,
    nft: str | None,
) -> Result:
    """Return what one container reported, which packets the rules let pass, and what the kernel logged of it."""
    if settings.unavailable:
        return Result(error=settings.unavailable)
    setup = {"attacks": list(NAMES), "numbers": {}, "preparation": preparation, "limit": _SECONDS, "mark": "bulknet"}
    request = {
        "Image": record.image,
        "Cmd": build_command("network_runner.main"),
        "User": settings.user,
        "Env": [f"{ENVIRONMENT}={json.dumps(setup)}"],
        "HostConfig": {
            "NetworkMode": network.name,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            **settings.host_config,
        },
    }
    connections = {
        "metadata_service": (METADATA, "tcp", 80),
        "host_service": (network.gateway, "tcp", preparation["host_port"]),
        "other_network": (targets.private, "tcp", PORT),
        "raw_spoof": (targets.private, "udp", PORT),
        "dns_tunnel": ("", "udp", 53),
    }
    began, container, records, error = time.monotonic(), "", [], ""
    log = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(log, 0, os.SEEK_END)
        with watch_packets(nft, network.bridge, connections) as packets:
            container = str(engine.post("/containers/create", request, name=f"{record.name}-{column}")["Id"])
            engine.post(f"/containers/{container}/start")
            with suppress(EngineUnreachable):  # timeout: what there is until then counts
                engine.post(f"/containers/{container}/wait")
            records = parse_log(engine.read(f"/containers/{container}/logs", stdout=True, stderr=True))
        lines = _read_lines(log)
    except (EngineError, EngineUnreachable) as problem:
        error, packets, lines = str(problem), {}, []
    finally:
        os.close(log)
        if container:
            remove_container(engine, container)
    arrived = column in targets.list_received()
    return Result(container, records, error, arrived, packets, connections, lines, network.bridge, round(time.monotonic() - began, 1))


def _read_lines(log: int) -> list[dict[str, str]]:
    """Return the fields of the denied connections in the kernel's log since the last reading (Documentation/ABI/testing/dev-kmsg)."""
    found: list[dict[str, str]] = []
    while True:
        try:
            text = os.read(log, 8192).decode("utf-8", "replace")
        except BlockingIOError:
            return found
        except OSError:  # EPIPE: messages were overwritten
            continue
        if fields := parse_connection(text.partition(";")[2].partition("\n")[0]):
            found.append(fields)
