# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service: which flags dockerd is started with, which file says so, and which keys of daemon.json they clash with.

dockerd does not start when one thing is said both by a flag and in daemon.json, the same value included.
"""

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
    """docker.service as its files say.

    files: path → text: the unit, its drop-ins and the environment files they name, in the order in which systemd reads them.
    argv: the command line, environment variables put in; empty where there is no unit.
    """

    files: dict[str, str] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)


def find_flag_file(flag: str, files: Mapping[str, str]) -> str:
    """The file that has this flag, the last one that systemd reads; empty where none has it (an instance started by hand)."""
    short = next((letter for letter, name in SHORT_FLAGS.items() if name == flag), None)
    pattern = re.compile(rf"--{re.escape(flag)}(?![\w-])" + (rf"|(?<![\w-])-{short}(?=[\s=\w])" if short else ""))
    holding = [path for path, text in files.items() if any(pattern.search(line) for line in _active(text))]
    return holding[-1] if holding else ""


def read_unit(host: Host, instance: Instance = ROOTFUL, name: str = "docker.service") -> Unit:
    """Read a unit and its drop-ins from its files: no call of systemctl."""
    unit = Unit()
    fragment = next((path for path in (f"{folder}/{name}" for folder in instance.unit_dirs) if host.path(path).exists()), None)
    if fragment is None:
        return unit
    unit.files[fragment] = host.read(fragment) or ""
    for path in list_drop_ins(host, f"{name}.d", instance.unit_dirs):
        unit.files[path] = host.read(path) or ""
    command, environment = "", dict[str, str]()
    for text in list(unit.files.values()):
        for key, value in _settings(text):
            if key == "ExecStart":
                command = value
            elif key == "Environment":
                environment.update(_assignments(shlex.split(value)))
            elif key == "EnvironmentFile":
                path = value.removeprefix("-")
                content = _named_by_unit(host, path, instance) if path.startswith("/") else None
                if content is not None:
                    unit.files[path] = content
                    environment.update(_environment_file(content))
    unit.argv = _expanded(command, environment)
    return unit


def _named_by_unit(host: Host, path: str, instance: Instance) -> str | None:
    """An environment file, read as the manager reads it: a user's with that user's rights. What he may not read is not there for him."""
    if not instance.rootless:
        return host.read(path)
    try:
        return host.read(path, user=instance.owner) if instance.owner else None
    except OSError:
        return None


def list_drop_ins(host: Host, folder: str, unit_dirs: Iterable[str] = SYSTEM_UNITS) -> list[str]:
    """The `*.conf` of a drop-in folder as systemd takes them: sorted by name, /etc over /run over /usr, masked ones left out."""
    chosen: dict[str, str] = {}
    for base in unit_dirs:
        try:
            names = sorted(entry.name for entry in host.path(f"{base}/{folder}").iterdir())
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{base}/{folder}/{name}")
    return [path for _name, path in sorted(chosen.items()) if not _masked(host, path)]


def _masked(host: Host, path: str) -> bool:
    entry = host.path(path)
    return entry.is_symlink() and str(entry.readlink()) == "/dev/null"


def _active(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith(("#", ";"))]


def _settings(text: str) -> Iterable[tuple[str, str]]:
    """The `Key=value` lines, with lines continued by a backslash joined. An empty ExecStart= resets: the last one wins anyway."""
    for line in _active(text):
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("["):
            yield key.strip(), value.strip()


def _environment_file(text: str) -> dict[str, str]:
    words = []
    for line in _active(text):
        try:
            words += shlex.split(line.strip().removeprefix("export "), comments=True)[:1]
        except ValueError:  # an open quote; systemd skips such a line too
            continue
    return _assignments(words)


def _assignments(words: Iterable[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


def _expanded(command: str, environment: Mapping[str, str]) -> list[str]:
    """systemd.service(5): `$NAME` as a word of its own is split at blanks, `${NAME}` is one piece of text."""
    if not command:
        return []
    argv: list[str] = []
    for word in shlex.split(command.lstrip("-@:+!")):
        if re.fullmatch(r"\$\w+", word):
            argv += environment.get(word[1:], "").split()
        else:
            argv.append(re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), word))
    return argv
