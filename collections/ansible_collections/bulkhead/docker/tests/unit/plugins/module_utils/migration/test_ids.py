# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners under the ID map of the new root."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.migration.ids import IdMaps, UnmappedId

ONE = IdMaps([[0, 231072, 65536]], [[0, 300000, 65536]])
TWO = IdMaps([[0, 500, 1], [1, 231072, 65535]], [[0, 231072, 65536]])


@pytest.mark.parametrize(
    ("ids", "number", "uid"), [(ONE, 0, 231072), (ONE, 65535, 296607), (TWO, 0, 500), (TWO, 1, 231072), (TWO, 65535, 296606)]
)
def test_a_user(ids: IdMaps, number: int, uid: int) -> None:
    assert ids.map_uid(number) == uid


def test_the_containers_root() -> None:
    assert (ONE.root, TWO.root) == ((231072, 300000), (500, 231072))


@pytest.mark.parametrize("number", [65536, 231072, 4294967294])
def test_unmapped_id(number: int) -> None:
    with pytest.raises(UnmappedId, match=str(number)):
        ONE.map_gid(number)


def test_only_ids_of_an_access_control_list_are_mapped() -> None:
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, 7, 1000), (4, 4, nobody), (8, 5, 33), (16, 7, nobody), (32, 4, nobody)]
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    mapped = list(struct.iter_unpack("<HHI", ONE.map_acl(raw)[4:]))
    assert mapped == [(1, 6, nobody), (2, 7, 232072), (4, 4, nobody), (8, 5, 300033), (16, 7, nobody), (32, 4, nobody)]


@pytest.mark.parametrize("raw", [struct.pack("<I", 3), struct.pack("<I", 2) + b"123"])
def test_access_control_list_of_unknown_format(raw: bytes) -> None:
    with pytest.raises(ValueError, match="unknown format"):
        ONE.map_acl(raw)
