# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads the profiles of running containers with `audit` in front of their allow rules, and restores them.

A profile is only replaced if its text is known: if the text compiles to exactly the data that the kernel has. Processes that it confines get the new
data at once and keep their label and mode (Linux security/apparmor/policy.c, __replace_profile).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..apparmor import policy, sources
from ..apparmor.changes import read_raw_data
from ..apparmor.parser import Parser, PolicyError
from ..host import state
from ..host.files import ensure_folder, fsync_folder, write_atomically
from ..host.root import Host
from .audit_text import add_audit
from .docker_default import NAME as DOCKER_DEFAULT
from .docker_default import list_candidates
from .folders import PROFILES as FOLDER

_ORIGINAL, _RECORDING = "original", "recording"
# The name in the header of each DFA (apparmor parser/libapparmor_re/chfa.cc), which the kernel skips (Linux security/apparmor/match.c, aa_dfa_unpack).
_DFA_NAMES = (b"notflex\0", b"notfleX\0")
# From this version, the kernel reports a capability once per second and credentials (security/apparmor/capability.c, audit_caps).
_REPORTS_AGAIN = (6, 13)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Reload:
    """A profile, and a message why it is not recorded; empty if it is recorded."""

    profile: str
    problem: str


def record_profile(host: Host, name: str) -> Reload:
    """Reload a profile with `audit`; keep the original data and those with `audit` in FOLDER. One that is recorded already stays as it is."""
    try:
        return Reload(name, _record(host, name))
    except (PolicyError, OSError, ValueError) as error:
        return Reload(name, f"profile {name} is not recorded: {error}")


def find_replaced(host: Host) -> list[str]:
    """Return the profiles under recording whose loaded data are no longer the recorder's. Raises OSError, ValueError."""
    known = sorted(state.load(host, policy.RECORDED))
    return [name for name in known if not ((found := policy.read_profile(host, name)) and found["recording"])]


def refresh_profiles(host: Host) -> list[str]:
    """Load the recorder's data anew, so that the kernel reports capabilities again. Returns problems, one message each.

    Before 6.13, the kernel reports a capability once per profile and processor, until one of another profile is reported there. So it does not report
    those of a second container under docker-default. A profile that is loaded anew counts as another one. The kernel does not load equal data
    (security/apparmor/policy.c, aa_replace_profiles). So two forms of the data take turns, which differ in a name that the kernel skips.
    """
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if found and (int(found[1]), int(found[2])) >= _REPORTS_AGAIN:
        return []
    problems = []
    parser = Parser.find_installed(host)
    for name, known in state.load(host, policy.RECORDED).items():
        try:
            loaded = policy.read_loaded_profile(host, name)
            if parser and loaded and loaded["hashes"] in known[_RECORDING]:
                data = _locate(host, name, _RECORDING).read_bytes()
                if any(policy.digest_as(value, data) != value for value in known[_RECORDING][0].values()):
                    raise PolicyError(f"{_locate(host, name, _RECORDING)} is damaged")
                parser.load_compiled(name, _rename_dfas(data) if loaded["hashes"] != known[_RECORDING][1] else data)
        except (PolicyError, OSError, ValueError) as error:
            problems.append(f"capabilities of containers under {name} can be missing: {error}")
    return problems


def restore_profiles(host: Host) -> list[str]:
    """Load the original data where the loaded data are still the recorder's, and forget them. Returns what could not be restored."""
    problems = []
    try:
        for name, known in state.load(host, policy.RECORDED).items():
            try:
                _restore(host, name, known)
            except (PolicyError, OSError, ValueError) as error:
                problems.append(f"profile {name} stays loaded with audit rules: {error}")
            else:
                _forget(host, name)
        if not problems and (folder := host.path(FOLDER)).is_dir():
            folder.rmdir()
    except (OSError, ValueError) as error:
        problems.append(f"{FOLDER}: {error}")
    return problems


def _record(host: Host, name: str) -> str:
    loaded = policy.read_loaded_profile(host, name) if _NAME.fullmatch(name) else None
    known = state.load(host, policy.RECORDED).get(name)
    if known and loaded and loaded["hashes"] in known[_RECORDING]:
        return ""
    if known:  # another program has loaded it anew
        _forget(host, name)
    if loaded is None:
        return f"profile {name} is not recorded, because it is not loaded"
    if loaded["mode"] not in policy.ENFORCING:
        return f"profile {name} is not recorded, because it is in {loaded['mode']} mode; load it in enforce mode"
    parser = Parser.find_installed(host)
    if parser is None:
        return f"profile {name} is not recorded, because apparmor_parser does not exist; install the package apparmor"
    original = read_raw_data(host, name)
    if not original or None in loaded["hashes"].values():
        return f"profile {name} is not recorded, because the kernel keeps no copy of its policy (parameter apparmor.export_binary)"
    text = _find_text(host, parser, name, loaded["hashes"])
    if text is None:
        place = "an unknown version of docker-default" if name == DOCKER_DEFAULT else f"not {sources.FOLDER}/{name}"
        return f"profile {name} is not recorded, because the loaded policy is {place}; its rules are unknown"
    _replace(host, parser, name, loaded["hashes"], original, parser.compile_text(name, add_audit(text)))
    return ""


def _find_text(host: Host, parser: Parser, name: str, hashes: Mapping[str, str | None]) -> str | None:
    """Return the text without includes that compiles to exactly the loaded data; None if no text does."""
    if name == DOCKER_DEFAULT:
        texts = list_candidates(host)
    else:
        file = host.read(f"{sources.FOLDER}/{name}")
        texts = iter([] if file is None else [file])
    for text in texts:
        expanded = parser.expand_includes(name, text)
        if policy.is_same_policy(hashes, parser.compile_text(name, expanded)):
            return expanded
    return None


def _replace(host: Host, parser: Parser, name: str, hashes: Mapping[str, str | None], original: list[bytes], recording: bytes) -> None:
    """Keep both data, load those with `audit` and check what the kernel has. If that fails, the original data are loaded again."""
    if set(policy.split_compiled(recording)) != set(hashes):
        raise PolicyError("its text with audit rules has other child profiles")
    for folder in (ensure_folder(host) / "recorder", host.path(FOLDER)):
        folder.mkdir(mode=0o700, exist_ok=True)
    _write(_locate(host, name, _ORIGINAL), b"".join(original))
    _write(_locate(host, name, _RECORDING), recording)
    # Remembered before they are loaded: of an interrupted run, the loaded data are either the original or those that are remembered.
    entry = {
        _ORIGINAL: dict(hashes),
        _RECORDING: [
            {child: policy.digest_as(str(value), data) for child, value in hashes.items()} for data in (recording, _rename_dfas(recording))
        ],
        "sizes": [len(data) for data in original],
    }
    _remember(host, name, entry)
    try:
        parser.load_compiled(name, recording)
        loaded = policy.read_loaded_profile(host, name)
        if loaded is None or not policy.is_same_policy(loaded["hashes"], recording):
            raise PolicyError("the kernel's policy is not what was loaded")
        if loaded["hashes"] not in entry[_RECORDING]:  # loaded per profile
            _remember(host, name, {**entry, _RECORDING: [*entry[_RECORDING], loaded["hashes"]]})
    except (PolicyError, OSError) as error:
        for data in original:
            parser.load_compiled(name, data)
        _forget(host, name)
        raise PolicyError(f"{error}; its original policy is loaded") from error


def _restore(host: Host, name: str, known: Mapping[str, Any]) -> None:
    loaded = policy.read_loaded_profile(host, name)
    if loaded is None or loaded["hashes"] not in known[_RECORDING]:
        return
    parser = Parser.find_installed(host)
    if parser is None:
        raise PolicyError("apparmor_parser does not exist; install the package apparmor")
    path = _locate(host, name, _ORIGINAL)
    data, pieces, at = path.read_bytes(), [], 0
    for size in known["sizes"]:
        pieces.append(data[at : at + size])
        at += size
    for value in known[_ORIGINAL].values():
        if all(policy.digest_as(value, piece) != value for piece in pieces):
            raise PolicyError(f"{path} is damaged; load {name} from its file, or restart the engine")
    for piece in pieces:
        parser.load_compiled(name, piece)
    loaded = policy.read_loaded_profile(host, name)
    if loaded is None or loaded["hashes"] != known[_ORIGINAL]:
        raise PolicyError("the kernel's policy is not the original one")


def _rename_dfas(data: bytes) -> bytes:
    return data.replace(*_DFA_NAMES)


def _locate(host: Host, name: str, kind: str) -> Path:
    return host.path(f"{FOLDER}/{name}.{kind}")


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data.decode("utf-8", "surrogateescape"), mode=0o600)


def _remember(host: Host, name: str, entry: Mapping[str, Any]) -> None:
    state.save(host, policy.RECORDED, {**state.load(host, policy.RECORDED), name: entry})


def _forget(host: Host, name: str) -> None:
    state.save(host, policy.RECORDED, {key: entry for key, entry in state.load(host, policy.RECORDED).items() if key != name})
    for kind in (_ORIGINAL, _RECORDING):
        _locate(host, name, kind).unlink(missing_ok=True)
    fsync_folder(host.path(FOLDER))
