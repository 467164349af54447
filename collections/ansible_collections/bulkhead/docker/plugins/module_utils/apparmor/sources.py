# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/apparmor.d: profiles' files, what they include, and the links that change how a file is loaded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping

from ..host.files import sha256
from ..host.root import Host

FOLDER = "/etc/apparmor.d"
# A link of a profile's name in FOLDER/force-complain has it loaded in complain mode, one in FOLDER/disable not at all
# (apparmor parser/parser_main.c, test_for_dir_mode; aa-complain and aa-disable set and remove them).
COMPLAIN_LINK = "force-complain"
DISABLE_LINK = "disable"

PARSERS = ("/usr/sbin/apparmor_parser", "/sbin/apparmor_parser")
_CONFIGURATION = "/etc/apparmor/parser.conf"
_INCLUDE = re.compile(r'(?m)^\s*(?:#?include(?:\s+if\s+exists)?|abi)\s+(?:<([^>\n]+)>|"([^"\n]+)")')


def find_parser(host: Host) -> str | None:
    return next((path for path in PARSERS if host.path(path).exists()), None)


def read_files(host: Host) -> dict[str, str]:
    """Each file directly in /etc/apparmor.d, as AppArmor would load it at boot: name → SHA-256 of its text."""
    found = {}
    try:
        entries = sorted(os.scandir(host.path(FOLDER)), key=lambda entry: entry.name)
    except FileNotFoundError:
        return {}
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_file():
            found[entry.name] = sha256(host.read(f"{FOLDER}/{entry.name}") or "")
    return found


def read_links(host: Host) -> dict[str, list[str]]:
    """The files that have one of the two links: name → which."""
    found: dict[str, list[str]] = {}
    for kind in (COMPLAIN_LINK, DISABLE_LINK):
        folder = host.path(f"{FOLDER}/{kind}")
        for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
            found.setdefault(name, []).append(kind)
    return found


class CompileInputs:
    """What decides, besides the profile's own text, how it compiles: included files, the parser, and its configuration.

    One digest stands for all of it. Included files are read once, however many profiles include them.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._texts: dict[str, str | None] = {}
        self._common = [host.read(_CONFIGURATION) or ""]
        parser = find_parser(host)
        if parser:
            status = host.path(parser).stat()
            self._common.append(f"{status.st_size} {status.st_mtime_ns}")

    def digest(self, text: str) -> str:
        """SHA-256 over the names and texts of everything that `text` includes, directly or not."""
        seen: dict[str, str | None] = {}
        self._collect(text, seen)
        whole = hashlib.sha256("\0".join(self._common).encode("utf-8", "surrogateescape"))
        for path in sorted(seen):
            whole.update(f"\0{path}\0{seen[path] or ''}".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def _collect(self, text: str, seen: dict[str, str | None]) -> None:
        for found in _INCLUDE.finditer(text):
            name = found[1] or found[2]
            for path in self._expand(name if name.startswith("/") else f"{FOLDER}/{name}"):
                if path not in seen:
                    seen[path] = self._read(path)
                    self._collect(seen[path] or "", seen)

    def _expand(self, path: str) -> Iterator[str]:
        """An include of a folder takes every file in it (man 5 apparmor.d, Include)."""
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
    """Whether systemd loads /etc/apparmor.d at boot; None without systemd's files to tell by."""
    unit = host.path("/etc/systemd/system/apparmor.service")
    if unit.is_symlink() and os.readlink(unit) == "/dev/null":
        return False
    folders = [path for path in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system") if host.path(path).is_dir()]
    if not folders:
        return None
    return any(host.path(path).is_symlink() for folder in folders for path in _list_unit_links(host, folder))


def _list_unit_links(host: Host, folder: str) -> Iterator[str]:
    for entry in os.scandir(host.path(folder)):
        if entry.name.endswith((".target.wants", ".target.requires")):
            yield f"{folder}/{entry.name}/apparmor.service"


def list_differences(seen: Mapping[str, object], sha: str, mode: str) -> list[str]:
    """What keeps a profile from being what is desired, each as the end of a sentence that begins with its name; empty when nothing does.

    seen: `sha256` of its file (None without one), `links`, `mode` in the kernel (None when not loaded), `current`: whether the kernel's
    policy is what the file compiles to (None when that can't be told), `ours`: whether it is remembered as ours.
    """
    if seen["sha256"] is None and seen["mode"] is None and not seen["ours"]:
        return ["is new"]
    found = []
    if seen["sha256"] is None:
        found.append("has no file")
    elif seen["sha256"] != sha:
        found.append("has another text")
    present = seen["links"]
    if not isinstance(present, list):
        raise TypeError(f"links: {present!r}")
    if DISABLE_LINK in present:
        found.append(f"is kept from being loaded at boot by {FOLDER}/{DISABLE_LINK}")
    if mode == "complain" and COMPLAIN_LINK not in present:
        found.append(f"is not marked for complain mode in {FOLDER}/{COMPLAIN_LINK}")
    if mode == "enforce" and COMPLAIN_LINK in present:
        found.append(f"is put into complain mode by {FOLDER}/{COMPLAIN_LINK}")
    if seen["mode"] is None:
        found.append("is not loaded")
    elif seen["mode"] != mode:
        found.append(f"is in {seen['mode']} mode")
    if seen["current"] is False and seen["sha256"] == sha:
        found.append("is loaded with another policy than its file has now")
    if not found and not seen["ours"]:
        found.append("is there already, and becomes ours")
    return found
