# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.suggestion import find_similar, suggest

KNOWN = ("live-restore", "SIGTERM")


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("live-restor", "write live-restore"),
        ("sigtrm", "write SIGTERM"),
        ("zzz", "known are live-restore, SIGTERM"),
        (7, "known are live-restore, SIGTERM"),
        (None, "known are live-restore, SIGTERM"),
    ],
)
def test_the_most_similar_word_is_suggested(word: object, advice: str) -> None:
    assert suggest(word, iter(KNOWN)) == advice


def test_without_a_similar_word_other_advice_can_be_given() -> None:
    assert suggest("zzz", KNOWN, "remove the line") == "remove the line"
    assert find_similar("zzz", KNOWN) == ""
    assert find_similar("live-x", KNOWN, 0.9) == "" and find_similar("live-x", KNOWN, 0.4) == "live-restore"
