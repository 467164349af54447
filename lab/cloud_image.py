# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines from a cloud image, for systems whose packages cannot be unpacked like Debian's.

A NoCloud seed (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html) gives root the key of the lab
and installs the engine on the first boot, from the mirrors that the image knows; later
machines come from the snapshot and need no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab import recipe, ssh
from lab.errors import LabError
from lab.progress import Heartbeat, say

SCRIPTS = "/var/lib/bulkhead-lab"
# The image has this package already, and a kernel.
EXCLUDED_PACKAGES = frozenset({"systemd-sysv"})
_CHECKSUM = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_URL = re.compile(r"https?://")
_CHUNK = 1 << 20
# Only the lab's part of cloud-init has to be complete; other modules of the image may have failed.
_SETTLE = f"""
cloud-init status --wait >/dev/null || true # returns early if a module has failed
systemctl start cloud-final.service || true # waits for its end
[ -e {SCRIPTS}/done ] || {{ {{ tail -n 15 /var/log/cloud-init-output.log; cloud-init status --long; }} >&2; exit 1; }}
"""


def parse_checksum(text: str) -> tuple[str, str]:
    """Return the algorithm and the digits of ``sha256:…`` or ``sha512:…``."""
    match = _CHECKSUM.fullmatch(text.lower())
    if not match:
        raise LabError(f"--checksum {text!r}: write sha256: and 64, or sha512: and 128 hexadecimal digits")
    return (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))


def render_user_data(public_key: str, scripts: dict[str, str], packages: tuple[str, ...]) -> str:
    """Return the seed's cloud-config. JSON is valid YAML."""
    config = {
        "disable_root": False,
        "ssh_pwauth": False,
        "preserve_hostname": True,
        "users": [{"name": "root", "ssh_authorized_keys": [public_key]}],
        "write_files": [
            {
                "path": f"{SCRIPTS}/{name}.sh",
                "encoding": "b64",
                "content": base64.b64encode(text.encode()).decode(),
            }
            for name, text in scripts.items()
        ],
        "runcmd": [["sh", f"{SCRIPTS}/cloud.sh", *packages]],
    }
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


@dataclass(frozen=True)
class CloudBase:
    """Images made of one cloud image: a path or a URL, known by its checksum."""

    source: str
    algorithm: str
    digits: str
    packages: tuple[str, ...]
    install_script: str
    quiet_script: str
    settle_script: str
    disk_size: str

    @property
    def label(self) -> str:
        """The same for all cloud images: they are pruned as one family."""
        return "cloud"

    @property
    def patience(self) -> float:
        """On an emulated processor apt takes many minutes."""
        return 5400.0

    def key(self) -> str:
        """Return a key of the image's content and of what the lab adds; where the image comes from does not matter."""
        made_of = [self.algorithm, self.digits, self.packages, self.install_script, self.quiet_script, self.disk_size]
        return f"{self.label}-{recipe.compute_digest(made_of)}"

    def boot_key(self) -> str:
        """Return a hash of what is run when the machine has booted."""
        return recipe.compute_digest(self.settle_script)

    def build(self, folder: Path) -> None:
        """Fill ``folder`` with ``disk.qcow2``, ``seed.iso`` and ``ssh_key``."""
        ssh.create_key(folder / "ssh_key")
        original = folder / "original"
        try:
            self._fetch(original)
            say("copying the image's disk")
            disk = folder / "disk.qcow2"
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(original), str(disk)], check=True)
            _grow(disk, self.disk_size)
        finally:
            original.unlink(missing_ok=True)
        public_key = (folder / "ssh_key.pub").read_text(encoding="utf-8").strip()
        scripts = {"cloud": self.install_script, "quiet": self.quiet_script}
        _write_seed(folder, render_user_data(public_key, scripts, self.packages), f"lab-{self.key()}")

    def boot_options(self, folder: Path, *, emulated: bool) -> list[str]:
        """Return the options that add the seed; the image brings its own boot loader."""
        return ["-drive", f"file={folder / 'seed.iso'},format=raw,if=virtio,readonly=on"]

    def _fetch(self, target: Path) -> None:
        """Copy the image to ``target`` and check it on the way."""
        try:
            if _URL.match(self.source):
                say(f"downloading {self.source}")
                with urllib.request.urlopen(self.source, timeout=60) as source:
                    actual = _copy(source, target, self.algorithm)
            else:
                say(f"reading {self.source}")
                with open(self.source, "rb") as source:
                    actual = _copy(source, target, self.algorithm)
        except (OSError, urllib.error.URLError) as error:
            raise LabError(f"--image {self.source}: {error}") from error
        if actual != self.digits:
            raise LabError(f"--image {self.source}: its {self.algorithm} is {actual}, not {self.digits}")


def _copy(source: BinaryIO, target: Path, algorithm: str) -> str:
    """Copy a stream and return the checksum of its bytes."""
    summer = hashlib.new(algorithm)
    done = 0
    heartbeat = Heartbeat("reading the image", lambda: f"{done >> 20} MiB")
    with open(target, "wb") as out:
        while chunk := source.read(_CHUNK):
            summer.update(chunk)
            out.write(chunk)
            done += len(chunk)
            heartbeat.beat()
    return summer.hexdigest()


def _grow(disk: Path, size: str) -> None:
    """Make the disk at least that large; cloud-init grows the file system."""
    info = subprocess.run(["qemu-img", "info", "--output=json", str(disk)], check=True, capture_output=True)
    if json.loads(info.stdout)["virtual-size"] < int(size.removesuffix("G")) << 30:
        subprocess.run(["qemu-img", "resize", "-q", str(disk), size], check=True)


def _write_seed(folder: Path, user: str, instance: str) -> None:
    seed = folder / "seed"
    seed.mkdir()
    (seed / "user-data").write_text(user, encoding="utf-8")
    (seed / "meta-data").write_text(json.dumps({"instance-id": instance, "local-hostname": "lab"}), encoding="utf-8")
    for program in (["xorriso", "-as", "genisoimage"], ["genisoimage"]):
        if shutil.which(program[0]):
            command = [*program, "-quiet", "-output", str(folder / "seed.iso"), "-volid", "CIDATA", "-joliet", "-rock"]
            subprocess.run([*command, "user-data", "meta-data"], cwd=seed, check=True, stderr=subprocess.DEVNULL)
            shutil.rmtree(seed)
            return
    raise LabError("neither xorriso nor genisoimage is here to write the seed; `python3 -m lab doctor` says more")


def parse_options(source: str, checksum: str | None) -> CloudBase:
    """Return the base that ``--image`` and ``--checksum`` name."""
    if not checksum:
        raise LabError("--image needs --checksum sha256:… (or sha512:…) of the file, as its publisher gives it")
    algorithm, digits = parse_checksum(checksum)
    if not _URL.match(source):
        path = Path(source).expanduser().resolve()
        if not path.is_file():
            raise LabError(f"--image {source}: there is no such file, and it is not an http or https URL")
        source = str(path)
    packages = {*recipe.PACKAGES, *(name for extra in recipe.EXTRA_PACKAGES.values() for name in extra)} - EXCLUDED_PACKAGES
    return CloudBase(
        source=source,
        algorithm=algorithm,
        digits=digits,
        packages=tuple(sorted(packages)),
        install_script=recipe.read_script("cloud"),
        quiet_script=recipe.read_script("quiet"),
        settle_script=_SETTLE + recipe.build_settle_script(),
        disk_size="8G",
    )
