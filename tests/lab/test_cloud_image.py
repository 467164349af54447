# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud image is told, and by what it is known."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
import yaml

from lab import cloud_image
from lab.errors import LabError

SUM = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SUM, ("sha256", "ab" * 32)),
        ("SHA256:" + "AB" * 32, ("sha256", "ab" * 32)),
        ("sha512:" + "0f" * 64, ("sha512", "0f" * 64)),
    ],
)
def test_checksums(text: str, expected: tuple[str, str]) -> None:
    assert cloud_image.parse_checksum(text) == expected


@pytest.mark.parametrize("text", ["", "ab" * 32, "md5:" + "ab" * 16, "sha256:" + "ab" * 31, "sha512:" + "ab" * 32])
def test_bad_checksums_are_told_what_to_be(text: str) -> None:
    with pytest.raises(LabError, match="write sha256: and 64"):
        cloud_image.parse_checksum(text)


def test_user_data() -> None:
    text = cloud_image.render_user_data("ssh-ed25519 AAAA lab", {"cloud": "echo 'hi'\n", "quiet": ":\n"}, ("docker.io", "runc"))
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert data["users"] == [{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 AAAA lab"]}]
    written = {file["path"]: base64.b64decode(file["content"]).decode() for file in data["write_files"]}
    folder = cloud_image.SCRIPTS
    assert written == {f"{folder}/cloud.sh": "echo 'hi'\n", f"{folder}/quiet.sh": ":\n"}
    assert data["runcmd"] == [["sh", f"{folder}/cloud.sh", "docker.io", "runc"]]


def test_an_image_is_known_by_its_content(tmp_path: Path) -> None:
    here, there = tmp_path / "here.img", tmp_path / "there.img"
    here.touch()
    there.touch()
    one = cloud_image.parse_options(str(here), SUM)
    assert one.key() == cloud_image.parse_options(str(there), SUM).key()
    assert one.key() == cloud_image.parse_options("https://mirror.invalid/x.qcow2", SUM).key()
    assert one.key() != cloud_image.parse_options(str(here), "sha256:" + "cd" * 32).key()


def test_the_kernel_is_the_images_own() -> None:
    packages = cloud_image.parse_options("https://mirror.invalid/x.qcow2", SUM).packages
    assert "docker.io" in packages
    assert "docker-cli" in packages
    assert not [name for name in packages if name.startswith("linux-image")]


def test_an_image_needs_a_checksum_and_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="needs --checksum"):
        cloud_image.parse_options("x.img", None)
    with pytest.raises(LabError, match="there is no such file"):
        cloud_image.parse_options(str(tmp_path / "x.img"), SUM)


def test_other_content_than_its_checksum_is_rejected(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    image.write_bytes(b"not what it should be")
    actual = hashlib.sha256(image.read_bytes()).hexdigest()
    folder = tmp_path / "building"
    folder.mkdir()
    with pytest.raises(LabError, match=f"its sha256 is {actual}, not {'ab' * 32}"):
        cloud_image.parse_options(str(image), SUM).build(folder)
    assert not (folder / "original").exists()
