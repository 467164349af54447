# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary containers and images: a container or image is not managed because of what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import records, temporary
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files

IMAGE = "sha256:" + "a" * 64
FOLDER = "var/lib/bulkhead/temporary"


class Engine:
    socket = "/s"

    def __init__(self, containers: list[dict[str, Any]], images: list[dict[str, Any]]) -> None:
        self.answers = {"/containers/json": containers, "/images/json": images}
        self.deleted: list[str] = []

    def get(self, path: str, **_query: Any) -> Any:
        return self.answers[path]

    def post(self, _path: str, _archive: bytes, **_query: Any) -> Any:
        return {"status": IMAGE}

    def delete(self, path: str, **_query: Any) -> None:
        self.deleted.append(path)


def write_record(root: Path, **changes: Any) -> None:
    record = {"token": "f00d", "owner": "999999:1", "socket": "/s", "name": "bulkhead-probe-f00d", "containers": ["bulkhead-probe-f00d"]}
    write_files(root, {f"{FOLDER}/f00d.json": json.dumps({**record, "image": IMAGE, **changes})})


MANAGED = {"Id": "1", "Names": ["/bulkhead-probe-f00d"], "ImageID": IMAGE}


@pytest.mark.parametrize(
    ("entry", "removed"),
    [
        (MANAGED, True),
        ({**MANAGED, "Labels": {"io.bulkhead.probe": "999999:1", "io.bulkhead.token": "f00d"}, "Names": ["/web"]}, False),
        ({**MANAGED, "ImageID": "sha256:" + "b" * 64}, False),
        ({**MANAGED, "Names": ["/bulkhead-probe-beef"]}, False),
    ],
)
def test_only_recorded_containers_are_removed(tmp_path: Path, entry: dict[str, Any], removed: bool) -> None:
    write_record(tmp_path)
    engine: Any = Engine([entry], [])
    temporary.remove_leftovers(Host(tmp_path), engine)
    assert engine.deleted == [*(["/containers/1"] if removed else []), f"/images/{IMAGE}"]
    assert not (tmp_path / FOLDER).exists()


def test_an_image_that_was_not_yet_recorded_is_known_by_its_name(tmp_path: Path) -> None:
    write_record(tmp_path, image="")
    images = [{"Id": "sha256:1", "RepoTags": ["web:1"]}, {"Id": "sha256:2", "RepoTags": ["bulkhead-probe-f00d:1"]}]
    engine: Any = Engine([MANAGED], images)
    temporary.remove_leftovers(Host(tmp_path), engine)
    assert engine.deleted == ["/images/sha256:2"]


def test_nothing_of_a_living_run_or_of_another_engine_is_removed(tmp_path: Path) -> None:
    write_record(tmp_path, socket="/run/user/1000/docker.sock")
    engine: Any = Engine([MANAGED], [])
    temporary.remove_leftovers(Host(tmp_path), engine)
    write = tmp_path / FOLDER / "f00d.json"
    write.write_text(json.dumps({**json.loads(write.read_text()), "socket": "/s", "owner": temporary.identify_process(Host(tmp_path))}))
    temporary.remove_leftovers(Host(tmp_path), engine)
    assert engine.deleted == [] and write.exists()


def test_a_run_removes_its_record(tmp_path: Path) -> None:
    engine: Any = Engine([], [])
    with temporary.create_temporary(Host(tmp_path), engine, "bulkhead-probe") as record:
        assert record.containers == [f"bulkhead-probe-{record.token}"]
        temporary.import_image(Host(tmp_path), engine, record, b"")
        (known,) = records.read_records(Host(tmp_path))
        assert known.image == IMAGE and (tmp_path / "var/lib/bulkhead").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "var/lib/bulkhead").exists()


def test_the_record_stays_when_the_engine_falls_silent(tmp_path: Path) -> None:
    engine: Any = Engine([], [])

    def fail(*_: Any, **__: Any) -> None:
        raise EngineUnreachable("no engine answers")

    with temporary.create_temporary(Host(tmp_path), engine, "bulkhead-probe") as record:
        temporary.import_image(Host(tmp_path), engine, record, b"")
        engine.delete = fail
    assert (tmp_path / FOLDER / f"{record.token}.json").exists()


def test_what_a_container_still_uses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine refuses to remove an image or a network as long as it removes a container of it."""
    engine: Any = Engine([], [])
    tried: list[str] = []

    def delete(path: str, **_: Any) -> None:
        tried.append(path)
        if tried.count(path) < 3 or path.endswith("-stuck"):
            raise EngineError(403 if "network" in path else 409, "it is in use")

    engine.delete = delete
    with temporary.create_temporary(Host(tmp_path), engine, "bulkhead-probe", networks=("-net",)) as record:
        temporary.import_image(Host(tmp_path), engine, record, b"")
    assert [tried.count(f"/networks/{record.name}-net"), tried.count(f"/images/{IMAGE}")] == [3, 3]
    assert not (tmp_path / "var/lib/bulkhead").exists()
    monkeypatch.setattr(temporary, "_REMOVAL_SECONDS", 0.0)
    with temporary.create_temporary(Host(tmp_path), engine, "bulkhead-probe", networks=("-stuck",)) as record:
        pass
    assert (tmp_path / FOLDER / f"{record.token}.json").exists()


def test_damaged_records_are_left_out(tmp_path: Path) -> None:
    write_record(tmp_path, token="beef")  # of another file
    (tmp_path / FOLDER / "x.json").write_text("{")
    assert records.read_records(Host(tmp_path)) == []
