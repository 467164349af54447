# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for setuid programs follows layers as the kernel merges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.controls import setuid
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host


def write(host: Host, layer: str, path: str, mode: int = 0o755) -> None:
    place = host.path(f"/data/{layer}/diff/{path}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    place.chmod(mode)


def search(host: Host, images: dict[str, list[str]], driver: str = "overlay2") -> dict[str, Any]:
    """Return the search of images. images: tag -> layers, the upper one first."""

    def get(path: str) -> Any:
        if path == "/images/json":
            return [{"Id": f"sha256:{tag}", "RepoTags": [tag]} for tag in images]
        upper, *lower = [f"/data/{layer}/diff" for layer in images[path.split(":")[1].removesuffix("/json")]]
        return {"GraphDriver": {"Name": driver, "Data": {"UpperDir": upper, "LowerDir": ":".join(lower)}}}

    return setuid.search_images(host, get)


def list_files(found: dict[str, Any]) -> dict[str, list[str]]:
    return {image["tags"][0]: image["files"] for image in found["images"]}


def test_programs_of_all_layers_are_found(host: Host) -> None:
    write(host, "base", "usr/bin/su", 0o4755)
    write(host, "base", "usr/bin/cat")
    write(host, "own", "srv/wall", 0o2755)
    assert list_files(search(host, {"web": ["own", "base"], "plain": ["base"]})) == {
        "web": ["/srv/wall", "/usr/bin/su"],
        "plain": ["/usr/bin/su"],
    }


def test_an_upper_layer_replaces_a_program(host: Host) -> None:
    write(host, "base", "usr/bin/su", 0o4755)
    write(host, "own", "usr/bin/su")
    assert list_files(search(host, {"web": ["own", "base"]})) == {"web": []}


def test_a_file_in_place_of_a_folder_hides_it(host: Host) -> None:
    write(host, "base", "opt/tools/su", 0o4755)
    write(host, "own", "opt/tools")
    assert list_files(search(host, {"web": ["own", "base"]})) == {"web": []}


def test_an_opaque_folder_hides_what_is_below(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write(host, "base", "opt/tools/su", 0o4755)
    write(host, "own", "opt/tools/other")
    assert list_files(search(host, {"web": ["own", "base"]})) == {"web": ["/opt/tools/su"]}
    monkeypatch.setattr(setuid, "_read_attribute", lambda path, name: b"y" if path.name == "tools" else b"")
    assert list_files(search(host, {"web": ["own", "base"]})) == {"web": []}


def test_links_are_not_followed(host: Host, tmp_path: Path) -> None:
    write(host, "base", "usr/bin/su", 0o4755)
    write(host, "own", "keep")
    host.path("/data/own/diff/linked").symlink_to(host.path("/data/base/diff/usr"))
    host.path("/data/other").symlink_to(host.path("/data/base"))
    assert list_files(search(host, {"web": ["own"]})) == {"web": []}
    assert search(host, {"linked": ["other"]}) == {"images": [], "unread": ["linked"]}


def test_what_cannot_be_searched_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write(host, "base", "usr/bin/su", 0o4755)
    assert search(host, {"web": ["base"]}, "overlayfs")["unread"] == ["web"]
    assert search(host, {"web": ["base", "missing"]})["unread"] == ["web"]
    monkeypatch.setattr(setuid, "BUDGET", -1.0)
    assert search(host, {"web": ["base"]})["unread"] == ["web"]


def test_long_lists_are_cut(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setuid, "_MAX_FILES", 1)
    for name in "abc":
        write(host, "base", name, 0o4755)
    (image,) = search(host, {"web": ["base"]})["images"]
    assert (image["files"], image["more"]) == (["/a"], 2)
