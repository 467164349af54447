# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/proc/1/uid_map", "/proc/1/uid_map"),
        ("Bücher → 東京", "Bücher → 東京"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\ttab", "two\\x0alines\\x09tab"),
        ("a\u202eb", "a\\u202eb"),
        ("\u2066x\u200b", "\\u2066x\\u200b"),
        ("\ufffe\ud800", "\\ufffe\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_invisible_characters_are_escaped(given: str, shown: str) -> None:
    assert text.escape_hidden(given) == shown
    assert text.escape_value({given: [given, 1, None]}) == {shown: [shown, 1, None]}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([[0, 231072, 65536], [1, 2, 3]], "0 231072 65536, 1 2 3"),
        ([1, 1], "1, 1"),
        (None, "nothing"),
        (True, "True"),
        ("rw", "rw"),
        ([], ""),
    ],
)
def test_values_are_rendered_in_one_line(value: object, shown: str) -> None:
    assert text.render_value(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "< 2 min"),
        (119, "< 2 min"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (48 * 3600, "2 days"),
        (1e7, "115 days"),
    ],
)
def test_ages_are_formatted(seconds: float, shown: str) -> None:
    assert text.format_age(seconds) == shown
