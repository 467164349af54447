# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a report into a folder in which another user may have planted links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.plugin_utils.files import replace_file


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("m.prom", f".m.prom.{os.getpid()}"):
        (tmp_path / name).symlink_to(victim)
    replace_file(tmp_path / "m.prom", "x 1\n")
    assert victim.read_text() == "mine"
    assert (tmp_path / "m.prom").read_text() == "x 1\n" and not (tmp_path / "m.prom").is_symlink()


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new" / "m.prom", "x 1\n")
    finally:
        os.umask(before)
    assert (tmp_path / "new/m.prom").stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "m.prom").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "m.prom", "x 1\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.prom"]
