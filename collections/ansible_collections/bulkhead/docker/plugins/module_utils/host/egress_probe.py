# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries what the egress rules deny and allow, from where the packets of containers come: a bridge of the engine, or the user of a rootless engine.

Processes of its own listen and connect, in network namespaces that end with them, and the devices and routes of the host end with the namespaces. They end
with this process, even if it is killed (man 2 prctl, PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

# The host's own end, and the one outside. Documentation addresses (RFC 5737), of which no network is.
HOST_END, OUTSIDE = "192.0.2.253", "192.0.2.254"
PORT = 17
_NETWORK = 30
_BRIDGE = "docker0"
_DEVICES = ("bulkhead-p0", "bulkhead-p1", "bulkhead-p2", "bulkhead-p3")  # host and outside, bridge and source
_TIMEOUT = 3.0
_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_libc = ctypes.CDLL(None, use_errno=True)


class ProbeError(OSError):
    """Nothing could be tried."""


def run_probe(addresses: Iterable[str], taken: Collection[str], uid: int | None) -> dict[str, bool]:
    """Return address -> whether it was reached. taken: addresses of containers. uid: the user of a rootless engine. Raises OSError."""
    tried = list(addresses)
    with ExitStack() as stack:
        outside = stack.enter_context(_start_process(_listen_outside))
        _run_ip("link", "add", _DEVICES[0], "type", "veth", "peer", "name", _DEVICES[1], "netns", str(outside.pid))
        _run_ip("address", "add", f"{HOST_END}/{_NETWORK}", "dev", _DEVICES[0])
        _run_ip("link", "set", _DEVICES[0], "up")
        outside.tell({"addresses": [address for address in tried if address != HOST_END]})
        outside.ask()
        for address in tried:
            if address not in (HOST_END, OUTSIDE):
                _run_ip("route", "add", address, "via", OUTSIDE)
        listener = stack.enter_context(socket.create_server((HOST_END, PORT)))
        listener.settimeout(_TIMEOUT)
        source = stack.enter_context(_start_process(_connect_as_user if uid is not None else _connect_from_bridge))
        order: dict[str, Any] = {"addresses": tried, "uid": uid}
        if uid is None:
            order |= _choose_source(taken)
            _run_ip("link", "add", _DEVICES[2], "type", "veth", "peer", "name", _DEVICES[3], "netns", str(source.pid))
            _run_ip("link", "set", _DEVICES[2], "master", _BRIDGE, "up")
        source.tell(order)
        return dict(source.ask())


def _choose_source(taken: Collection[str]) -> dict[str, Any]:
    """Return gateway, and the last address of the bridge's network that no container has, with the length of its prefix. Raises ProbeError."""
    found = json.loads(_run_ip("-j", "-4", "address", "show", "dev", _BRIDGE))
    info = next((each for entry in found for each in entry.get("addr_info", ()) if each.get("scope") == "global"), None)
    if info is None:
        raise ProbeError(f"{_BRIDGE} has no address")
    network = ipaddress.ip_network(f"{info['local']}/{info['prefixlen']}", strict=False)
    for offset in range(2, min(network.num_addresses, 200)):
        address = str(network[-offset])
        if address != info["local"] and address not in taken:
            return {"gateway": info["local"], "own": f"{address}/{info['prefixlen']}"}
    raise ProbeError(f"{_BRIDGE} has no free address")


class _Process:
    """A process of the probe. It waits for one order, and answers once or twice with JSON lines."""

    def __init__(self, pid: int, orders: int, answers: int) -> None:
        self.pid, self._orders, self._answers = pid, orders, os.fdopen(answers, encoding="utf-8")

    def tell(self, order: dict[str, Any]) -> None:
        os.write(self._orders, json.dumps(order).encode() + b"\n")

    def ask(self) -> Any:
        line = self._answers.readline()
        answer = json.loads(line) if line else {"error": "a process of the probe ended"}
        if isinstance(answer, dict) and "error" in answer:
            raise ProbeError(answer["error"])
        return answer

    def end(self) -> None:
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(OSError):
            os.waitpid(self.pid, 0)
        os.close(self._orders)
        self._answers.close()


@contextmanager
def _start_process(work: Callable[[dict[str, Any], Callable[[Any], None]], None]) -> Iterator[_Process]:
    """Run `work` in a process of its own, in an empty network namespace unless it is to stay in the host's."""
    (order_end, orders), (answers, answer_end) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders)
        os.close(answers)
        _run_child(work, order_end, answer_end)
    os.close(order_end)
    os.close(answer_end)
    process = _Process(pid, orders, answers)
    try:
        process.ask()
        yield process
    finally:
        process.end()


def _run_child(work: Callable[[dict[str, Any], Callable[[Any], None]], None], orders: int, answers: int) -> None:
    """Run in the child, and never return."""

    def answer(content: Any) -> None:
        os.write(answers, json.dumps(content).encode() + b"\n")

    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if work is not _connect_as_user and _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        answer(True)
        with os.fdopen(orders, encoding="utf-8") as handle:
            line = handle.readline()
            if line:
                work(json.loads(line), answer)
    except BaseException as error:
        with suppress(OSError):
            answer({"error": str(error)})
    finally:
        os._exit(0)


def _listen_outside(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    """Listen on the addresses until the process is ended."""
    _run_ip("link", "set", "lo", "up")
    for address in order["addresses"]:
        _run_ip("address", "add", f"{address}/{_NETWORK if address == OUTSIDE else 32}", "dev", _DEVICES[1])
    if OUTSIDE not in order["addresses"]:
        _run_ip("address", "add", f"{OUTSIDE}/{_NETWORK}", "dev", _DEVICES[1])
    _run_ip("link", "set", _DEVICES[1], "up")
    _run_ip("route", "add", "default", "via", HOST_END)
    listener = socket.create_server(("0.0.0.0", PORT))
    answer(True)
    while True:
        listener.accept()[0].close()


def _connect_from_bridge(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    _run_ip("link", "set", "lo", "up")
    _run_ip("address", "add", order["own"], "dev", _DEVICES[3])
    _run_ip("link", "set", _DEVICES[3], "up")
    _run_ip("route", "add", "default", "via", order["gateway"])
    answer(_connect(order["addresses"]))


def _connect_as_user(order: dict[str, Any], answer: Callable[[Any], None]) -> None:
    os.setgroups([])
    os.setgid(order["uid"])
    os.setuid(order["uid"])
    answer(_connect(order["addresses"]))


def _connect(addresses: Iterable[str]) -> dict[str, bool]:
    found = {}
    for address in addresses:
        with socket.socket() as link:
            link.settimeout(_TIMEOUT)
            found[address] = not link.connect_ex((address, PORT))
    return found


def _run_ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProbeError(f"ip {' '.join(arguments)}: {error}") from error
    if done.returncode:
        raise ProbeError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout
