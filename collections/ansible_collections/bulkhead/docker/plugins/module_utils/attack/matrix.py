# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the attack matrix of one host: prepare, run, read denials, attribute, clean up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..audit.listener import Listener
from ..engine.api import Engine, EngineError
from ..engine.instance import Instance
from ..engine.temporary import create_temporary, import_image
from ..host.process_status import parse_status
from ..host.root import Host
from ..layers.seccomp.options import knows_builtin
from . import configurations as columns
from .attribution import build_rows
from .audit import group_denials, is_denial
from .image import build_archive
from .preparation import prepare_host
from .run import build_suffix, run_all
from .traces import read_traces


class AttackError(Exception):
    """The attacks cannot run on this host; the message says why, and what to write instead."""


def run_matrix(
    host: Host,
    instance: Instance,
    connect: Callable[[], Engine],
    hardened: Mapping[str, Any],
    container: str,
    only: Sequence[str] | None,
    attacks: Sequence[str],
    limits: Mapping[str, float],
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Return the matrix as the module returns it. Containers, image and stand-ins are always removed.

    instance: the engine that `connect` reaches. hardened: settings of role hardened_container.
    container: name of a container whose settings are tested; empty for the host's defaults.
    only: names of the configurations to run besides the baseline; None for all. limits: `attack` (seconds), `at_once`, `tasks`.
    Raises AttackError, EngineError, EngineUnreachable, OSError.
    """
    engine = connect()
    version, info = engine.get("/version"), engine.get("/info")
    check_kind(instance, engine.socket, info)
    desired = _build_columns(host, engine, hardened, container, int(limits["tasks"]), version, info, instance.rootless)
    desired = select_configurations(desired, only)
    began = time.monotonic()
    try:
        with create_temporary(host, engine, "bulkhead-attack", [build_suffix(column) for column in desired]) as record:
            import_image(host, engine, record, build_archive())
            report("image")
            with prepare_host(host, os.uname().machine, instance) as prepared:
                prepared["preparation"]["tasks"] = int(limits["tasks"])
                listener = Listener(is_denial)
                results = run_all(connect, record, desired, attacks, prepared, limits, report)
                messages = listener.stop()
                traces, untraced = read_traces()
    except ValueError as error:
        raise AttackError(f"the engine does not import the runner's image: {error}") from error
    except KeyError as error:
        raise AttackError(f"the collection has no table of system calls for this machine ({error.args[0]})") from error
    finally:
        engine.close()
    baseline = results[desired[0].name]
    if len(results) < len(desired):
        stray = " ".join(record.get("stray", "") for record in baseline["records"])
        raise AttackError(f"the baseline container did not run: {baseline['error'] or stray[-300:] or 'the runner printed nothing'}")
    _add_host_namespace(host, results)
    found = build_rows(desired, results, group_denials(messages), attacks, _read_all_capabilities(host), not listener.error, traces)
    return {
        **found,
        "subject": _name_subject(instance, container),
        "log": {"source": "audit netlink, group READLOG", "error": listener.error},
        "counters": {"error": untraced},
        "seconds": round(time.monotonic() - began, 1),
        "engine": version.get("Version"),
    }


def _build_columns(
    host: Host,
    engine: Engine,
    hardened: Mapping[str, Any],
    container: str,
    tasks: int,
    version: Mapping[str, Any],
    info: Mapping[str, Any],
    rootless: bool,
) -> list[columns.AttackConfiguration]:
    if container:
        try:
            return columns.build_for_container(container, engine.get(f"/containers/{container}/json"), tasks, rootless)
        except EngineError as error:
            if error.status == 404:
                raise AttackError(
                    f"container: {container!r} does not exist in this engine; write a name that `docker ps --all` lists"
                ) from error
            raise
    path = hardened.get("seccomp_profile") or ""
    seccomp = host.read(path) if path else ""
    lacking = f"{path}: this seccomp profile does not exist on this host" if seccomp is None else ""
    builtin = knows_builtin(version.get("Version", ""), info.get("SecurityOptions") or [])
    return columns.build_for_host(columns.get_role_settings(hardened, seccomp or ""), tasks, builtin, lacking, rootless)


def check_kind(instance: Instance, socket: str, info: Mapping[str, Any]) -> None:
    """Check that the engine is rootless or rootful as expected: the baseline and the mounts depend on it. Raises AttackError."""
    rootless = "name=rootless" in (info.get("SecurityOptions") or [])
    if rootless and not instance.rootless:
        raise AttackError(f"the engine on {socket} is rootless; set user to the user who runs it")
    if instance.rootless and not rootless:
        raise AttackError(f"the engine on {socket} is not the rootless one of {instance.user}; remove user or socket")


def _name_subject(instance: Instance, container: str) -> str:
    if container:
        return f"container {container}"
    return f"the rootless engine of {instance.user}" if instance.rootless else "host"


def select_configurations(desired: Sequence[columns.AttackConfiguration], only: Sequence[str] | None) -> list[columns.AttackConfiguration]:
    """Return the selected configurations and the baseline. Raises AttackError for an unknown name."""
    unknown = sorted(set(only or ()) - {c.name for c in desired})
    if unknown:
        raise AttackError(
            f"configurations: {unknown[0]!r} is not a configuration of this engine; write any of {', '.join(c.name for c in desired)}"
        )
    return [c for c in desired if only is None or c.name in only or c.kind == columns.BASELINE]


def _add_host_namespace(host: Host, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the host's user namespace to each evidence, which a container cannot read."""
    for record in (record for result in results.values() for record in result["records"] if "confinement" in record):
        record["confinement"]["host_namespace"] = host.read_link("/proc/1/ns/user")


def _read_all_capabilities(host: Host) -> str:
    status = parse_status(host.read("/proc/1/status") or "")
    return f"{status.get('cap', {}).get('bnd', 0):x}"
