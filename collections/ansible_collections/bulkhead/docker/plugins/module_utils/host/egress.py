# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the egress rules of a host: Bulkhead's files, the kernel's table, and what the file gives in an empty network namespace. Reads only."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from .root import STATE_DIR, Host

TABLE = "bulkhead_egress"
RULES = f"{STATE_DIR}/egress.nft"
UNIT_NAME = "bulkhead-egress.service"
UNITS = "/etc/systemd/system"
UNIT = f"{UNITS}/{UNIT_NAME}"
# Debian's /etc/nftables.conf removes all tables (`flush ruleset`): when nftables.service starts, reloads and stops.
DROP_IN = f"{UNITS}/nftables.service.d/10-bulkhead-egress.conf"
FILES = (RULES, UNIT, DROP_IN)
WANTED_BY = ("docker.service", "multi-user.target")
# Sets of the stage `log`: what containers used and the rules do not allow. 4 and 6 follow.
USED = "used"
MAX_USED = 65535
LOG_RATE = "log_rate"  # sets of the addresses whose denied connections were logged lately
# To which packets add elements. nft 1.0.6 shows their flag `dynamic` as text, and not in JSON.
_DYNAMIC = tuple(f"{name}{version}" for name in (LOG_RATE, USED) for version in (4, 6))
_ADDED = ("elem", "count")  # what then differs; nft 1.1.7 shows the number of elements
SHOW = f"nft list table inet {TABLE}"
_NFT = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft")
_TIMEOUT = 60
_MISSING = "No such file or directory"


class NftError(OSError):
    """nft failed. Its message is the text."""


def find_nft(host: Host) -> str | None:
    """Return the path of nft; None if the package nftables is not installed."""
    return next((path for path in _NFT if os.access(host.path(path), os.X_OK)), None)


def run_nft(nft: str, *arguments: str, text: str | None = None) -> str:
    """Return the output of nft. text: read by it as a file. Raises NftError."""
    return _run([nft, *arguments], text)


def _run(command: list[str], text: str | None) -> str:
    try:
        done = subprocess.run(command, input=text or "", capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(str(error)) from error
    if done.returncode:
        raise NftError(" ".join((done.stderr.strip() or f"exit code {done.returncode}").split()))
    return done.stdout


def observe_rules(host: Host) -> dict[str, Any]:
    """Return the files, the table, and how nft and the kernel show the file's table.

    nft: path; None if it is missing. texts: of FILES. started_by: the units that start UNIT. table: objects of the kernel's table, None without
    one. form: those of the file. counters: name -> packets. used: read_used. problems: what could not be read, by name of the part.
    others: list_others.
    """
    nft = find_nft(host)
    found: dict[str, Any] = {
        "nft": nft,
        "texts": [host.read(path) for path in FILES],
        "started_by": [unit for unit in WANTED_BY if os.path.lexists(host.path(f"{UNITS}/{unit}.wants/{UNIT_NAME}"))],
        "table": None,
        "form": None,
        "counters": {},
        "used": [],
        "others": [],
        "problems": {},
    }
    if nft is None:
        return found
    try:
        listing = read_table(run_nft(nft, "-j", "list", "table", "inet", TABLE))
        found["table"], found["counters"], found["used"] = normalise_table(listing), read_counters(listing), read_used(listing)
    except (NftError, ValueError) as error:
        if _MISSING not in str(error):
            found["problems"]["table"] = str(error)
    if found["texts"][0]:
        try:
            found["form"] = normalise_table(read_table(_list_apart(nft, found["texts"][0])))
        except (NftError, ValueError) as error:
            found["problems"]["form"] = str(error)
    try:
        found["others"] = list_others(read_table(run_nft(nft, "-j", "-s", "list", "ruleset")))
    except (NftError, ValueError) as error:
        found["problems"]["others"] = str(error)
    return found


def _list_apart(nft: str, text: str) -> str:
    """Return the listing of a file's table, loaded into an empty network namespace that ends with the command. Raises NftError."""
    return _run(["unshare", "--net", "sh", "-c", f"{nft} -f - && exec {nft} -j list table inet {TABLE}"], text)


def read_table(output: str) -> list[dict[str, Any]]:
    """Return the objects of nft's JSON (man 5 libnftables-json). Raises ValueError."""
    found = json.loads(output)
    if not isinstance(found, dict) or not isinstance(found.get("nftables"), list):
        raise ValueError("the answer of nft is not understood")
    return [item for item in found["nftables"] if "metainfo" not in item]


def read_counters(listing: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return name -> packets of the named counters."""
    return {item["counter"]["name"]: item["counter"].get("packets", 0) for item in listing if "counter" in item}


def read_used(listing: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what containers used in the stage `log`, with bridge (empty for a rootless engine), destination, protocol and port."""
    found = []
    for item in listing:
        if item.get("set", {}).get("name") not in (f"{USED}4", f"{USED}6"):
            continue
        for element in item["set"].get("elem", ()):
            *bridge, destination, protocol, port = element["concat"]
            found.append({"bridge": "".join(bridge), "destination": destination, "protocol": protocol, "port": port})
    return found


def normalise_table(listing: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the objects without what differs between two loads: handles, counts, the order of sets, and elements that packets add."""
    found = []
    for item in listing:
        ((kind, content),) = item.items()
        kept = {key: value for key, value in content.items() if key not in ("handle", "packets", "bytes")}
        if kind == "set" and kept["name"] in _DYNAMIC:
            for key in _ADDED:
                kept.pop(key, None)
        found.append({kind: _sort_sets(kept)})
    return found


def _sort_sets(value: Any) -> Any:
    """Return JSON data with the elements of sets and flags in order: the kernel hashes them by a random number."""
    if isinstance(value, Mapping):
        ordered = {}
        for key, item in value.items():
            changed = _sort_sets(item)
            if key in ("set", "elem", "flags") and isinstance(changed, list):
                changed = sorted(changed, key=lambda each: json.dumps(each, sort_keys=True))
            ordered[key] = changed
        return ordered
    return [_sort_sets(item) for item in value] if isinstance(value, list) else value


def list_others(listing: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what of other tables can carry packets past the hooks `forward` and `input`: flow tables, and rules that forward at a device."""
    found: list[dict[str, Any]] = []
    for item in listing:
        ((kind, content),) = item.items()
        if content.get("table") == TABLE or content.get("name") == TABLE:
            continue
        place = f"{content.get('family')} {content.get('table')}"
        if kind == "flowtable":
            devices = content.get("dev") or []
            found.append(
                {
                    "kind": "flowtable",
                    "place": f"{place} {content.get('name')}",
                    "devices": [devices] if isinstance(devices, str) else devices,
                }
            )
        elif kind == "rule" and content.get("family") == "netdev" and any("fwd" in part for part in content.get("expr", ())):
            found.append({"kind": "fwd", "place": f"{place} {content.get('chain')}", "devices": []})
    return found


def resolve_names(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return name -> addresses, as this host resolves it now, and error, empty if it is resolved."""
    found = {}
    for name in names:
        try:
            addresses = sorted({entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
            found[name] = {"addresses": addresses, "error": ""}
        except (OSError, UnicodeError) as error:
            found[name] = {"addresses": [], "error": str(getattr(error, "strerror", None) or error)}
    return found


def read_nameservers(host: Host) -> list[str]:
    """Return the nameservers that the engine gives to containers: those of the host, and behind systemd-resolved's stub its own.

    moby libnetwork/resolvconf: a resolv.conf with 127.0.0.53 alone is replaced by /run/systemd/resolve/resolv.conf.
    """
    found = _parse_nameservers(host.read("/etc/resolv.conf") or "")
    if found == ["127.0.0.53"]:
        found = _parse_nameservers(host.read("/run/systemd/resolve/resolv.conf") or "")
    return sorted({address for address in found if not address.startswith("127.") and address != "::1"})


def _parse_nameservers(text: str) -> list[str]:
    rows = [line.split() for line in text.splitlines()]
    return [row[1].partition("%")[0] for row in rows if len(row) > 1 and row[0] == "nameserver"]
