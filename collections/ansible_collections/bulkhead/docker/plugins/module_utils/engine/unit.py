# SPDX-License-Identifier: GPL-3.0-or-later
"""docker.service, read from its files as systemd reads them (src/shared/conf-parser.c, src/basic/{extract-word,env-file,env-util}.c)."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from ..host.root import Host
from .flags import SHORT_FLAGS
from .instance import ROOTFUL, SYSTEM_UNITS, Instance

_ESCAPES = dict(zip("abfnrtvs\\\"'", "\a\b\f\n\r\t\v \\\"'", strict=True))
_PIECE = re.compile(r"""\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\(.?)|(["'])|([ \t\r\n]+)|[^\\"' \t\r\n]+""", re.DOTALL)
_QUOTED = r"'[^']*(?:'|\Z)|\"(?:\\.|[^\"\\])*(?:\"|\Z)"
# One assignment of an environment file: the name, quoted parts, and the rest of the line, in which quotes are ordinary characters.
_ASSIGNMENT = re.compile(rf"([^=\n]*)=[ \t]*((?:(?:{_QUOTED})[ \t]*)*)((?:\\(?:.|\Z)|[^\\\n])*)", re.DOTALL)
_ASSIGNED = re.compile("[A-Za-z_][A-Za-z0-9_]*=")


@dataclass
class Unit:
    """A unit.

    files: path → the settings that count of the unit, its drop-ins and the environment files that they name, in systemd's order.
    argv: the command line with environment variables expanded; empty without a unit. environment: those variables.
    listen: ListenStream= of a socket unit, with specifiers expanded. access: SocketUser=, SocketGroup= and SocketMode= of one -> value, and its file.
    problems: what systemd skips, with file and line.
    """

    files: dict[str, str] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    listen: list[str] = field(default_factory=list)
    access: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_flag_file(flag: str, files: Mapping[str, str]) -> str:
    """Return the last file with this flag in systemd's order; empty when none has it (an engine started by hand)."""
    short = next((letter for letter, name in SHORT_FLAGS.items() if name == flag), None)
    pattern = re.compile(rf"--{re.escape(flag)}(?![\w-])" + (rf"|(?<![\w-])-{short}(?=[\s=\w])" if short else ""))
    return next((path for path in reversed(list(files)) if pattern.search(files[path])), "")


def read_unit(host: Host, instance: Instance = ROOTFUL, name: str = "docker.service") -> Unit:
    """Return a unit from its files, without systemctl."""
    reader = _Reader(host, instance, name)
    fragment = next((path for path in (f"{folder}/{name}" for folder in instance.unit_dirs) if os.path.lexists(host.join(path))), None)
    if fragment is None:
        return reader.unit
    # A unit that is a link to another one also has the other's drop-ins; service.d has those of all services, socket.d of all sockets (systemd.unit(5)).
    names = dict.fromkeys((name, (host.read_link(fragment) or name).rpartition("/")[2]))
    for path in (fragment, *list_drop_ins(host, [*(f"{alias}.d" for alias in names), f"{name.rpartition('.')[2]}.d"], instance.unit_dirs)):
        reader.read_file(path)
    reader.finish()
    return reader.unit


def list_drop_ins(host: Host, folders: str | list[str], unit_dirs: Iterable[str] = SYSTEM_UNITS) -> list[str]:
    """Return the paths of a unit's drop-ins as systemd uses them: sorted by name, /etc before /run before /usr, without masked ones.

    A drop-in takes the place of one with the same name in a later folder.
    """
    chosen: dict[str, str] = {}
    for folder in [folders] if isinstance(folders, str) else folders:
        for base in unit_dirs:
            try:
                names = sorted(os.listdir(host.join(f"{base}/{folder}")))
            except OSError:
                continue
            for name in names:
                if name.endswith(".conf") and not name.startswith("."):
                    chosen.setdefault(name, f"{base}/{folder}/{name}")
    return [path for _name, path in sorted(chosen.items()) if host.read_link(path) != "/dev/null"]


class _Reader:
    """Reads the files of one unit. An empty assignment resets the setting."""

    def __init__(self, host: Host, instance: Instance, name: str) -> None:
        self.host, self.instance, self.unit = host, instance, Unit()
        self.commands: list[tuple[str, int, list[tuple[str, str]]]] = []
        self.assignments: list[tuple[str, str]] = []
        self.environment_files: list[str] = []
        rootless, prefix = instance.rootless, name.rpartition(".")[0]
        home, run = (instance.home, instance.runtime_dir) if rootless else ("/root", "/run")
        folders = (f"{home}/.config", f"{home}/.local/state") if rootless else ("/etc", "/var/lib")
        values = (name, prefix, prefix, "", "", "%", home, run, instance.user or "root", str(instance.uid), "/tmp", "/var/tmp", *folders)
        self.specifiers = dict(zip("nNpiI%htuUTVES", values, strict=True))

    def read_file(self, path: str) -> None:
        self.unit.files[path] = ""
        problems: list[str] = []
        try:
            for line, key, value in parse_settings(self.host.read(path) or "", problems):
                self._set(path, line, key, value, problems)
        except OSError as error:
            problems.append(f"it cannot be read ({error.strerror})")
        self._report(path, problems)

    def _set(self, path: str, line: int, key: str, value: str, problems: list[str]) -> None:
        try:
            pairs = split_words(value) if key in ("ExecStart", "Environment") else []
        except ValueError as error:
            problems.append(f"line {line}: {key}=: {error}")
            return
        if key == "ExecStart":
            self.commands = [*self.commands, (path, line, pairs)] if value else []
        elif key == "ListenStream":
            self.unit.listen = [*self.unit.listen, expand_specifiers(value, self.specifiers)] if value else []
        elif key in ("SocketUser", "SocketGroup", "SocketMode"):
            self.unit.access[key] = value, path
        elif key == "EnvironmentFile":
            self.environment_files = [*self.environment_files, value] if value else []
        elif key == "Environment" and not value:
            self.assignments = []
        elif key == "Environment":
            words = [expand_specifiers(word, self.specifiers) for word, _raw in pairs]
            good = [word for word in words if _ASSIGNED.match(word)]
            self.assignments += [(path, word) for word in good]
            if good != words:
                problems.append(f"line {line}: Environment= has a word that is not NAME=VALUE")

    def _report(self, path: str, problems: Iterable[str]) -> None:
        self.unit.problems += [f"{path}: {text}; systemd skips it" for text in problems]

    def finish(self) -> None:
        """Read the environment files, which take precedence over Environment= (systemd.exec(5)), and expand the command."""
        unit = self.unit
        for path, word in self.assignments:
            name, _equals, value = word.partition("=")
            unit.environment[name] = value
            unit.files[path] += f" {word}\n"
        for setting in self.environment_files:
            for path in self._list_matching(expand_specifiers(setting.removeprefix("-"), self.specifiers)):
                self._read_environment_file(path)
        for path, _line, pairs in self.commands[:1]:
            unit.argv = self._expand(pairs)
            unit.files[path] += " ".join(raw for _word, raw in pairs)
        for path, line, _pairs in self.commands[1:]:
            unit.problems.append(
                f"{path}: line {line}: a second ExecStart=, with which systemd rejects the unit; reset it first by ExecStart="
            )

    def _list_matching(self, pattern: str) -> list[str]:
        if not pattern.startswith("/"):
            return []
        if not glob.has_magic(pattern):
            return [pattern]
        root = str(self.host.root).rstrip("/")
        return [path.removeprefix(root) for path in sorted(glob.glob(f"{root}{pattern}"))]

    def _read_environment_file(self, path: str) -> None:
        """Add the variables of an environment file, read like the manager does: a user's with that user's rights."""
        problems: list[str] = []
        try:
            text = self.host.read(path, user=self.instance.owner) if self.instance.owner or not self.instance.rootless else None
            if text is not None:
                text.encode()
                found = parse_environment(text, problems)
                self.unit.environment.update(found)
                self.unit.files[path] = "\n".join(found.values())
        except UnicodeEncodeError:
            problems.append("it is not UTF-8")
        except OSError as error:
            problems.append(f"it cannot be read ({error.strerror})")
        self._report(path, problems)

    def _expand(self, pairs: list[tuple[str, str]]) -> list[str]:
        words = takewhile(lambda word: word[1] != ";", pairs)  # commands after a semicolon are for Type=oneshot alone
        plain = [expand_specifiers(";" if raw == r"\;" else word, self.specifiers) for word, raw in words]
        if not plain:
            return []
        prefix = plain[0][: len(plain[0]) - len(plain[0].lstrip("-@:+!|"))]
        plain[0] = plain[0][len(prefix) :]
        if "@" in prefix:
            del plain[1:2]
        return plain if ":" in prefix else expand_command(plain, self.unit.environment)


def parse_settings(text: str, problems: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield line, key and value of each setting of [Service] or [Socket]. A comment inside a continued line is skipped, and the line continues."""
    inside, joined, begin = None, "", 0
    for number, line in enumerate([*re.split(r"\r\n?|\n", text.removeprefix("\ufeff")), ""], 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        begin = begin if joined else number
        joined += line
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = f"{joined[:-1]} "
            continue
        entry, joined = joined.strip(), ""
        key, equals, value = (part.strip() for part in entry.partition("="))
        if entry.startswith("["):
            if not entry.endswith("]"):
                problems.append(f"line {begin}: {entry[:60]} has no closing bracket; systemd ignores the rest of the file")
                return
            inside = entry[1:-1]
        elif entry and not (equals and key):
            problems.append(f"line {begin}: {entry[:60]!r} is not a setting (KEY=VALUE)")
        elif entry and inside is None:
            problems.append(f"line {begin}: {key}= is in no section")
        elif entry and inside in ("Service", "Socket"):
            yield begin, key, value


def split_words(text: str, escapes: bool = True) -> list[tuple[str, str]]:
    """Return the words of a line without quotes, and each as it was written. escapes: whether `\\n` and the like are C escapes.

    Raises ValueError for an unclosed quote, unless `escapes` is off: the value of a variable is split without complaint.
    """
    words: list[tuple[str, str]] = []
    word, quote, start = None, "", 0
    for piece in _PIECE.finditer(text):
        code, octal, escaped, mark, blank = piece.groups()
        if blank and not quote:
            if word is not None:
                words.append((word, text[start : piece.start()]))
            word = None
            continue
        if word is None:
            word, start = "", piece.start()
        if mark and quote in ("", mark):
            quote = "" if quote else mark
        elif escapes and (code or octal):
            word += chr(int(code, 16) if code else int(octal, 8))
        elif escaped is not None:
            word += _ESCAPES.get(escaped, piece[0]) if escapes else escaped
        else:
            word += piece[0]
    if quote and escapes:
        raise ValueError("a quote is not closed")
    return words if word is None else [*words, (word, text[start:])]


def parse_environment(text: str, problems: list[str]) -> dict[str, str]:
    """Return the variables of an environment file (systemd.exec(5), EnvironmentFile=). Every unclosed quote ends with the file."""
    found, at = {}, 0
    text = text.replace("\r", "\n").partition("\0")[0]
    while at < len(text):
        line = text[at:].partition("\n")[0]
        match = None if line.lstrip().startswith(("#", ";")) else _ASSIGNMENT.match(text, at)
        if match is None:
            if line.strip() and not line.lstrip().startswith(("#", ";")):
                problems.append(f"line {text.count(chr(10), 0, at) + 1}: it is not a variable (NAME=VALUE)")
            at += len(line) + 1
            continue
        name, quoted, rest = match[1].strip(), match[2], match[3]
        if _ASSIGNED.fullmatch(f"{name}="):
            value = "".join(_unquote(part) for part in re.findall(_QUOTED, quoted, re.DOTALL))
            plain = re.sub(r"\\(.?)", lambda found: found[1].strip("\n"), rest, flags=re.DOTALL)
            found[name] = value + (plain if rest.rstrip().endswith("\\") else plain.rstrip())
        else:
            problems.append(f"line {text.count(chr(10), 0, at) + 1}: {name[:40]!r} is not a variable's name")
        at = match.end() + 1
    return found


def _unquote(part: str) -> str:
    inner = part[1:-1] if len(part) > 1 and part.endswith(part[0]) else part[1:]
    return inner if part[0] == "'" else re.sub(r"\\(?:([\"\\`$])|\n)", lambda match: match[1] or "", inner)


def expand_specifiers(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its specifiers replaced (systemd.unit(5)); unknown ones are left as they are."""
    return re.sub("%(.)", lambda match: values.get(match[1], match[0]), text)


def expand_command(words: list[str], environment: Mapping[str, str]) -> list[str]:
    """Return a command with its variables: `$NAME` as a whole word is split at blanks, `${NAME}` is not, `$$` is a dollar (systemd.service(5))."""
    argv = words[:1]
    for word in words[1:]:
        if word.startswith("$") and word[1:2] not in ("{", "$"):
            argv += [part for part, unused in split_words(environment.get(word[1:], ""), escapes=False)]
        else:
            argv.append(re.sub(r"\$\$|\$\{([^}]*)\}", lambda match: "$" if match[1] is None else environment.get(match[1], ""), word))
    return argv
