# SPDX-License-Identifier: GPL-3.0-or-later
"""Which platform of an image a storage driver keeps, and what it has no place for."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.containerd.images import (
    choose_platform,
    compute_chain,
    convert_architecture,
    list_platforms,
    list_references,
    name_image,
)


def build_platform(name: str, architecture: str, layers: int = 2, **config: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the documents of one platform, and its chain IDs."""
    diff_ids = [f"sha256:{hashlib.sha256(f'{name} {number}'.encode()).hexdigest()}" for number in range(layers)]
    content = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": diff_ids}, **config}
    manifest = {"config": {"digest": f"config {name}"}, "layers": [{"digest": f"blob {name} {number}"} for number in range(layers)]}
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(compute_chain(chains[-1] if chains else "", diff_id))
    return {f"manifest {name}": manifest, f"config {name}": content}, chains


AMD, AMD_CHAINS = build_platform("amd", "amd64")
ARM, ARM_CHAINS = build_platform("arm", "arm64", variant="v8")
ATTESTATION = {"digest": "attestation", "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
INDEX = {"index": {"manifests": [{"digest": "manifest arm"}, {"digest": "manifest amd"}, ATTESTATION, {"digest": "not pulled"}]}}


def test_the_platform_of_the_host_is_kept() -> None:
    choice = choose_platform("index", "amd64", {**INDEX, **AMD, **ARM}.get, {*AMD_CHAINS, *ARM_CHAINS})
    assert choice.image is not None
    assert (choice.image.config, choice.image.platform, choice.image.top) == ("config amd", "linux/amd64", AMD_CHAINS[-1])
    assert [layer.parent for layer in choice.image.layers] == ["", AMD_CHAINS[0]]
    assert choice.left == ("linux/arm64/v8", "1 attestation")


def test_without_the_hosts_platform_the_first_is_kept() -> None:
    choice = choose_platform("index", "amd64", {**INDEX, **ARM}.get, set(ARM_CHAINS))
    assert choice.image is not None and choice.image.config == "config arm"
    assert choice.left == ("1 attestation",)


def test_a_platform_that_was_not_pulled_is_not_named() -> None:
    """containerd has its manifest with the index, and nothing of its layers."""
    choice = choose_platform("index", "amd64", {**INDEX, **AMD, "manifest arm": ARM["manifest arm"]}.get, set(AMD_CHAINS))
    assert choice.image is not None and choice.image.config == "config amd"
    assert choice.left == ("1 attestation",)


@pytest.mark.parametrize(
    ("documents", "snapshots", "problem"),
    [
        (AMD, AMD_CHAINS[:1], "1 of its 2 layers are not unpacked"),
        ({"manifest amd": AMD["manifest amd"]}, AMD_CHAINS, "does not have its configuration"),
        ({**AMD, "config amd": {"name": "chart"}}, AMD_CHAINS, "is not an image of containers"),
    ],
)
def test_an_image_that_is_not_complete_has_a_problem(documents: dict[str, Any], snapshots: list[str], problem: str) -> None:
    assert choose_platform("manifest amd", "amd64", documents.get, snapshots).image is None
    assert problem in list_platforms("manifest amd", documents.get, snapshots)[0][0].problem


def test_an_index_that_names_itself_ends() -> None:
    assert list_platforms("a", {"a": {"manifests": [{"digest": "a"}]}}.get, ())[0] == []


def test_an_image_without_layers_is_kept() -> None:
    documents, _chains = build_platform("empty", "amd64", layers=0)
    image = choose_platform("manifest empty", "amd64", documents.get, ()).image
    assert image is not None and image.top == ""


def test_chain_ids_are_those_of_the_specification() -> None:
    """As docker.io 28.5.2 has them: the first is the digest of the layer."""
    assert compute_chain("", "sha256:a") == "sha256:a"
    assert compute_chain("sha256:a", "sha256:b") == f"sha256:{hashlib.sha256(b'sha256:a sha256:b').hexdigest()}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/library/web:1", [("web", "web:1"), ("web", "web@D")]),
        ("docker.io/team/web:1", [("team/web", "team/web:1"), ("team/web", "team/web@D")]),
        ("localhost:5000/a/b:v2", [("localhost:5000/a/b", "localhost:5000/a/b:v2"), ("localhost:5000/a/b", "localhost:5000/a/b@D")]),
        ("docker.io/library/web@sha256:1", [("web", "web@sha256:1")]),
        ("docker.io/library/web:1@sha256:1", [("web", "web:1@sha256:1")]),
        ("localhost:5000/a@sha256:1", [("localhost:5000/a", "localhost:5000/a@sha256:1")]),
        ("moby-dangling@sha256:1", []),
    ],
)
def test_names_are_those_that_an_engine_lists(name: str, expected: list[tuple[str, str]]) -> None:
    assert list_references(name, "D") == expected


def test_messages_name_images_as_the_engine_does() -> None:
    assert name_image("docker.io/library/web:1") == "web:1"
    assert name_image("moby-dangling@sha256:0123456789abcdef") == "the image without a tag sha256:0123456789ab"


def test_architectures_are_named_as_in_images() -> None:
    assert (convert_architecture("x86_64"), convert_architecture("aarch64"), convert_architecture("riscv64")) == (
        "amd64",
        "arm64",
        "riscv64",
    )
