# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a path that was accessed into an AppArmor pattern without what differs from run to run: process IDs, hashes, random names, users. Pure.

A path becomes a pattern exactly once, on the host, before it is counted. So a program cannot widen its own profile by a file whose name contains `*`:
characters with a meaning in patterns are escaped. Each pattern matches the path it was made of, and only paths with as many folders.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

# Folders whose entries have random names.
TEMPORARY = (("tmp",), ("var", "tmp"), ("dev", "shm"))
NUMBER, HEX, ANY = "[0-9]*", "[0-9a-fA-F]*", "*"

# What is replaced in any name. The first alternative that matches at a place wins.
_UUID = r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
# Hashes from MD5 on, IDs of containers and images.
_HASH = r"(?<![0-9A-Za-z])[0-9a-fA-F]{32,}(?![0-9A-Za-z])"
# Tokens whose issuers made them recognisable: GitHub, GitLab, Slack, AWS, JSON Web Tokens.
_KNOWN_TOKEN = (
    r"(?<![0-9A-Za-z])(?:gh[a-z]_[0-9A-Za-z]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|eyJ[\w-]{10,}"
    r"(?:\.[\w-]+){0,2})"
)
# Other tokens, if `_is_random` agrees: at least 20 characters of the alphabet of base64 for file names.
_TOKEN = r"(?<![\w-])[\w-]{20,}(?![\w-])"
# Names of daily files. Eight digits in a row are a number.
_DATE = r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])"
# Process IDs, times, serial numbers.
_NUMBER = r"(?<![0-9])[0-9]{6,}(?![0-9])"
_VARYING = re.compile(f"(?P<uuid>{_UUID})|(?P<hash>{_HASH})|(?P<known>{_KNOWN_TOKEN})|(?P<date>{_DATE})|(?P<number>{_NUMBER})", re.ASCII)
_TOKENS = re.compile(_TOKEN, re.ASCII)
_REPLACED = {
    "uuid": "-".join([HEX] * 5),
    "hash": HEX,
    "known": ANY,
    "date": "-".join([NUMBER] * 3),
    "number": NUMBER,
}
# Below temporary folders only. mktemp(1): tmp. and ten characters. Python's tempfile: tmp and eight characters, then perhaps a suffix.
# Other programs: mkstemp(3) with a prefix, a separator and six or more characters, if `_is_mixed` agrees.
_MKTEMP = re.compile(r"tmp\.[0-9A-Za-z]{10}")
_TEMPFILE = re.compile(r"tmp[a-z0-9_]{8}(?P<suffix>\.\w+)?", re.ASCII)
_SUFFIX = re.compile(r"(?P<prefix>.*[._-])(?P<random>[0-9A-Za-z]{6,12})(?P<suffix>\.[a-z]{1,5})?")
# Characters with a meaning in patterns (apparmor parser/parser_regex.c, convert_aaregex_to_pcre).
_SPECIAL = re.compile(r"[*?\[\]{}^,\\]")
# Characters that a profile cannot contain or that end a quoted word: any one character stands for each. Surrogates are bytes that are not UTF-8.
_UNWRITABLE = re.compile(r'[\x00-\x1f\x7f"\ud800-\udfff]')
_PROCESS = re.compile(r"[1-9][0-9]*")


def generalise_variables(path: str) -> str:
    """Return the AppArmor pattern for a path that was accessed.

    /proc/PID becomes @{PROC}/@{pid}, task/TID below it task/@{tid}, and fd/N below it fd/[0-9]*; /proc/self stays. A user below /home and /run/user
    becomes * and [0-9]*. UUIDs, hashes of 32 or more digits, dates, numbers of six or more digits and tokens are replaced in every name,
    random names below TEMPORARY too.
    """
    names = path.split("/")
    if names[1:2] == ["proc"] and len(names) > 2 and _PROCESS.fullmatch(names[2]):
        return "/".join(["@{PROC}", "@{pid}", *_generalise_process(names[3:])])
    folder: Sequence[str] = names[1:]
    start = 1
    patterns = names[:1]
    if folder[:1] == ["home"] and len(folder) > 1 and folder[1]:
        patterns += ["home", ANY]
        start = 3
    elif list(folder[:2]) == ["run", "user"] and len(folder) > 2 and folder[2]:
        patterns += ["run", "user", NUMBER if folder[2].isdecimal() else ANY]
        start = 4
    temporary = next((len(base) for base in TEMPORARY if tuple(folder[: len(base)]) == base), None)
    for position in range(start, len(names)):
        is_temporary = temporary is not None and position > temporary
        patterns.append((_generalise_temporary(names[position]) if is_temporary else None) or _generalise_name(names[position]))
    return "/".join(patterns)


def escape(text: str) -> str:
    """Return the pattern that matches a text only. Characters that cannot be written are replaced by `?`, which matches any one character."""
    return _UNWRITABLE.sub("?", _SPECIAL.sub(lambda found: f"\\{found[0]}", text))


def _generalise_process(names: Sequence[str]) -> list[str]:
    """Return the patterns of what follows /proc/PID."""
    patterns: list[str] = []
    for position, name in enumerate(names):
        before = names[position - 1] if position else ""
        if before == "task" and position == 1 and _PROCESS.fullmatch(name):
            patterns.append("@{tid}")
        elif before in ("fd", "fdinfo") and name.isdecimal():
            patterns.append(NUMBER)
        else:
            patterns.append(_generalise_name(name))
    return patterns


def _generalise_name(name: str) -> str:
    """Return the pattern of one name in a path."""
    pattern, done = "", 0
    for found in _TOKENS.finditer(name):
        if _is_random(found[0]) and not any(part.lastgroup in ("uuid", "hash", "known") for part in _VARYING.finditer(found[0])):
            pattern += _generalise_fixed(name[done : found.start()]) + ANY
            done = found.end()
    return pattern + _generalise_fixed(name[done:])


def _generalise_fixed(text: str) -> str:
    """Return the pattern of a part of a name, by the rules that need no guess."""
    pattern, done = "", 0
    for found in _VARYING.finditer(text):
        pattern += escape(text[done : found.start()]) + _REPLACED[str(found.lastgroup)]
        done = found.end()
    return pattern + escape(text[done:])


def _generalise_temporary(name: str) -> str | None:
    """Return the pattern of a random name in a temporary folder; None if it is not one."""
    if _MKTEMP.fullmatch(name):
        return "tmp.*"
    if found := _TEMPFILE.fullmatch(name):
        return f"tmp*{escape(found['suffix'] or '')}"
    if (found := _SUFFIX.fullmatch(name)) and _is_mixed(found["random"]):
        return f"{_generalise_name(found['prefix'])}*{escape(found['suffix'] or '')}"
    return None


def _is_mixed(text: str) -> bool:
    """Return whether six or more characters look random: letters and digits, or a capital after the first character next to small letters.

    Words, `Config` and numbers do not. Random characters that happen to look like a word stay, and are a file of their own.
    """
    has_digit, has_letter = any(sign.isdigit() for sign in text), any(sign.isalpha() for sign in text)
    return has_letter and (has_digit or (any(sign.isupper() for sign in text[1:]) and any(sign.islower() for sign in text)))


def _is_random(text: str) -> bool:
    """Return whether 20 or more characters look like a token: small letters, capitals and digits that alternate often.

    Of random characters, 62 % are of another kind than the character before; of names such as libQt5WaylandEglClientHwIntegration at most 40 %.
    """
    kinds = ["0" if sign.isdigit() else "A" if sign.isupper() else "a" for sign in text if sign.isalnum()]
    changes = sum(1 for before, after in pairwise(kinds) if before != after)
    return len(kinds) >= 20 and len(set(kinds)) == 3 and changes >= 0.45 * (len(kinds) - 1)
