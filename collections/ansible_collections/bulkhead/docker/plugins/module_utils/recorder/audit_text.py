# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes `audit` in front of the rules of a profile that allow something, so that the kernel reports what it allows. Pure.

What is allowed and denied stays the same: `audit` only reports (man 5 apparmor.d, Qualifiers). Deny rules stay as they are: without `audit` they are
silent, and with it they would not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..apparmor.syntax import PREFIXES, Statement, parse_policy

# These statements take no qualifier (apparmor 4.1, parser/parser_yacc.y).
_NO_RULES = ("include", "abi", "alias", "set", "rlimit")


def add_audit(text: str) -> str:
    """Return a text with `audit` in front of each allow rule of all profiles, children and hats. Includes must have been expanded.

    In the grammar, `audit` follows `priority=` and precedes `allow` and `owner` (apparmor 4.1, parser/parser_yacc.y, opt_prefix).
    """
    found, end = [], 0
    for start in sorted(set(_list_rule_starts(parse_policy(text), in_profile=False))):
        found += [text[end:start], "audit "]
        end = start
    return "".join([*found, text[end:]])


def _list_rule_starts(statements: Iterable[Statement], in_profile: bool) -> Iterator[int]:
    for statement in statements:
        qualifiers = _list_qualifiers(statement)
        if statement.body is not None:
            # A block `audit {` or `deny {` applies to the rules in it; the parser may reject a qualifier that is given twice.
            if statement.is_profile or not qualifiers & {"audit", "deny"}:
                yield from _list_rule_starts(statement.body, in_profile or statement.is_profile)
        elif in_profile and not qualifiers & {"audit", "deny"} and _is_rule(statement):
            yield statement.start


def _list_qualifiers(statement: Statement) -> set[str]:
    found = set()
    for part in statement.parts:
        if part.word == "priority" and part.has_values:
            continue
        if part.has_values or part.word not in PREFIXES:
            break
        found.add(part.word)
    return found


def _is_rule(statement: Statement) -> bool:
    first = statement.parts[0]
    return first.word not in _NO_RULES and not (first.has_values and first.word[:1] in ("@", "$"))
