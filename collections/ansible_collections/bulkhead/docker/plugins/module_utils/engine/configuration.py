# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine runs, by its process or its unit: flags, data root, socket. What cannot be read is `unknown`, and never assumed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..host.root import Host
from .flags import find_dockerd_arguments, parse_flags
from .instance import Instance
from .unit import Unit

DATA_ROOT = "/var/lib/docker"
_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh"})
_REMAPPED = re.compile(r"/\d+\.\d+$")


def read_arguments(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return dockerd's arguments in a unit's command line, and why they are not known; that is empty when they are.

    environment: the unit's variables, which a shell expands.
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    script = next((argv[at + 1] for at, word in enumerate(argv[:-1]) if at and re.fullmatch("-[a-z]*c", word)), None)
    if name not in _SHELLS:
        found = find_dockerd_arguments(argv)
        known = not argv or _is_dockerd(argv)
    else:
        parts = [part for part in _split_script(script or "", environment) if _is_dockerd(part)]
        found, known = (find_dockerd_arguments(parts[0]), True) if len(parts) == 1 else ([], False)
    return found, "" if known else f"it starts dockerd by {' '.join(argv)[:80]}, and the flags that dockerd gets there cannot be read"


def _is_dockerd(words: Sequence[str]) -> bool:
    return any(word.rpartition("/")[2] in ("dockerd", "dockerd-rootless.sh") for word in words)


def _split_script(script: str, environment: Mapping[str, str]) -> list[list[str]]:
    """Return the simple commands of a shell's script, without redirections; none when it takes a shell to read it."""
    names: set[str] = set()

    def expand(match: re.Match[str]) -> str:
        names.add(match[1] or match[2])
        # A value is split at blanks, and its quotes are ordinary characters (POSIX shell, 2.6.5).
        return re.sub(r"[^\w\s=/.:,@%+-]", r"\\\g<0>", environment.get(match[1] or match[2], ""))

    plain = re.sub(r"\$(?:(\w+)|\{(\w+)\})", expand, script)
    if re.search(r"[`$]|(^|[\s;&])(for|if|case|set|while) ", plain) or names.intersection(re.findall(r"\b(\w+)=", script)):
        return []
    plain = re.sub(r"\d*[<>]+&?\s*\S+", "", plain)
    try:
        return [shlex.split(part) for part in re.split(r"[;&|()\n]+", plain)]
    except ValueError:  # an unclosed quote, or one around such a character
        return []


def describe_command(docker_unit: Unit, process: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return dockerd's `arguments` and `flags`, why they are `unknown` (empty: they are known), and in which flags the process is `differing`.

    A flag of the unit's files counts for the next start. One that only the running process has is real as well: systemd knows variables from
    elsewhere too (PassEnvironment=), or the unit was edited since. differing: flag → [value of the process, value by the files], None without.
    """
    arguments, unknown = read_arguments(docker_unit.argv, docker_unit.environment)
    running = parse_flags(find_dockerd_arguments(process["argv"])) if process else {}
    differing: dict[str, list[str | None]] = {}
    if process and (unknown or not docker_unit.argv):
        arguments, unknown = find_dockerd_arguments(process["argv"]), ""
    elif process and not process["rootless"]:  # dockerd-rootless.sh adds flags of its own
        planned = parse_flags(arguments)
        differing = {
            flag: [running.get(flag), planned.get(flag)] for flag in {**running, **planned} if running.get(flag) != planned.get(flag)
        }
    return {"arguments": arguments, "flags": {**running, **parse_flags(arguments)}, "unknown": unknown, "differing": differing}


def find_daemon_json(host: Host, instance: Instance, flags: Mapping[str, str], docker_unit: Unit, process: Mapping[str, Any] | None) -> str:
    """Return the path of the daemon.json that an engine reads; only a rootless one asks XDG_CONFIG_HOME (moby cmd/dockerd/config.go)."""
    folder = docker_unit.environment.get("XDG_CONFIG_HOME", "")
    if instance.rootless and process and not folder:
        text = (host.read(f"/proc/{process['pid']}/environ") or "").split("\0")
        folder = next((word.partition("=")[2] for word in text if word.startswith("XDG_CONFIG_HOME=")), "")
    own = f"{folder.rstrip('/')}/docker/daemon.json" if instance.rootless and folder.startswith("/") else instance.config
    return flags.get("config-file") or own


def find_data_root(flags: Mapping[str, str], content: Mapping[str, Any]) -> str:
    """Return the data root with which an engine starts, without the folder of a remapped one."""
    values = (flags.get("data-root"), flags.get("graph"), content.get("data-root"), content.get("graph"), DATA_ROOT)
    return str(next(value for value in values if value)).rstrip("/") or "/"


def strip_remapped(root: str) -> str:
    """Return the data root of a running engine (DockerRootDir) without the folder UID.GID of a remapped one."""
    return _REMAPPED.sub("", root)


def find_configured_socket(flags: Mapping[str, str], content: Mapping[str, Any], instance: Instance, listen: Sequence[str]) -> str:
    """Return the unix socket on which an engine listens by `--host`, or by `hosts` in daemon.json; the usual one if none is named.

    listen: ListenStream= of docker.socket, whose sockets the engine gets for `fd://`.
    """
    hosts = [str(entry) for entry in (flags["host"].split(",") if "host" in flags else content.get("hosts") or [])]
    paths = [entry[7:] for entry in hosts if entry.startswith("unix://")]
    if any(entry.startswith("fd://") for entry in hosts):
        paths = [*(entry for entry in listen or [instance.socket] if entry.startswith("/")), *paths]
    usual = (instance.socket, instance.socket.removeprefix("/var"), "")
    return instance.socket if not paths or any(path in usual for path in paths) else paths[0]
