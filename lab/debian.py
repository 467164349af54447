# SPDX-License-Identifier: GPL-3.0-or-later
"""A bootable disk from Debian packages, without mounting anything and without needing root.

mmdebstrap packs the installed system into a tar file; mke2fs fills a file system from it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import foreign, mirror, ssh
from lab.architecture import detect_host
from lab.errors import LabError
from lab.progress import run_logged, say, tail
from lab.recipe import Recipe

# Standard input: the tar file. $1: a folder to work in, $2: the size of the disk.
_FILL = """
set -eu
mkdir "$1/root"
tar --extract --numeric-owner --xattrs --xattrs-include='*' --directory="$1/root"
mke2fs -q -t ext4 -O ^has_journal -L root -E root_owner=0:0 -d "$1/root" "$1/disk.raw" "$2"
chmod 644 "$1/disk.raw"
rm -rf "$1/root"
"""

_OUT_OF_REACH = re.compile(
    r"Failed to fetch|Could not resolve|Could not connect|Temporary failure|[Cc]onnection (?:timed out|refused|failed)"
)


@dataclass(frozen=True)
class DebianBase:
    """Images of one Debian suite, started by qemu itself from the kernel inside."""

    recipe: Recipe

    @property
    def label(self) -> str:
        """Return the recipe's label."""
        return self.recipe.label

    @property
    def settle_script(self) -> str:
        """Return the recipe's script that settles the booted machine."""
        return self.recipe.settle_script

    @property
    def patience(self) -> float:
        """A minute when the host is idle, but many times that when it is not."""
        return 1500.0

    def key(self) -> str:
        """Return the recipe's key."""
        return self.recipe.key()

    def boot_key(self) -> str:
        """Return the recipe's hash of what makes no disk."""
        return self.recipe.boot_key()

    def build(self, folder: Path) -> None:
        """Fill ``folder`` with ``disk.qcow2``, ``vmlinuz``, ``initrd.img``, ``ssh_key`` and the log."""
        ssh.create_key(folder / "ssh_key")
        archive = folder / "root.tar"
        _bootstrap(self.recipe, folder, archive)
        say("taking the kernel out")
        _extract_boot(archive, folder)
        _make_disk(self.recipe, folder, archive)
        archive.unlink()

    def boot_options(self, folder: Path, *, emulated: bool) -> list[str]:
        """Return the options that start the image's kernel without a boot loader."""
        arguments = self.recipe.kernel_arguments
        if emulated:
            arguments += f" {self.recipe.emulation_arguments}"
        return ["-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"), "-append", arguments]


def _environment() -> dict[str, str]:
    """Return the environment of the builders: a locale that Perl knows, and no small tmpfs."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": os.environ.get("TMPDIR", "/var/tmp")}


def _bootstrap(recipe: Recipe, folder: Path, archive: Path) -> None:
    """Install the recipe's packages into a tar file, from the first mirror that can be reached."""
    log = folder / "build.log"
    if recipe.architecture != detect_host():
        foreign.ensure_programs_run(recipe.architecture)
    mirror.install_from_first(
        recipe.label,
        lambda uri: run_logged(_bootstrap_command(recipe, folder, archive, uri), log, "installing packages", env=_environment()),
        lambda: bool(_OUT_OF_REACH.search(tail(log, 200))),
    )


def _bootstrap_command(recipe: Recipe, folder: Path, archive: Path, uri: str | None) -> list[str]:
    key = shlex.quote(str(folder / "ssh_key.pub"))
    # The scripts are passed as text: mmdebstrap may run as root of a user namespace, which cannot read files of this user.
    # fmt: off
    return [
        "mmdebstrap", "--variant=apt", f"--arch={recipe.architecture.name}", "--format=tar",
        "--skip=cleanup/reproducible",  # it would remove the machine's identity again
        *(f"--aptopt={option}" for option in recipe.apt_options),
        *(f"--dpkgopt={option}" for option in recipe.dpkg_options),
        f"--include={','.join(recipe.packages)}",
        f"--essential-hook={recipe.essential_script}",
        f"--customize-hook={recipe.configure_script}",
        f"--customize-hook={recipe.quiet_script}",
        "--customize-hook=mkdir -p -m 700 \"$1/root/.ssh\"",
        f"--customize-hook=upload {key} /root/.ssh/authorized_keys",
        recipe.suite, str(archive),
        *([uri] if uri else []),
    ]
    # fmt: on


def _extract_boot(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            for pattern, target in ((r"\./boot/vmlinuz-.*", "vmlinuz"), (r"\./boot/initrd\.img-.*", "initrd.img")):
                if member.isfile() and re.fullmatch(pattern, member.name):
                    source = tar.extractfile(member)
                    assert source
                    with source, open(folder / target, "wb") as out:
                        shutil.copyfileobj(source, out)
    for target in ("vmlinuz", "initrd.img"):
        if not (folder / target).exists():
            raise LabError(f"the packages brought no {target}")


def _make_disk(recipe: Recipe, folder: Path, archive: Path) -> None:
    """Turn the tar file into a sparse qcow2 disk."""
    shell = ["sh", "-c", _FILL, "fill"]
    environment = _environment()
    if os.geteuid() != 0:
        shell = ["mmdebstrap", "--unshare-helper", *shell]
    # Owned by this user, but open to the mapped root of a user namespace; its parent's name cannot be guessed.
    with tempfile.TemporaryDirectory(dir=environment["TMPDIR"], ignore_cleanup_errors=True) as private:
        os.chmod(private, 0o711)
        work = Path(private) / "work"
        work.mkdir()
        work.chmod(0o777)
        run_logged([*shell, str(work), recipe.disk_size], folder / "build.log", "filling the disk", env=environment, stdin=archive)
        raw = work / "disk.raw"
        say("packing the disk")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(folder / "disk.qcow2")], check=True)
        raw.unlink()
