# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: a container that asks for nothing, so that what the kernel does to it is what the host does by default.

It lives for the length of a `with` block. Should the run that owns it be killed, the container ends by itself after LIFETIME
seconds, and the next run clears what is left (throwaway.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..host.root import Host
from .api import Engine, EngineError
from .containers import PROBE_LABEL, read_container, get_first_pid
from .probe_image import build_image, find_program
from .processes import read_command
from .temporary import remove_leftovers, identify_process, import_image, remove_temporary

PROGRAM = "sleep"
LIFETIME = 180
START_TIMEOUT = 30.0


class ProbeFailed(Exception):
    """No probe could be started; the message is the engine's."""


@contextmanager
def start_probe(host: Host, engine: Engine) -> Iterator[dict[str, Any]]:
    """A running probe, as `evidence` holds a container. Whatever happens, container and image are removed at the end.

    Raises ProbeFailed, EngineError, EngineUnreachable.
    """
    remove_leftovers(host, engine)
    owner = identify_process(host)
    name = f"bulkhead-probe-{os.getpid()}"
    image, container = None, None
    try:
        image = import_image(engine, name, owner, build_image([PROGRAM]))
        container = engine.post(
            "/containers/create",
            {
                "Image": image,
                "Cmd": [find_program(PROGRAM), str(LIFETIME)],
                "Labels": {PROBE_LABEL: owner},
                # None of these is a security setting: no network because none is needed, no log because nothing is said.
                "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}, "AutoRemove": True},
            },
            name=name,
        )["Id"]
        engine.post(f"/containers/{container}/start")
        yield _settled(host, engine, container)
    except FileNotFoundError as error:
        raise ProbeFailed(str(error)) from error
    except ValueError as error:
        raise ProbeFailed(f"the engine does not import the probe's image: {error}") from error
    except EngineError as error:
        raise ProbeFailed(f"the engine refuses to start a container without any security option: {error.message}") from error
    finally:
        remove_temporary(engine, container, image)


def _settled(host: Host, engine: Engine, container: str) -> dict[str, Any]:
    """The container once its own program runs: until then the kernel shows runc's init, with runc's filter not yet loaded."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        pid = get_first_pid(engine.get(f"/containers/{container}/json"))
        if pid and read_command(host, pid) == PROGRAM:
            seen = read_container(host, engine, container)
            if seen:
                return seen
        time.sleep(0.05)
    raise ProbeFailed(f"the probe's program is not seen running after {START_TIMEOUT:.0f} s; the engine's journal may say why")
