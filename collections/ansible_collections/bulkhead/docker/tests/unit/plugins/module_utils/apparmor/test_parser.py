# SPDX-License-Identifier: GPL-3.0-or-later
"""Error messages of apparmor_parser (texts of versions 3.0.8 and 4.1.0), and what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.parser import Parser, PolicyError, explain_parser_error

from .machine import machine


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        (
            "AppArmor parser error at line 2: syntax error, unexpected TOK_ID, expecting TOK_MODE\n",
            "profile web, line 2: syntax error, unexpected TOK_ID, expecting TOK_MODE",
        ),
        (
            "AppArmor parser error for /etc/apparmor.d/web in profile /etc/apparmor.d/web at line 3: Invalid capability frob.\n",
            "profile web, line 3: Invalid capability frob.",
        ),
        (
            "Warning: found web in /etc/apparmor.d/force-complain, forcing complain mode\n"
            "AppArmor parser error for web in profile /etc/apparmor.d/abstractions/x at line 7: Could not open 'y'\n",
            "profile web, /etc/apparmor.d/abstractions/x line 7: Could not open 'y'",
        ),
        (
            "profile web: has merged rule /a with conflicting x modifiers\nERROR merging rules for profile web, failed to load\n",
            "profile web: has merged rule /a with conflicting x modifiers; ERROR merging rules for profile web, failed to load",
        ),
        ("", "profile web: apparmor_parser gives no reason"),
    ],
)
def test_parser_error_is_explained(stderr: str, message: str) -> None:
    assert explain_parser_error("web", stderr) == message


@pytest.fixture
def parser(tmp_path: Path) -> Parser:
    return Parser(str(machine(tmp_path).path("/usr/sbin/apparmor_parser")))


def test_check_accepts_one_profile_of_that_name(parser: Parser) -> None:
    parser.check("web", "profile web {\n}\n")
    parser.check("web", "profile web {\n  profile child {\n  }\n}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile web {\n  syntax error\n}\n", "profile web, line 2: syntax error"),
        ("profile other {\n}\n", "profile web: the text contains the profiles other; write one text per profile, here web alone"),
        ("profile web {\n}\nprofile other {\n}\n", "the text contains the profiles web, other"),
        ("", "the text contains the profiles none"),
    ],
)
def test_check_rejects(parser: Parser, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parser.check("web", text)
    assert message in str(caught.value)


def test_missing_program() -> None:
    with pytest.raises(PolicyError, match="cannot be run"):
        Parser("/nowhere/apparmor_parser").compile("web")
