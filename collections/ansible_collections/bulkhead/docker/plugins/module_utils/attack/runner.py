# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside a container with the host's Python: runs each attack in its own process and prints the result.

Prints one JSON object per line: first `confinement`, then one per attack, then `done`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import attacks_host, attacks_kernel
from .calls import Blocked, NotPrepared, name_errno, name_process, numbers, preparation

ENVIRONMENT = "BULKHEAD_ATTACK"
modules: list[Any] = [attacks_host, attacks_kernel]


def main() -> None:
    """Run what the environment variable sets: `attacks`, `numbers`, `preparation`, `limit` (seconds per attack), `mark` (prefix of process names)."""
    setup = json.loads(os.environ[ENVIRONMENT])
    numbers.update(setup["numbers"])
    preparation.update(setup["preparation"])
    preparation["never"], unused = os.pipe()
    print_record({"confinement": read_confinement()})
    for position, name in enumerate(setup["attacks"]):
        print_record(run_attack(name, f"{setup['mark']}{position:02d}", setup["limit"]))
    print_record({"done": True})


def print_record(record: dict[str, Any]) -> None:
    os.write(1, json.dumps(record).encode() + b"\n")


def get_attack(name: str) -> Callable[[], str]:
    function: Callable[[], str] = next(getattr(module, name) for module in modules if hasattr(module, name))
    return function


def run_attack(name: str, comm: str, limit: float) -> dict[str, Any]:
    """Run one attack in its own process, which is killed after `limit` seconds, and return the result."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setpgid(0, 0)
        os.write(writer, json.dumps(_attempt(name, comm)).encode())
        os._exit(0)
    os.close(writer)
    raw, deadline = b"", time.monotonic() + limit
    while True:
        ready = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]
        chunk = os.read(reader, 4096) if ready else b""
        raw += chunk
        if not chunk:
            break
    os.close(reader)
    ended = _reap(child, timed_out=not ready)
    if raw:
        return {"attack": name, "comm": comm, **json.loads(raw)}
    if not ready:
        return {"attack": name, "comm": comm, "outcome": "unknown", "detail": f"did not end within {limit:.0f} s"}
    return {"attack": name, "comm": comm, "outcome": "blocked", "step": "killed", "detail": f"its process was ended by signal {-ended}"}


def _attempt(name: str, comm: str) -> dict[str, Any]:
    try:
        name_process(comm)
        return {"outcome": "succeeded", "detail": get_attack(name)()}
    except Blocked as blocked:
        detail = os.strerror(blocked.number) if blocked.number else ""
        return {"outcome": "blocked", "step": blocked.step, "errno": name_errno(blocked.number), "detail": detail}
    except NotPrepared as reason:
        return {"outcome": "unknown", "detail": str(reason)}
    except Exception as error:  # a bug of the runner must not count as stopped by a layer
        return {"outcome": "unknown", "detail": f"{type(error).__name__}: {error}"}


def _reap(child: int, timed_out: bool) -> int:
    """Return the exit code of the attack once all its processes ended. As process 1, the runner inherits its orphans."""
    if timed_out:
        for target in (-child, child):
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(-child, signal.SIGKILL)
        while os.waitpid(-1, 0):
            pass
    return code


def read_confinement() -> dict[str, Any]:
    """Return the kernel's evidence of which layers confine the runner."""
    found: dict[str, Any] = {}
    with open("/proc/self/status") as status:
        for line in status:
            key, unused, value = line.partition(":")
            if key in ("Uid", "CapBnd", "CapEff", "NoNewPrivs", "Seccomp"):
                found[key] = value.split()[0]
    found["label"] = _read_file("/proc/self/attr/current").strip("\0\n")
    found["uid_map"] = " ".join(_read_file("/proc/self/uid_map").split())
    found["user_namespace"] = _read_namespace()
    mounts = [line.split() for line in _read_file("/proc/self/mountinfo").splitlines()]
    found["root_read_only"] = next(("ro" in m[5].split(",") for m in reversed(mounts) if m[4] == "/"), None)
    found["masked"] = sum(m[4].startswith("/proc/") for m in mounts)
    return found


def _read_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/user")
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _read_file(path: str) -> str:
    try:
        with open(path) as handle:
            return handle.read()
    except OSError as error:
        return f"unreadable: {error.strerror}"
