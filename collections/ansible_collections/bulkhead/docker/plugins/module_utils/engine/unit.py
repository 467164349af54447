# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service, read from its files: the command line of dockerd, and which file has a flag."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..host.root import Host
from .flags import SHORT_FLAGS
from .instance import ROOTFUL, SYSTEM_UNITS, Instance


@dataclass
class Unit:
    """A unit.

    files: path → text of the unit, its drop-ins and the environment files that they name, in the order in which systemd reads them.
    argv: the command line with environment variables expanded; empty without a unit.
    """

    files: dict[str, str] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)


def find_flag_file(flag: str, files: Mapping[str, str]) -> str:
    """Return the last file with this flag in systemd's order; empty when none has it (an engine started by hand)."""
    short = next((letter for letter, name in SHORT_FLAGS.items() if name == flag), None)
    pattern = re.compile(rf"--{re.escape(flag)}(?![\w-])" + (rf"|(?<![\w-])-{short}(?=[\s=\w])" if short else ""))
    holding = [path for path, text in files.items() if any(pattern.search(line) for line in _list_lines(text))]
    return holding[-1] if holding else ""


def read_unit(host: Host, instance: Instance = ROOTFUL, name: str = "docker.service") -> Unit:
    """Return a unit from its files, without systemctl."""
    unit = Unit()
    fragment = next((path for path in (f"{folder}/{name}" for folder in instance.unit_dirs) if host.path(path).exists()), None)
    if fragment is None:
        return unit
    unit.files[fragment] = host.read(fragment) or ""
    for path in list_drop_ins(host, f"{name}.d", instance.unit_dirs):
        unit.files[path] = host.read(path) or ""
    command, environment = "", dict[str, str]()
    for text in list(unit.files.values()):
        for key, value in _parse_settings(text):
            if key == "ExecStart":
                command = value
            elif key == "Environment":
                environment.update(_parse_assignments(shlex.split(value)))
            elif key == "EnvironmentFile":
                path = value.removeprefix("-")
                content = _read_environment_file(host, path, instance) if path.startswith("/") else None
                if content is not None:
                    unit.files[path] = content
                    environment.update(_parse_environment_file(content))
    unit.argv = _expand_command(command, environment)
    return unit


def _read_environment_file(host: Host, path: str, instance: Instance) -> str | None:
    """Return the text of an environment file, read like the manager does: a user's with that user's rights. None when it is not readable."""
    if not instance.rootless:
        return host.read(path)
    try:
        return host.read(path, user=instance.owner) if instance.owner else None
    except OSError:
        return None


def list_drop_ins(host: Host, folder: str, unit_dirs: Iterable[str] = SYSTEM_UNITS) -> list[str]:
    """Return the paths of a unit's drop-ins as systemd uses them: sorted by name, /etc before /run before /usr, without masked ones."""
    chosen: dict[str, str] = {}
    for base in unit_dirs:
        try:
            names = sorted(entry.name for entry in host.path(f"{base}/{folder}").iterdir())
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{base}/{folder}/{name}")
    return [path for _name, path in sorted(chosen.items()) if not _is_masked(host, path)]


def _is_masked(host: Host, path: str) -> bool:
    entry = host.path(path)
    return entry.is_symlink() and str(entry.readlink()) == "/dev/null"


def _list_lines(text: str) -> list[str]:
    """Return the lines without comments, those continued by a backslash joined."""
    return [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith(("#", ";"))]


def _parse_settings(text: str) -> Iterable[tuple[str, str]]:
    """Yield the `Key=value` lines. An empty ExecStart= resets it, so the last one is valid."""
    for line in _list_lines(text):
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("["):
            yield key.strip(), value.strip()


def _parse_environment_file(text: str) -> dict[str, str]:
    words = []
    for line in _list_lines(text):
        try:
            words += shlex.split(line.strip().removeprefix("export "), comments=True)[:1]
        except ValueError:  # an unclosed quote; systemd skips such a line too
            continue
    return _parse_assignments(words)


def _parse_assignments(words: Iterable[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def _expand_command(command: str, environment: Mapping[str, str]) -> list[str]:
    """Return the words of a command line. `$NAME` as a whole word is split at blanks, `${NAME}` is not (systemd.service(5))."""
    if not command:
        return []
    argv: list[str] = []
    for word in shlex.split(command.lstrip("-@:+!")):
        if re.fullmatch(r"\$\w+", word):
            argv += environment.get(word[1:], "").split()
        else:
            argv.append(re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), word))
    return argv
