# SPDX-License-Identifier: GPL-3.0-or-later
"""The intruder: runs inside a container with the host's own Python, plays each attack in a process of its own, and says what came of it.

One JSON object a line on standard output: `confinement` first, then one an attack, then `done`.
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
from .calls import Blocked, NotPrepared, errno_name, ground, name_process, numbers

ENVIRONMENT = "BULKHEAD_ATTACK"


def main() -> None:
    """Play what the environment variable names: `attacks`, `numbers`, `ground`, `limit` (seconds an attack), `mark` (how the names of its processes begin)."""
    setup = json.loads(os.environ[ENVIRONMENT])
    numbers.update(setup["numbers"])
    ground.update(setup["ground"])
    ground["never"], unused = os.pipe()
    say({"confinement": confinement()})
    for position, name in enumerate(setup["attacks"]):
        say(play(name, f"{setup['mark']}{position:02d}", setup["limit"]))
    say({"done": True})


def say(record: dict[str, Any]) -> None:
    os.write(1, json.dumps(record).encode() + b"\n")


def move(name: str) -> Callable[[], str]:
    function: Callable[[], str] = getattr(attacks_host, name, None) or getattr(attacks_kernel, name)
    return function


def play(name: str, comm: str, limit: float) -> dict[str, Any]:
    """One attack in a process of its own, ended after `limit` seconds."""
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
        return {"attack": name, "comm": comm, "outcome": "unknown", "detail": f"no end within {limit:.0f} s"}
    return {"attack": name, "comm": comm, "outcome": "blocked", "step": "killed", "detail": f"its process was ended by signal {-ended}"}


def _attempt(name: str, comm: str) -> dict[str, Any]:
    try:
        name_process(comm)
        return {"outcome": "succeeded", "detail": move(name)()}
    except Blocked as blocked:
        detail = os.strerror(blocked.number) if blocked.number else ""
        return {"outcome": "blocked", "step": blocked.step, "errno": errno_name(blocked.number), "detail": detail}
    except NotPrepared as reason:
        return {"outcome": "unknown", "detail": str(reason)}
    except Exception as error:  # the player's own mistake is no layer's merit
        return {"outcome": "unknown", "detail": f"{type(error).__name__}: {error}"}


def _reap(child: int, timed_out: bool) -> int:
    """The attack's exit code, once it and all that it started are gone. As process 1, the player inherits what an attack leaves."""
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


def confinement() -> dict[str, Any]:
    """What the kernel says of the player itself, so that nobody has to believe that a layer was on or off."""
    found: dict[str, Any] = {}
    with open("/proc/self/status") as status:
        for line in status:
            key, unused, value = line.partition(":")
            if key in ("Uid", "CapBnd", "CapEff", "NoNewPrivs", "Seccomp"):
                found[key] = value.split()[0]
    found["label"] = _read("/proc/self/attr/current").strip("\0\n")
    found["uid_map"] = " ".join(_read("/proc/self/uid_map").split())
    mounts = [line.split() for line in _read("/proc/self/mountinfo").splitlines()]
    found["root_read_only"] = next(("ro" in m[5].split(",") for m in reversed(mounts) if m[4] == "/"), None)
    found["masked"] = sum(m[4].startswith("/proc/") for m in mounts)
    return found


def _read(path: str) -> str:
    try:
        with open(path) as handle:
            return handle.read()
    except OSError as error:
        return f"unreadable: {error.strerror}"
