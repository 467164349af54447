# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.api import EngineError, EngineUnreachable
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.contents import list_contents
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.records import Temporary

ANONYMOUS = "ab" * 32
PROBE = Temporary("f00", "1:2", "/s", "probe-f00", ["probe-f00"], "sha256:" + "4" * 64)
IMAGES: list[dict[str, Any]] = [
    {"Id": "sha256:" + "1" * 64, "RepoTags": ["nginx:1", "nginx:latest"], "RepoDigests": [], "Size": 100},
    {"Id": "sha256:" + "2" * 64, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Size": 20},
    {"Id": "sha256:" + "3" * 64, "RepoTags": None, "RepoDigests": ["app@sha256:99"], "Size": 3},
    {"Id": "sha256:" + "4" * 64, "RepoTags": ["probe-f00:1"], "Size": 4000},
]
MOUNTS = [
    {"Type": "bind", "Source": "/srv/b", "RW": True},
    {"Type": "bind", "Source": "/srv/a", "RW": True},
    {"Type": "bind", "Source": "/srv/c", "RW": False},
    {"Type": "volume", "Source": "/var/lib/docker/volumes/data/_data", "RW": True},
]
CONTAINERS: list[dict[str, Any]] = [
    {"Id": "c" * 64, "Names": ["/web"], "Image": "nginx:1", "State": "running", "Labels": {}, "Mounts": MOUNTS},
    {"Id": "d" * 64, "Names": [], "Image": "x", "State": "dead", "Labels": None},
    {"Id": "e" * 64, "Names": ["/probe-f00"], "ImageID": "sha256:" + "4" * 64},
]
VOLUMES: list[dict[str, Any]] = [
    {"Name": "data", "Driver": "local", "Mountpoint": "/var/lib/docker/volumes/data/_data", "Labels": None},
    {"Name": ANONYMOUS, "Driver": "local", "Mountpoint": f"/var/lib/docker/volumes/{ANONYMOUS}/_data", "Labels": {}},
    {"Name": "x", "Driver": "nfs", "Mountpoint": "", "Labels": {"com.docker.volume.anonymous": ""}},
]
NETWORKS = [{"Name": name, "Id": "n", "Driver": "bridge"} for name in ("bridge", "host", "none", "docker_gwbridge", "shop")]
USAGE = [{"Name": "data", "UsageData": {"Size": 7000}}, {"Name": ANONYMOUS, "UsageData": {"Size": -1}}]


class Engine:
    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "/images/json": IMAGES,
            "/containers/json": CONTAINERS,
            "/volumes": {"Volumes": VOLUMES},
            "/networks": NETWORKS,
            "/system/df": {"Volumes": USAGE},
            **answers,
        }
        self.asked: list[str] = []

    def get(self, path: str, **query: Any) -> Any:
        self.asked.append(path)
        assert path != "/containers/json" or query == {"all": True}
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_images_containers_volumes_and_networks() -> None:
    found = list_contents(Engine().get, [PROBE])
    assert [(image["name"], image["bytes"]) for image in found["images"]] == [("nginx:1", 100), ("2" * 12, 20), ("app@sha256:99", 3)]
    assert [(c["name"], c["state"]) for c in found["containers"]] == [("web", "running"), ("d" * 12, "dead")]
    assert [(v["name"], v["bytes"]) for v in found["volumes"]] == [("data", 7000), (ANONYMOUS, None), ("x", None)]
    assert [network["name"] for network in found["networks"]] == ["shop"]
    assert found["bytes"] == 7123


def test_empty_engine() -> None:
    engine = Engine(**{"/images/json": [], "/containers/json": [], "/volumes": {"Volumes": None}, "/networks": NETWORKS[:4]})
    assert list_contents(engine.get) == {"images": [], "containers": [], "volumes": [], "networks": [], "bytes": 0}
    assert "/system/df" not in engine.asked


@pytest.mark.parametrize(
    ("mountpoint", "asked"),
    [("/var/lib/docker/volumes/data/_data", True), ("/var/lib/docker/231072.231072/volumes/data/_data", False)],
)
def test_volumes_are_measured_only_in_a_plain_root(mountpoint: str, asked: bool) -> None:
    engine = Engine(**{"/volumes": {"Volumes": [{**VOLUMES[0], "Mountpoint": mountpoint}]}})
    list_contents(engine.get)
    assert ("/system/df" in engine.asked) is asked


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        ({"VolumeUsage": {"Items": USAGE}}, 7000),  # API 1.52 and later
        ({"Volumes": None}, None),
        (EngineError(500, "busy"), None),
        (EngineUnreachable("timed out"), None),
    ],
)
def test_volume_sizes_of_each_api_version(answer: Any, size: int | None) -> None:
    assert list_contents(Engine(**{"/system/df": answer}).get)["volumes"][0]["bytes"] == size


def test_failing_engine_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(EngineUnreachable):
        list_contents(Engine(**{"/networks": EngineUnreachable("gone")}).get)
