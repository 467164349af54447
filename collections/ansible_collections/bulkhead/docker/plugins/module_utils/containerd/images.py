# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses what a storage driver keeps of images in containerd: of each, one platform. Pure.

A storage driver has no indexes, no manifests and no attestations. There, the ID of an image is the digest of its configuration.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

Load = Callable[[str], "dict[str, Any] | None"]
# `Architecture` of the engine's /info -> that of images (moby daemon/info.go; opencontainers/image-spec config.md).
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
# The name of an image whose tag was moved or removed (moby daemon/containerd/image_delete.go).
_UNTAGGED = "moby-dangling@"
_DEEPEST = 4


@dataclass(frozen=True)
class ImageLayer:
    """One layer of an image. chain: the name of its snapshot. blob, size: digest and bytes of its archive, which may be compressed."""

    chain: str
    diff_id: str
    blob: str
    parent: str
    size: int | None = None


@dataclass(frozen=True)
class Image:
    """One platform of an image. config: the digest of its configuration. problem: why it cannot be used as it is."""

    manifest: str
    config: str
    platform: str
    layers: tuple[ImageLayer, ...] = ()
    problem: str = ""

    @property
    def top(self) -> str:
        """The name of the uppermost snapshot; empty for an image without layers."""
        return self.layers[-1].chain if self.layers else ""


@dataclass(frozen=True)
class Choice:
    """image: the platform that is kept, or None. left: the platforms and other documents that are not kept, for messages."""

    image: Image | None
    left: tuple[str, ...] = ()


def convert_architecture(machine: str) -> str:
    """Return an architecture as images name it."""
    return _ARCHITECTURES.get(machine, machine)


def list_platforms(digest: str, load: Load, snapshots: Container[str], depth: int = 0) -> tuple[list[Image], int]:
    """Return every platform of an index or manifest that containerd has, and the number of attestations."""
    document = load(digest)
    if document is None or depth > _DEEPEST:
        return [], 0
    if not isinstance(document.get("manifests"), list):
        return [_read_manifest(digest, document, load, snapshots)], 0
    found, attestations = [], 0
    for entry in document["manifests"]:
        if (entry.get("annotations") or {}).get("vnd.docker.reference.type") == "attestation-manifest":
            attestations += 1
            continue
        images, more = list_platforms(str(entry.get("digest")), load, snapshots, depth + 1)
        found += images
        attestations += more
    return found, attestations


def choose_platform(digest: str, architecture: str, load: Load, snapshots: Container[str]) -> Choice:
    """Return which platform of an image is kept: the host's if containerd has it, otherwise the first."""
    images, attestations = list_platforms(digest, load, snapshots)
    usable = [image for image in images if not image.problem]
    kept = next((image for image in usable if image.platform.split("/")[1:2] == [architecture]), usable[0] if usable else None)
    # For a platform that was not pulled, containerd has at most the manifest.
    left = [image.platform for image in images if image is not kept and (image.config or not kept)]
    if attestations:
        left.append(f"{attestations} attestation{'' if attestations == 1 else 's'}")
    return Choice(kept, tuple(left))


def _read_manifest(digest: str, manifest: Mapping[str, Any], load: Load, snapshots: Container[str]) -> Image:
    config = str((manifest.get("config") or {}).get("digest"))
    content = load(config)
    if content is None:
        return Image(digest, "", "a platform without its configuration", problem="containerd does not have its configuration")
    platform = "/".join(str(content[key]) for key in ("os", "architecture", "variant") if content.get(key)) or "no platform"
    diff_ids = (content.get("rootfs") or {}).get("diff_ids")
    blobs = [(str(layer.get("digest")), _read_size(layer)) for layer in manifest.get("layers") or []]
    if diff_ids is None or len(diff_ids) != len(blobs):
        return Image(digest, config, platform, problem="it is not an image of containers")
    layers, chain = [], ""
    for diff_id, (blob, size) in zip(diff_ids, blobs, strict=True):
        parent, chain = chain, compute_chain(chain, diff_id)
        layers.append(ImageLayer(chain, diff_id, blob, parent, size))
    missing = [layer.chain for layer in layers if layer.chain not in snapshots]
    problem = f"{len(missing)} of its {len(layers)} layers are not unpacked" if missing else ""
    return Image(digest, config, platform, tuple(layers), problem)


def _read_size(descriptor: Mapping[str, Any]) -> int | None:
    size = descriptor.get("size")
    return size if isinstance(size, int) else None


def compute_chain(parent: str, diff_id: str) -> str:
    """Return the chain ID of a layer (opencontainers/image-spec config.md)."""
    return f"sha256:{hashlib.sha256(f'{parent} {diff_id}'.encode()).hexdigest()}" if parent else diff_id


def list_references(name: str, digest: str) -> list[tuple[str, str]]:
    """Return the repository and each name by which an engine lists an image, without the default registry (distribution/reference,
    FamiliarString); nothing for an image without a tag."""
    if name.startswith(_UNTAGGED):
        return []
    name = re.sub(r"^docker\.io/(library/)?", "", name)
    plain, _at, _digest = name.partition("@")
    head, colon, tag = plain.rpartition(":")
    repository = head if colon and "/" not in tag else plain
    return [(repository, name), *([] if _at else [(repository, f"{repository}@{digest}")])]


def name_image(name: str) -> str:
    """Return the name of an image for messages."""
    references = list_references(name, "")
    return references[0][1] if references else f"the image without a tag {name.removeprefix(_UNTAGGED)[:19]}"
