# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads /etc/apparmor.d: files of profiles, their includes, and the links that change how a file is loaded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress

from ..host.root import Host

FOLDER = "/etc/apparmor.d"
# A file with a link of its name in FOLDER/force-complain is loaded in complain mode, one in FOLDER/disable is not loaded
# (apparmor parser/parser_main.c, test_for_dir_mode; aa-complain and aa-disable set and remove them).
COMPLAIN_LINK = "force-complain"
DISABLE_LINK = "disable"

PARSERS = ("/usr/sbin/apparmor_parser", "/sbin/apparmor_parser")
PARSER_CONFIGURATION = "/etc/apparmor/parser.conf"
_INCLUDE = re.compile(r'(?m)^\s*(?:#?include(?:\s+if\s+exists)?|abi)\s+(?:<([^>\n]+)>|"([^"\n]+)")')


def find_parser(host: Host) -> str | None:
    """Return the path of apparmor_parser; None if it is not installed."""
    return next((path for path in PARSERS if host.path(path).exists()), None)


def has_complain_option(host: Host) -> bool:
    """Return whether the parser's configuration makes it load every profile in complain mode."""
    return re.search(r"(?m)^\s*Complain\b", host.read(PARSER_CONFIGURATION) or "") is not None


def read_files(host: Host) -> dict[str, str]:
    """Return the files directly in /etc/apparmor.d, which AppArmor loads at boot: name -> SHA-256 of the text."""
    found = {}
    try:
        entries = sorted(os.scandir(host.path(FOLDER)), key=lambda entry: entry.name)
    except FileNotFoundError:
        return {}
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_file():
            # Any size: one large file must not hide the others.
            with suppress(FileNotFoundError), open(entry.path, "rb") as handle:
                found[entry.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def read_links(host: Host) -> dict[str, list[str]]:
    """Return the files that have one of the two links: name -> links."""
    found: dict[str, list[str]] = {}
    for kind in (COMPLAIN_LINK, DISABLE_LINK):
        folder = host.path(f"{FOLDER}/{kind}")
        for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
            found.setdefault(name, []).append(kind)
    return found


class CompileInputs:
    """What affects how a profile compiles, except its text: included files, the parser and its configuration.

    One digest covers all of it. Each included file is read once.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._texts: dict[str, str | None] = {}
        self._common = [host.read(PARSER_CONFIGURATION) or ""]
        parser = find_parser(host)
        if parser:
            status = host.path(parser).stat()
            self._common.append(f"{status.st_size} {status.st_mtime_ns}")

    def digest(self, text: str) -> str:
        """Return the SHA-256 of names and texts of all direct and indirect includes of `text`."""
        includes: dict[str, str | None] = {}
        self._collect(text, includes)
        whole = hashlib.sha256("\0".join(self._common).encode("utf-8", "surrogateescape"))
        for path in sorted(includes):
            whole.update(f"\0{path}\0{includes[path] or ''}".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def _collect(self, text: str, includes: dict[str, str | None]) -> None:
        for found in _INCLUDE.finditer(text):
            name = found[1] or found[2]
            for path in self._expand(name if name.startswith("/") else f"{FOLDER}/{name}"):
                if path not in includes:
                    includes[path] = self._read(path)
                    self._collect(includes[path] or "", includes)

    def _expand(self, path: str) -> Iterator[str]:
        """Yield the files of an include; a folder includes every file in it (man 5 apparmor.d, Include)."""
        real = self._host.path(path)
        if real.is_dir():
            yield from (f"{path}/{name}" for name in sorted(os.listdir(real)) if not name.startswith(".") and (real / name).is_file())
        else:
            yield path

    def _read(self, path: str) -> str | None:
        if path not in self._texts:
            self._texts[path] = self._host.read(path)
        return self._texts[path]


def is_loaded_at_boot(host: Host) -> bool | None:
    """Return whether systemd loads /etc/apparmor.d at boot; None without systemd."""
    if host.read_link("/etc/systemd/system/apparmor.service") == "/dev/null":
        return False
    folders = [path for path in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system") if host.path(path).is_dir()]
    if not folders:
        return None
    return any(host.read_link(path) for folder in folders for path in _list_unit_links(host, folder))


def _list_unit_links(host: Host, folder: str) -> Iterator[str]:
    for entry in os.scandir(host.path(folder)):
        if entry.name.endswith((".target.wants", ".target.requires")):
            yield f"{folder}/{entry.name}/apparmor.service"
