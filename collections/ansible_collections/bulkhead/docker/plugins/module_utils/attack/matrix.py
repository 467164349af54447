# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's matrix: prepare, play, listen, attribute, clean up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..audit.listener import Listener
from ..engine.api import Engine, EngineError
from ..engine.instance import Instance
from ..engine.temporary import identify_process, import_image, remove_leftovers, remove_temporary
from ..host.process import parse_status
from ..host.root import Host
from . import configurations as columns
from .attribution import attribute
from .audit import denials
from .image import archive
from .preparation import stage
from .run import play_all

# The first engine that takes `seccomp=builtin` (moby 23.0: daemon/config SeccompProfileDefault).
_NAMES_BUILTIN = 23


class CannotPlay(Exception):
    """The matrix can't be played on this host; the message says why, and what to write instead where that helps."""


def play(
    host: Host,
    instance: Instance,
    connect: Callable[[], Engine],
    hardened: Mapping[str, Any],
    container: str,
    only: Sequence[str] | None,
    attacks: Sequence[str],
    limits: Mapping[str, float],
    told: Callable[[str], None],
) -> dict[str, Any]:
    """The whole matrix, as the module returns it. Whatever happens, containers, image and stand-ins are removed.

    instance: whose engine it is that `connect` speaks to.
    hardened: settings of role hardened_container. container: name of one whose settings are looked at instead; empty for the host's defaults.
    only: names of the configurations to play, besides the control; None for all.
    limits: `attack` (seconds), `at_once` and `tasks`.
    Raises CannotPlay, EngineError, EngineUnreachable, OSError.
    """
    engine = connect()
    version, info = engine.get("/version"), engine.get("/info")
    check_kind(instance, engine.socket, info)
    desired = _columns(host, engine, hardened, container, int(limits["tasks"]), version, info, instance.rootless)
    desired = chosen(desired, only)
    remove_leftovers(host, engine)
    owner, image, began = identify_process(host), None, time.monotonic()
    name = f"bulkhead-attack-{os.getpid()}"
    try:
        image = import_image(engine, name, owner, archive())
        told("image")
        with stage(host, os.uname().machine, instance) as ground:
            ground["ground"]["tasks"] = int(limits["tasks"])
            listener = Listener()
            played = play_all(connect, image, owner, desired, attacks, ground, limits, told)
            heard = listener.stop()
    except ValueError as error:
        raise CannotPlay(f"the engine does not import the player's image: {error}") from error
    except KeyError as error:
        raise CannotPlay(f"there is no table of system calls for this machine ({error.args[0]})") from error
    finally:
        remove_temporary(engine, None, image)
        engine.close()
    control = played[desired[0].name]
    if len(played) < len(desired):
        said = " ".join(record.get("stray", "") for record in control["records"])
        raise CannotPlay(f"the container without any layer did not run: {control['error'] or said[-300:] or 'the player said nothing'}")
    found = attribute(desired, played, denials(heard), attacks, _full(host), not listener.error)
    return {
        **found,
        "subject": _subject(instance, container),
        "log": {"source": "audit netlink, group READLOG", "error": listener.error},
        "seconds": round(time.monotonic() - began, 1),
        "engine": version.get("Version"),
    }


def _columns(
    host: Host,
    engine: Engine,
    hardened: Mapping[str, Any],
    container: str,
    tasks: int,
    version: Mapping[str, Any],
    info: Mapping[str, Any],
    rootless: bool,
) -> list[columns.Configuration]:
    if container:
        try:
            return columns.of_container(container, engine.get(f"/containers/{container}/json"), tasks, rootless)
        except EngineError as error:
            if error.status == 404:
                raise CannotPlay(f"container: this engine has none called {container!r}; `docker ps --all` lists them") from error
            raise
    path = hardened.get("seccomp_profile") or ""
    seccomp = host.read(path) if path else ""
    lacking = f"{path}: no such seccomp profile on this host" if seccomp is None else ""
    builtin = knows_builtin(version.get("Version", ""), info.get("SecurityOptions") or [])
    return columns.of_host(columns.asked_of_role(hardened, seccomp or ""), tasks, builtin, lacking, rootless)


def check_kind(instance: Instance, socket: str, info: Mapping[str, Any]) -> None:
    """Whether the engine is of the kind that it is taken for: the control and what is mounted depend on it. Raises CannotPlay."""
    rootless = "name=rootless" in (info.get("SecurityOptions") or [])
    if rootless and not instance.rootless:
        raise CannotPlay(f"the engine on {socket} is rootless; name the user who runs it under user")
    if instance.rootless and not rootless:
        raise CannotPlay(f"the engine on {socket} is not the rootless one of {instance.user}; leave out user, or socket")


def _subject(instance: Instance, container: str) -> str:
    if container:
        return f"container {container}"
    return f"the rootless engine of {instance.user}" if instance.rootless else "host"


def chosen(desired: Sequence[columns.Configuration], only: Sequence[str] | None) -> list[columns.Configuration]:
    """Those of the configurations that are asked for, and the control. Raises CannotPlay for a name that there is not."""
    strange = sorted(set(only or ()) - {c.name for c in desired})
    if strange:
        raise CannotPlay(f"configurations: there is none called {strange[0]!r} here; write any of {', '.join(c.name for c in desired)}")
    return [c for c in desired if only is None or c.name in only or c.kind == columns.CONTROL]


def knows_builtin(version: str, security_options: Sequence[str]) -> bool | None:
    """Whether the engine takes its built-in seccomp filter by name; None where it is the default, so that nobody has to name it."""
    if any(option in ("name=seccomp,profile=default", "name=seccomp,profile=builtin") for option in security_options):
        return None
    major = version.split(".")[0]
    return major.isdigit() and int(major) >= _NAMES_BUILTIN


def _full(host: Host) -> str:
    status = parse_status(host.read("/proc/1/status") or "")
    return f"{status.get('cap', {}).get('bnd', 0):x}"
