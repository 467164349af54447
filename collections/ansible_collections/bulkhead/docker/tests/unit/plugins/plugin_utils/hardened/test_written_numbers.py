# SPDX-License-Identifier: GPL-3.0-or-later
"""How a number was written is read from the file in which ansible-core found it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.bulkhead.docker.plugins.plugin_utils.hardened.written_numbers import read_written_number

TEXT = """\
environment: {A: 022, B: 1.10, C: 18, D: 1_000}
user: 33:33   # www-data
ports: [22:22, 0x16]
list:
  - 010
  - text
"""


def load(path: Path, text: str) -> Any:
    path.write_text(text)
    return DataLoader().load_from_file(str(path))


def test_numbers_are_returned_as_written(tmp_path: Path) -> None:
    content = load(tmp_path / "a.yml", TEXT)
    found = {name: read_written_number(value) for name, value in content["environment"].items()}
    assert found == {"A": "022", "B": "1.10", "C": "18", "D": "1_000"}
    assert read_written_number(content["user"]) == "33:33"
    assert [read_written_number(port) for port in content["ports"]] == ["22:22", "0x16"]
    assert read_written_number(content["list"][0]) == "010"
    assert read_written_number(content["list"][1]) == ""


@pytest.mark.parametrize("text", ["", "user: 12\n", "user: [}\n"])
def test_a_file_that_has_changed_says_nothing(tmp_path: Path, text: str) -> None:
    content = load(tmp_path / "b.yml", "user: 33:33\n")
    (tmp_path / "b.yml").write_text(text)
    assert read_written_number(content["user"]) == ""


def test_a_number_without_a_file_says_nothing(tmp_path: Path) -> None:
    content = load(tmp_path / "c.yml", "user: 33:33\n")
    (tmp_path / "c.yml").unlink()
    assert read_written_number(content["user"]) == ""
    assert read_written_number(33) == ""
