# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service: which flags dockerd is started with, which file says so, and which keys of daemon.json they clash with.

dockerd does not start when one thing is said both by a flag and in daemon.json, the same value included.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine_config.keys import BOOLEAN_FLAGS, KEY_OF_FLAG, NEVER_CLASH, SHORT_FLAGS
from ..host.root import Host
from .instance import ROOTFUL, SYSTEM_UNITS, Instance


@dataclass
class Unit:
    """docker.service as its files say.

    files: path → text: the unit, its drop-ins and the environment files they name, in the order in which systemd reads them.
    argv: the command line, environment variables put in; empty where there is no unit.
    """

    files: dict[str, str] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)


def flags(argv: Sequence[str]) -> dict[str, str]:
    """The flags of a dockerd command line (its own name left out), long names without dashes; repeated ones joined by commas."""
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            name, equals, value = SHORT_FLAGS.get(word[1], word[1]), "=" if len(word) > 2 else "", word[2:].removeprefix("=")
        else:
            continue
        if not equals:
            value = "true" if name in BOOLEAN_FLAGS or not rest else rest.pop(0)
        found[name] = f"{found[name]},{value}" if name in found and name not in BOOLEAN_FLAGS else value
    return found


def arguments(argv: Sequence[str]) -> list[str]:
    """What dockerd itself gets of a command line: the words after its name, which a wrapper (`env`, `nice`) may stand before."""
    for index, word in enumerate(argv):
        if word.rsplit("/", 1)[-1] in ("dockerd", "dockerd-rootless.sh"):
            return list(argv[index + 1 :])
    return []


def key_of(flag: str) -> str:
    """The key of daemon.json that says the same as this flag."""
    return KEY_OF_FLAG.get(flag, flag)


def flagged_keys(found: Mapping[str, str]) -> dict[str, str]:
    """Key of daemon.json → the flag that already sets it."""
    return {key_of(flag): flag for flag in found if flag not in NEVER_CLASH}


def clashes(found: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, str]:
    """Key → flag, for what is said both on the command line and in daemon.json."""
    # The engine looks inside this object as well (configValuesSet in daemon/config/config.go): its members are flags.
    inside = content.get("proxies")
    names = set(content) | (set(inside) if isinstance(inside, dict) else set())
    return {key: flag for key, flag in flagged_keys(found).items() if key in names}


def agrees(flag_value: str, desired: Any) -> bool:
    """Whether a flag's value says the same as a desired value of daemon.json."""
    if isinstance(desired, bool):
        return flag_value.lower() in (("true", "1", "t") if desired else ("false", "0", "f"))
    if isinstance(desired, list):
        return flag_value.split(",") == [str(item) for item in desired]
    if isinstance(desired, dict):
        return sorted(flag_value.split(",")) == sorted(f"{name}={value}" for name, value in desired.items())
    return flag_value == str(desired)


def where(flag: str, files: Mapping[str, str]) -> str:
    """The file that has this flag, the last one that systemd reads; empty where none has it (an instance started by hand)."""
    short = next((letter for letter, name in SHORT_FLAGS.items() if name == flag), None)
    pattern = re.compile(rf"--{re.escape(flag)}(?![\w-])" + (rf"|(?<![\w-])-{short}(?=[\s=\w])" if short else ""))
    holding = [path for path, text in files.items() if any(pattern.search(line) for line in _active(text))]
    return holding[-1] if holding else ""


def read(host: Host, instance: Instance = ROOTFUL, name: str = "docker.service") -> Unit:
    """Read a unit and its drop-ins from its files: no call of systemctl."""
    unit = Unit()
    fragment = next((path for path in (f"{folder}/{name}" for folder in instance.unit_dirs) if host.path(path).exists()), None)
    if fragment is None:
        return unit
    unit.files[fragment] = host.read(fragment) or ""
    for path in drop_in_paths(host, f"{name}.d", instance.unit_dirs):
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
        return host.read(path, whose=instance.owner) if instance.owner else None
    except OSError:
        return None


def drop_in_paths(host: Host, folder: str, unit_dirs: Iterable[str] = SYSTEM_UNITS) -> list[str]:
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
