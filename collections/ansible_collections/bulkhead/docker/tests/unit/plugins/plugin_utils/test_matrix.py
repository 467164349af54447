# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack matrix on the terminal, from a report of attack.yml, and the requirements in the inventory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import attack_requirements, attack_table
from ansible_collections.bulkhead.docker.plugins.plugin_utils.terminal import WIDTH

REPORT: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures/attack-web1.json").read_text())


def lines(unmet: list[str] | None = None) -> list[tuple[str, str | None]]:
    return attack_table.render_matrix("web1", json.loads(json.dumps(REPORT["matrix"])), unmet or [])


def row(name: str) -> tuple[list[str], str | None]:
    text, colour = next(line for line in lines() if line[0].split()[:1] == [name])
    return text.split()[1:], colour


def test_one_line_per_attack_and_one_sign_per_column() -> None:
    assert row("host_disk") == (". . . . . # . . # . # # # # 3".split(), "green")
    assert row("setuid_program") == (". . # . . . . . . . . . # # 1".split(), "yellow")
    assert row("host_shadow")[0][4] == "#*", "the kernel logged it"


def test_every_line_fits() -> None:
    assert max(len(text) for text, unused in lines(["x" * 90 + " y" * 50])) <= WIDTH


def test_signs_are_aligned_with_their_headings() -> None:
    texts = [text for text, unused in lines()]
    head = next(text for text in texts if " pids " in text)
    line = next(text for text in texts if "host_shadow" in text)
    assert line[head.index(" aa ") + 1 :].startswith("#*")
    assert line[head.index(" user ") + 1 :].startswith("# ")


def test_successful_and_unlogged_attacks_are_listed() -> None:
    text = "\n".join(text for text, unused in lines(["fork_bomb is stopped by 1 layers"]))
    assert "these succeed with the host's defaults: install_tool, raw_socket" in text
    assert "not logged: " in text
    assert "  x fork_bomb is stopped by 1 layers" in text


def test_inconclusive_attacks_and_errors_are_listed() -> None:
    matrix = json.loads(json.dumps(REPORT["matrix"]))
    matrix["attacks"][0].update(conclusive=False, reason="it fails without any layer too: mount with EPERM")
    matrix["configurations"][3]["problem"] = "apparmor could not be switched off"
    matrix["log"]["error"] = "the kernel's audit messages cannot be read: Operation not permitted"
    text = "\n".join(text for text, unused in attack_table.render_matrix("web1", matrix, []))
    assert f"- {matrix['attacks'][0]['name']}: it fails without any layer too" in text
    assert "? seccomp alone: apparmor could not be switched off" in text
    assert "cannot be read" in text
    assert "inconclusive" in text


def test_a_common_reason_is_printed_once() -> None:
    matrix = json.loads(json.dumps(REPORT["matrix"]))
    for place, call in enumerate(("bpf", "mount")):
        matrix["attacks"][place].update(conclusive=False, reason=f"it fails in the user namespace alone too: {call} with EPERM")
    texts = [text for text, unused in attack_table.render_matrix("web1", matrix, [])]
    first, second = (attack["name"] for attack in matrix["attacks"][:2])
    place = texts.index("  - it fails in the user namespace alone too:")
    assert texts[place + 1] == f"    {first} (bpf with EPERM), {second} (mount with EPERM)"


@pytest.mark.parametrize(
    ("required", "words"),
    [
        ({}, None),
        ({"host_disk": 3}, None),
        ({"host_disk": 0}, None),
        ({"host_dsk": 3}, "required: 'host_dsk' is not an attack; write host_disk"),
        ({"zzz": 3}, "known are host_shadow"),
        ({"host_disk": "three"}, "required.host_disk: 'three' is not a number of layers; write an integer from 0"),
        ({"host_disk": True}, "True is not a number of layers"),
        ({"host_disk": -1}, "-1 is not a number of layers"),
        ({"host_disk": 11}, "from 0 (nothing is required) to 10"),
        ({3: 3}, "3 is not an attack"),
    ],
)
def test_invalid_requirements_get_a_message(required: dict[Any, Any], words: str | None) -> None:
    problems = attack_requirements.find_requirement_problems("required", required)
    assert problems == [] if words is None else words in problems[0]
