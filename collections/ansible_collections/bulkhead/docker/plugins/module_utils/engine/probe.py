# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: a container without any security option, whose confinement is the default of the host.

A second one can run at the same time, with the engine's built-in seccomp profile instead of the daemon-wide one.

It exists for a `with` block. If the run is killed, it ends by itself after LIFETIME seconds, and the next run removes it (temporary.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..host.root import Host
from .api import Engine, EngineError
from .containers import read_container
from .inspection import inspect_container
from .probe_image import build_image, find_program
from .probe_program import NAME, build_executable
from .processes import read_command
from .temporary import create_temporary, import_image, remove_container

LIFETIME = 180
START_TIMEOUT = 30.0


class ProbeFailed(Exception):
    """The probe could not be started; the message has the reason."""


@contextmanager
def start_probe(host: Host, engine: Engine, info: Mapping[str, Any], builtin: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the evidence on a running probe; remove container and image at the end. info: the engine's `/info`.

    builtin: also start one with `seccomp=builtin`, whose evidence, or `error`, is under `builtin`.
    Raises ProbeFailed, EngineError, EngineUnreachable, OSError.
    """
    with create_temporary(host, engine, "bulkhead-probe", ("", "-builtin") if builtin else ("",)) as record:
        probes = None
        try:
            archive, command = build_probe_image(os.uname().machine)
            probes = _Probes(host, engine, info, import_image(host, engine, record, archive), command)
            evidence = probes.start(record.containers[0])
            if builtin:
                try:
                    found = probes.start(record.containers[1], "seccomp=builtin")
                    evidence["builtin"] = {key: found[key] for key in ("id", "pid", "kernel", "error")}
                except (ProbeFailed, EngineError) as error:
                    evidence["builtin"] = {"error": str(error)}
            yield evidence
        except FileNotFoundError as error:
            raise ProbeFailed(str(error)) from error
        except ValueError as error:
            raise ProbeFailed(f"the engine does not import the image of the probe: {error}") from error
        except EngineError as error:
            raise ProbeFailed(f"the engine does not start a container without any security option: {error.message}") from error
        finally:
            for container in probes.created if probes else ():
                remove_container(engine, container)


def build_probe_image(machine: str) -> tuple[bytes, list[str]]:
    """Return the image (tar) and the command of a probe: our program, or the host's `sleep` on a machine for which there is none.

    machine: as `uname -m` names it. Raises FileNotFoundError.
    """
    content = build_executable(machine, LIFETIME)
    if content:
        return build_image([], made={f"/{NAME}": (content, 0o755)}), [f"/{NAME}"]
    return build_image(["sleep"]), [find_program("sleep"), str(LIFETIME)]


@dataclass
class _Probes:
    """Starts probes of one image. created: the IDs of their containers."""

    host: Host
    engine: Engine
    info: Mapping[str, Any]
    image: str
    command: list[str]
    created: list[str] = field(default_factory=list)

    def start(self, name: str, *options: str) -> dict[str, Any]:
        """Start a container with these security options and return the evidence on it. Raises ProbeFailed, EngineError, EngineUnreachable."""
        body = {
            "Image": self.image,
            "Cmd": self.command,
            # None of these is a security setting; the probe needs neither network nor log. Without a network the engine does not
            # start itself again to set one up (moby daemon/oci_linux.go, WithLibnetwork), which is a third of the start.
            "NetworkDisabled": True,
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}, "AutoRemove": True, "SecurityOpt": options},
        }
        container = self.engine.post("/containers/create", body, name=name)["Id"]
        self.created.append(container)
        self.engine.post(f"/containers/{container}/start")
        return self._wait(container)

    def _wait(self, container: str) -> dict[str, Any]:
        """Return the evidence once the probe's program runs: until then the process is runc's init, without its seccomp filter."""
        deadline, program = time.monotonic() + START_TIMEOUT, os.path.basename(self.command[0])
        while time.monotonic() < deadline:
            inspect = inspect_container(self.engine, container)
            if inspect and read_command(self.host, inspect["State"]["Pid"]) == program:
                evidence = read_container(self.host, self.engine, inspect, self.info)
                if evidence:
                    evidence.pop("host_mountinfo", None)  # its exposures are not judged
                    return evidence
            time.sleep(0.05)
        raise ProbeFailed(f"the program of the probe does not run after {START_TIMEOUT:.0f} s; see the journal of the engine")
