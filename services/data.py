# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of services: one YAML file per service in ``services/table``, and the options that follow from it in each setting.

Keys of a file:

title, kind: as in the documentation. sample: part of the set of CI. packages: Debian packages; the first one is the service's.
files: path -> text, in the image. setup: a script that root runs in the image after the packages are installed.
command, user, environment, stop_signal: of `docker run`. ports: ports of the container, which are published at 127.0.0.1:PORT+20000.
probes: what is asked until it is answered (services/guest.py). start_seconds: how long the first answer may take.
load: clients that connect at the same time: text, port, clients, send (text that each sends), answer (what each must receive).
nofile: limit of open files with which it is tried, where the engine's own stops it; the baseline is also tried without it.
exit_codes: of the service when it is stopped. stacked: keys of an entry of hardened_container_list; without it, the reason is in `needs_root`.
remarks: for the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulkhead.docker.plugins.filter.compose import format_compose
from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS
from ansible_collections.bulkhead.docker.plugins.module_utils.hardened.settings import build_compose
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened.entries import resolve_containers

from lab import paths

TABLE = Path(__file__).resolve().parent / "table"
COLLECTION = paths.REPOSITORY / "collections/ansible_collections/bulkhead/docker"
# The setting -> what it means in the documentation.
SETTINGS = {
    "baseline": "engine as installed",
    "hardened": "hardened host, no options",
    "stacked": "everything stacked",
    "rootless": "rootless engine, hardened",
}
STACKED = "stacked"
# The image with the services of CI, and the one with the others.
SAMPLE, REST = "sample", "rest"
PORT_OFFSET = 20000
PREFIX = "service-"
_PROBES = ("exec", "http", "tcp", "dns")


class DataError(ValueError):
    """A data file is invalid. The message names the file and the key, and what to write instead."""


@dataclass(frozen=True)
class TableService:
    """One service of the table."""

    name: str
    title: str
    kind: str
    packages: list[str]
    command: list[str]
    probes: list[dict[str, Any]]
    sample: bool = False
    files: dict[str, str] = field(default_factory=dict)
    setup: str = ""
    user: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    ports: list[str] = field(default_factory=list)
    start_seconds: int = 90
    exit_codes: list[int] = field(default_factory=lambda: [0])
    nofile: int = 0
    load: dict[str, Any] = field(default_factory=dict)
    stacked: dict[str, Any] = field(default_factory=dict)
    needs_root: str = ""
    remarks: str = ""

    @property
    def container(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def image(self) -> str:
        return get_tag(SAMPLE if self.sample else REST)


def get_tag(image: str) -> str:
    """Return the tag of one of the two images."""
    return f"bulkhead-test/services-{image}:1"


def load_services(folder: Path = TABLE) -> dict[str, TableService]:
    """Return the services by name. Raises DataError."""
    return {path.stem: parse_service(path) for path in sorted(folder.glob("*.yml"))}


def parse_service(path: Path) -> TableService:
    """Return the service of one file. Raises DataError."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = set(TableService.__dataclass_fields__) - {"name"}
    unknown = sorted(set(content) - known)
    if unknown:
        raise DataError(f"{path}: {unknown[0]}: is not a key; known are {', '.join(sorted(known))}")
    missing = sorted({"title", "kind", "packages", "command", "probes"} - set(content))
    if missing:
        raise DataError(f"{path}: {missing[0]}: is missing; add it")
    service = TableService(path.stem, **content)
    for probe in service.probes:
        if len([key for key in _PROBES if key in probe]) != 1 or "expect" not in probe:
            raise DataError(f"{path}: probes: {probe} has no expected answer or not one of {', '.join(_PROBES)}; add it")
    # A table in which every service could pass without an answer would show nothing.
    if not any(probe["expect"] for probe in service.probes):
        raise DataError(f"{path}: probes: no probe expects an answer; add `expect`")
    if bool(service.stacked) == bool(service.needs_root):
        raise DataError(f"{path}: stacked, needs_root: write one of them")
    return service


def publish_ports(service: TableService) -> list[str]:
    """Return the ports as `docker run --publish` and hardened_container_list take them."""
    return [f"127.0.0.1:{int(port.split('/')[0]) + PORT_OFFSET}:{port}" for port in service.ports]


def build_run_options(service: TableService) -> list[str]:
    """Return the options of `docker run` in the settings without an entry of hardened_container_list: only what the service itself needs."""
    options = [f"--publish={port}" for port in publish_ports(service)]
    options += [f"--env={key}={value}" for key, value in service.environment.items()]
    options += [f"--user={service.user}"] if service.user else []
    options += [f"--ulimit=nofile={service.nofile}"] if service.nofile else []
    return [*options, f"--stop-signal={service.stop_signal}"]


def build_entry(service: TableService, image: str = "") -> dict[str, Any]:
    """Return the service's entry of hardened_container_list."""
    entry: dict[str, Any] = {"name": service.container, "image": image or service.image, "command": service.command}
    if service.stop_signal != "SIGTERM":
        entry["stop_signal"] = service.stop_signal
    return {**entry, "ports": publish_ports(service), **service.stacked}


def complete_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry, checked and completed by the collection's own code with the defaults of role hardened_container."""

    desired = {**read_defaults("hardened_container"), "hardened_container_list": [dict(entry)]}
    return resolve_containers(desired, KINDS)[0]


def render_compose(service: TableService) -> str:
    """Return the compose file that role hardened_container writes for the service alone."""

    entry = complete_entry(build_entry(service))
    return format_compose(build_compose([entry], "/etc/docker/seccomp", {entry["name"]: ""}, "services"))


def read_defaults(role: str) -> dict[str, Any]:
    """Return the defaults of a role."""
    content: dict[str, Any] = yaml.safe_load((COLLECTION / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8"))
    return content


def build_job(service: TableService, setting: str) -> dict[str, Any]:
    """Return what services/guest.py needs to try a service in a setting."""
    job: dict[str, Any] = {
        "service": service.name,
        "container": service.container,
        "probes": service.probes,
        "load": service.load,
        "start_seconds": service.start_seconds,
        "exit_codes": service.exit_codes,
        "offset": PORT_OFFSET,
        "expect": build_expectations(service, setting),
    }
    if setting == STACKED:
        return {**job, "compose": render_compose(service)}
    job |= {"options": build_run_options(service), "image": service.image, "command": service.command}
    # The documentation also shows what happens without the service's limit of open files.
    if service.nofile and setting == "baseline":
        job["without"] = build_run_options(replace(service, nofile=0))
    return job


def build_expectations(service: TableService, setting: str) -> dict[str, Any]:
    """Return what must be true of the container in the kernel, so that a setting cannot pass for another."""
    hardened = setting != "baseline"
    expect: dict[str, Any] = {"Seccomp": "2", "NoNewPrivs": "1" if hardened else "0", "mapped": hardened}
    if setting == STACKED:
        entry = complete_entry(build_entry(service))
        return {**expect, "pids_max": entry["pids_limit"], "root": False, "capabilities": len(entry["capabilities"])}
    return {**expect, "pids_max": read_defaults("docker_daemon")["docker_daemon_default_pids_limit"]} if hardened else expect


def select(services: Mapping[str, TableService], names: Iterable[str], setting: str, image: str = "") -> list[TableService]:
    """Return the services to try in a setting: the named ones, by default all; only those of an image, if it is named."""
    chosen = [services[name] for name in list(names) or services]
    return [s for s in chosen if (setting != STACKED or s.stacked) and (not image or s.sample == (image == SAMPLE))]


def find_version(packages: str, service: TableService) -> str:
    """Return the version of the service's first package. packages: output of dpkg-query, `NAME VERSION` per line."""
    match = re.search(rf"^{re.escape(service.packages[0])} (\S+)$", packages, re.MULTILINE)
    return match[1] if match else "unknown"
