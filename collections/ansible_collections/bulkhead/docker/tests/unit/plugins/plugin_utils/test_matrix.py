# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix for people, from a report as attack.yml writes it; and what the inventory may demand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import attack_requirements, attack_table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import WIDTH

REPORT: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures/attack-web1.json").read_text())


def lines(unmet: list[str] | None = None) -> list[tuple[str, str | None]]:
    return attack_table.matrix_lines("web1", json.loads(json.dumps(REPORT["matrix"])), unmet or [])


def row(name: str) -> tuple[list[str], str | None]:
    text, colour = next(line for line in lines() if line[0].split()[:1] == [name])
    return text.split()[1:], colour


def test_a_line_an_attack_and_a_sign_a_column() -> None:
    assert row("host_disk") == (". . . . . # . . # . # # # # 3".split(), "green")
    assert row("setuid_program") == (". . # . . . . . . . . . # # 1".split(), "yellow")
    assert row("host_shadow")[0][4] == "#*", "the kernel logged it"


def test_every_line_fits() -> None:
    assert max(len(text) for text, unused in lines(["x" * 90 + " y" * 50])) <= WIDTH


def test_signs_stand_under_their_columns() -> None:
    texts = [text for text, unused in lines()]
    head = next(text for text in texts if " pids " in text)
    line = next(text for text in texts if "host_shadow" in text)
    assert line[head.index(" aa ") + 1 :].startswith("#*")
    assert line[head.index(" user ") + 1 :].startswith("# ")


def test_what_gets_through_and_what_is_silent_is_told() -> None:
    text = "\n".join(text for text, unused in lines(["fork_bomb is stopped by 1 layers"]))
    assert "with the host's defaults get through: install_tool, raw_socket" in text
    assert "silent: " in text
    assert "  x fork_bomb is stopped by 1 layers" in text


def test_no_proof_and_trouble_are_told() -> None:
    matrix = json.loads(json.dumps(REPORT["matrix"]))
    matrix["attacks"][0].update(provable=False, reason="it fails without any layer as well: mount with EPERM")
    matrix["configurations"][3]["trouble"] = "apparmor could not be switched off"
    matrix["log"]["error"] = "the kernel's audit messages can't be read: Operation not permitted"
    text = "\n".join(text for text, unused in attack_table.matrix_lines("web1", matrix, []))
    assert f"- {matrix['attacks'][0]['name']}: it fails without any layer as well" in text
    assert "? seccomp alone: apparmor could not be switched off" in text
    assert "can't be read" in text
    assert "no verification" in text


def test_a_reason_that_many_share_is_told_once() -> None:
    matrix = json.loads(json.dumps(REPORT["matrix"]))
    for place, call in enumerate(("bpf", "mount")):
        matrix["attacks"][place].update(provable=False, reason=f"it fails in the user namespace alone as well: {call} with EPERM")
    texts = [text for text, unused in attack_table.matrix_lines("web1", matrix, [])]
    first, second = (attack["name"] for attack in matrix["attacks"][:2])
    place = texts.index("  - it fails in the user namespace alone as well:")
    assert texts[place + 1] == f"    {first} (bpf with EPERM), {second} (mount with EPERM)"


@pytest.mark.parametrize(
    ("required", "words"),
    [
        ({}, None),
        ({"host_disk": 3}, None),
        ({"host_disk": 0}, None),
        ({"host_dsk": 3}, "required: 'host_dsk' is no attack; did you mean host_disk?"),
        ({"zzz": 3}, "write any of host_shadow"),
        ({"host_disk": "three"}, "required.host_disk: 'three' is no number of layers; write a whole number from 0"),
        ({"host_disk": True}, "True is no number of layers"),
        ({"host_disk": -1}, "-1 is no number of layers"),
        ({"host_disk": 11}, "from 0 (nothing is demanded) to 10"),
        ({3: 3}, "3 is no attack"),
    ],
)
def test_bad_demands_get_a_sentence(required: dict[Any, Any], words: str | None) -> None:
    problems = attack_requirements.problems("required", required)
    assert problems == [] if words is None else words in problems[0]
