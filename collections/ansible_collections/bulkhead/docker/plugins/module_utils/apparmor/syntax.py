# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the text of AppArmor profiles as apparmor_parser does: statements, blocks, flags. Used by the control node and the recorder.

Texts are only split, never judged: what the parser rejects may be read in any way. Included files are on the host and are not read.
Source: apparmor 3.0.8 to 4.1, parser/parser_lex.l and parser_yacc.y.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Flags that set a mode in which the kernel alone does not confine, and what they do. The other modes are `enforce`, the default, and `kill`
# (parser/profile.cc, profile_mode_table). The kernel shows `default_allow` as unconfined, and `prompt` as user.
PERMISSIVE = {
    "complain": "only logs",
    "unconfined": "denies nothing",
    "default_allow": "allows what no rule denies",
    "prompt": "leaves decisions to a program on the host",
}
PREFIXES = ("audit", "allow", "deny", "prompt", "owner", "user", "other", "quiet", "access")
_CONDITIONS = ("if", "else")
# In these rules `{` begins a pattern, elsewhere it begins a block.
_RULES = (
    "signal", "mount", "remount", "umount", "unmount", "dbus", "ptrace", "unix", "network", "mqueue", "io_uring", "userns",
    "change_profile", "pivot_root",
)  # fmt: skip

_DEPTH = 50
_QUOTED = r'"(?:\\"|[^"\0])*"'
# A comma belongs to a word if the word continues behind it.
_LONG = re.compile(rf'{_QUOTED}|(?:\\[ \t"!,]|,[^\s"!,]|[^\s"!,])+')
_PATTERN = re.compile(rf'{_QUOTED}|[/@:&](?:\\[ \t"!,]|,[^\s"!,]|[^\s"!,])*')
_PLAIN = re.compile(r"[^\s\"!,(){}=#^]+")
_LISTED = re.compile(rf'{_QUOTED}|[^\s"!,()]+')
_FILE = re.compile(rf"<[^>\n]*>|{_QUOTED}|[^\s,<>]+")
_INCLUDE = re.compile(r"(?:include[ \t]+|#include[ \t]*)(?:if[ \t]+exists[ \t]+)?(?=[<\"\w/])")
_BLANK = re.compile(r"\s+")
_ASSIGNMENT = re.compile(r"(@\{\w+\}|@\w+|\$\{?\w+\}?)[ \t]*[+?:]?=((?:\\\n|[^\n])*)")
_UNCONFINED = re.compile(r"[rwamlkRWAMLK]*[pPcC]?[uU][xX][rwamlkRWAMLK]*")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|d(\d{1,3})|x([0-9a-fA-F]{1,2})|([\\\"]))")


@dataclass(frozen=True)
class StatementPart:
    """A piece of a statement: a word, a list in parentheses, or a condition NAME=VALUE or NAME=(VALUES)."""

    word: str = ""
    values: tuple[str, ...] = ()
    has_values: bool = False


@dataclass
class Statement:
    """A rule, an include, an assignment to a variable, or the head of a block with its `body`. body is None if it is not a block.

    start: where a rule begins in the text, behind its `priority=`.
    """

    parts: list[StatementPart]
    body: list[Statement] | None = None
    start: int = field(default=0, compare=False)

    @property
    def words(self) -> list[str]:
        return [part.word for part in self.parts if not part.has_values]

    @property
    def is_profile(self) -> bool:
        """Return whether the block is a profile or a hat, and not a condition or a group of rules."""
        words = self.words
        return self.body is not None and bool(words) and words[0] not in _CONDITIONS and any(word not in PREFIXES for word in words)

    @property
    def name(self) -> str:
        """Return the name of a profile or hat."""
        words = self.words
        return words[1] if len(words) > 1 and words[0] in ("profile", "hat", "^") else words[0] if words else ""

    @property
    def flags(self) -> list[str]:
        """Return the flags of a profile; `flags=` before the parentheses may be left out."""
        return [value for part in self.parts if part.has_values and part.word in ("", "flags") for value in part.values]


@dataclass
class Profile:
    """A profile or hat of a text; `name` includes those of its parents: PARENT//CHILD."""

    name: str
    flags: list[str]
    body: list[Statement] = field(default_factory=list)


def parse_policy(text: str) -> list[Statement]:
    """Return the statements of a text."""
    return _Reader(text).read_statements()


def list_profiles(statements: list[Statement], parent: str = "") -> Iterator[Profile]:
    """Yield each profile and hat, recursively, wherever it is written."""
    for statement in statements:
        name = parent
        if statement.is_profile:
            name = f"{parent}//{statement.name}" if parent else statement.name
            yield Profile(name, statement.flags, statement.body or [])
        yield from list_profiles(statement.body or [], name)


def list_rules(body: Iterable[Statement], effect: str = "allow") -> Iterator[tuple[str, Statement]]:
    """Yield the rules of a profile and of the groups and conditions in it, each with `deny` or `allow`."""
    for statement in body:
        own = "deny" if "deny" in statement.words else effect
        if statement.body is None:
            yield own, statement
        elif not statement.is_profile:
            yield from list_rules(statement.body, own)


def list_unconfined_programs(body: Iterable[Statement]) -> list[str]:
    """Return the rules that let a process leave its profile for none: execution with `ux`, `change_profile` to any profile or to none."""
    found = []
    for effect, statement in list_rules(body):
        words = [word for word in statement.words if word not in PREFIXES]
        text = " ".join(words)
        changes = words[:1] == ["change_profile"] and (len(words) < 2 or words[-1] in ("unconfined", "**", "*", "change_profile"))
        if effect == "allow" and (changes or (any(word[:1] in "/@{" for word in words) and any(map(_UNCONFINED.fullmatch, words)))):
            found.append(text)
    return found


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def read_statements(self) -> list[Statement]:
        """Read the whole text. Blocks that are nested more than `_DEPTH` times are read into the one around them."""
        found: list[Statement] = []
        blocks = [found]
        parts: list[StatementPart] = []
        start = 0
        while self._skip_blank():
            sign = self.text[self.at]
            if all(part.word == "priority" for part in parts):
                start = self.at
            is_rule = next((part.word for part in parts if part.word not in PREFIXES), "") in _RULES
            is_named = parts[-1:] == [StatementPart("->")] or parts in (
                [StatementPart("profile")],
                [StatementPart("hat")],
            )  # a name follows, with any first character
            if not is_rule and (include := _INCLUDE.match(self.text, self.at)):  # also in the middle of a statement
                self.at = include.end()
                blocks[-1].append(Statement([StatementPart("include"), StatementPart(self._read_word(_FILE).strip('<>" '))]))
            elif not parts and (assigned := _ASSIGNMENT.match(self.text, self.at)):  # it ends with the line
                self.at = assigned.end()
                blocks[-1].append(Statement([StatementPart(assigned[1], _read_values(assigned[2]), True)]))
            elif sign in ",}":
                self.at += 1
                blocks[-1] += [Statement(parts, None, start)] if parts else []
                parts = []
                if sign == "}" and len(blocks) > 1:
                    blocks.pop()
            elif sign == "{" and not is_rule and not is_named:
                self.at += 1
                body: list[Statement] = []
                blocks[-1].append(Statement(parts, body))
                blocks.append(body if len(blocks) < _DEPTH else blocks[-1])
                parts = []
            else:
                self._read_part(parts, is_named)
        blocks[-1] += [Statement(parts, None, start)] if parts else []
        return found

    def _skip_blank(self) -> bool:
        """Skip blanks and comments; return whether there is more."""
        while self.at < len(self.text):
            if match := _BLANK.match(self.text, self.at):
                self.at = match.end()
            elif self.text[self.at] == "#" and not _INCLUDE.match(self.text, self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return True
        return False

    def _read_part(self, parts: list[StatementPart], is_named: bool) -> None:
        sign = self.text[self.at]
        if is_named:
            word = self._read_word(_LONG)
            if len(word) > 1 and word.endswith("{"):  # the parser would take the brace for a part of the name, and reject the text
                self.at, word = self.at - 1, word[:-1]
            parts.append(StatementPart(decode_word(word)))
        elif sign == "(":
            parts.append(StatementPart("", self._read_list(), True))
        elif sign == "=":
            self.at += 1
            name = parts.pop().word if parts and not parts[-1].has_values else ""
            self._skip_blank()
            listed = self.text.startswith("(", self.at)
            parts.append(StatementPart(name, self._read_list() if listed else (decode_word(self._read_word(_LONG)),), True))
        elif sign == "^":
            self.at += 1
            parts += [StatementPart("^"), StatementPart(decode_word(self._read_word(_LONG)))]
        elif sign in '/@:&"' or sign == "{":
            parts.append(StatementPart(decode_word(self._read_word(_LONG if sign == "{" else _PATTERN))))
        else:
            parts.append(StatementPart(self._read_word(_PLAIN)))

    def _read_list(self) -> tuple[str, ...]:
        """Read a list in parentheses; lists in it are read into it."""
        depth, found = 0, []
        while self.at < len(self.text):
            sign = self.text[self.at]
            match = _LISTED.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1
            if match:
                found.append(decode_word(match[0]))
            depth += {"(": 1, ")": -1}.get(sign, 0)
            if depth == 0:
                break
        return tuple(found)

    def _read_word(self, pattern: re.Pattern[str]) -> str:
        """Read a word; a character that cannot begin one is skipped."""
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match and match[0] else self.at + 1
        return match[0] if match else ""


def _read_values(text: str) -> tuple[str, ...]:
    return tuple(decode_word(value) for value in _LONG.findall(re.sub(r"(^|\s)#.*", "", text.replace("\\\n", " "))))


def decode_word(word: str) -> str:
    """Return a word without quotes and with its escapes decoded, except those of characters that are syntax in patterns (processunquoted)."""

    def decode(match: re.Match[str]) -> str:
        octal, decimal, hexadecimal, sign = match.groups()
        if sign:
            return "\\\\" if sign == "\\" else sign
        found = chr(int(octal, 8) if octal else int(decimal) if decimal else int(hexadecimal, 16))
        return f"\\{found}" if found in "*?[]{}^,\\" else found

    inner = word[1:-1] if len(word) > 1 and word.startswith('"') and word.endswith('"') else word
    return _ESCAPE.sub(decode, inner)
