# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import probe_image


def test_image_has_the_program_and_its_libraries() -> None:
    with tarfile.open(fileobj=io.BytesIO(probe_image.build_image(["sleep"]))) as tar:
        names = set(tar.getnames())
        assert probe_image.find_program("sleep").lstrip("/") in names
        assert any("libc.so" in name or "musl" in name for name in names)
        assert all(member.isdir() or member.isfile() for member in tar.getmembers())


def test_missing_program_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program: not found"):
        probe_image.build_image(["no-such-program"])
