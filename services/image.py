# SPDX-License-Identifier: GPL-3.0-or-later
"""Images with the services' packages, made on the control node and given to an engine in a VM of the lab. No registry is asked.

mmdebstrap unpacks and configures the packages here, because a package manager in an emulated VM takes ten times as long. The result is
the file system ``CACHE/services-IMAGE-SUITE-HASH/root.img``; the hash covers everything that determines its content.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import locks, mirror, paths, recipe
from lab.errors import LabError
from lab.image import build_atomically, build_lock, get_age
from lab.progress import run_logged, tail
from lab.qmp import Monitor
from services.data import TableService, get_tag

KEEP_OTHERS = 1  # images of the same name that were made from other files, for example from another checkout
_LISTING = "dpkg-query -W -f '${Package} ${Version}\\n' > /packages.txt"
DISK_SIZE = "3G"  # sparse
# Standard input: the tar file. $1: the folder, $2: the size.
_FILL = """
set -eu
mkdir "$1/root"
tar --extract --numeric-owner --xattrs --xattrs-include='*' --directory="$1/root"
mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$1/root" "$1/root.img" "$2"
chmod 644 "$1/root.img"
rm -rf "$1/root"
"""


def build_scripts(services: Sequence[TableService]) -> list[str]:
    """Return the scripts that root runs in the image, in this order."""
    return [*(f"set -e\n{service.setup}" for service in services if service.setup), _LISTING]


def list_packages(services: Sequence[TableService]) -> list[str]:
    """Return the packages of an image, sorted, none twice."""
    return sorted({package for service in services for package in service.packages})


def merge_files(services: Sequence[TableService]) -> dict[str, str]:
    """Return the files of all services. Raises LabError if two services have different texts for a path."""
    files: dict[str, str] = {}
    for service in services:
        for path, text in service.files.items():
            if files.setdefault(path, text) != text:
                raise LabError(f"services/table/{service.name}.yml: {path}: another service has another text for it; choose another path")
    return files


def pack_files(files: dict[str, str]) -> bytes:
    """Return a tar disk with the files, which everyone can read; those in a folder `bin` can be executed."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for path, text in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o755 if "/bin/" in path else 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return output.getvalue()


def find_image(name: str, suite: str, services: Sequence[TableService]) -> Path:
    """Return the path of an image's file system, which may not exist yet."""
    content = [suite, list_packages(services), merge_files(services), build_scripts(services), recipe.DPKG_OPTIONS]
    return paths.cache_dir() / f"services-{name}-{suite}-{recipe.compute_digest(content)}" / "root.img"


def ensure_image(name: str, suite: str, services: Sequence[TableService]) -> Path:
    """Return the path of an image's file system, built if it does not exist."""
    disk = find_image(name, suite, services)
    key = disk.parent.name
    with locks.hold_lock(build_lock(key), f"another build of {key}"):
        if not disk.exists():
            build_atomically(disk.parent, lambda folder: _build(suite, services, folder))
        os.utime(disk.parent)
    others = sorted((p for p in paths.cache_dir().glob(f"services-{name}-{suite}-*") if p.name != key), key=get_age)
    for folder in others[KEEP_OTHERS:]:
        shutil.rmtree(folder, ignore_errors=True)
    return disk


def _build(suite: str, services: Sequence[TableService], folder: Path) -> None:
    (folder / "files.tar").write_bytes(pack_files(merge_files(services)))
    log = folder / "build.log"
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": os.environ.get("TMPDIR", "/var/tmp"), "DEBIAN_FRONTEND": "noninteractive"}
    mirror.install_from_first(
        f"{len(services)} services of {suite}",
        lambda uri: run_logged(_build_command(suite, services, folder, uri), log, "installing packages", env=environment),
        lambda: "Failed to fetch" in tail(log, 200),
    )
    shell = [*([] if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper"]), "sh", "-c", _FILL, "fill"]
    run_logged([*shell, str(folder), DISK_SIZE], log, "filling the file system", env=environment, stdin=folder / "root.tar")
    for name in ("files.tar", "root.tar"):
        (folder / name).unlink()


def _build_command(suite: str, services: Sequence[TableService], folder: Path, uri: str | None) -> list[str]:
    # fmt: off
    return [
        "mmdebstrap", "--variant=minbase", "--arch=amd64", "--format=tar", "--skip=output/dev",
        *(f"--aptopt={option}" for option in recipe.APT_OPTIONS.get(suite, ())),
        *(f"--dpkgopt={option}" for option in recipe.DPKG_OPTIONS),
        # Java's alternatives include manual pages, whose folder dpkg excludes with them.
        '--essential-hook=mkdir -p "$1/usr/share/man/man1"',
        f"--include={','.join(list_packages(services))}",
        f"--customize-hook=tar-in {shlex.quote(str(folder / 'files.tar'))} /",
        *(f'--customize-hook=chroot "$1" sh -c {shlex.quote(script)}' for script in build_scripts(services)),
        suite, str(folder / "root.tar"),
        *([uri] if uri else []),
    ]
    # fmt: on


# Runs on the engine's host: makes an image with one file, and mounts the disk with this serial number over that image's layer. The disk is
# mounted where dockerd sees it, with the owners that the engine's containers have on the host (X-mount.idmap: man 8 mount).
_MOUNT = """
set -e
for n in $(seq 100); do
  device=$(grep -lx {serial} /sys/block/vd*/serial | cut -d/ -f4)
  [ -z "$device" ] || break
  sleep 0.2
done
layer=$(mktemp -d)
echo {serial} > "$layer/empty"
tar -C "$layer" -c . | docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - {tag} >/dev/null
folder=$(docker image inspect -f '{{{{.GraphDriver.Data.UpperDir}}}}' {tag})
pid=$(pgrep -x -u "${{ENGINE_USER:-root}}" dockerd)
owner=$(stat -c %u "$folder")
map=
if [ -n "$ENGINE_USER" ]; then
  map=$(awk '{{print "u:"$1":"$2":"$3}}' /proc/$pid/uid_map; awk '{{print "g:"$1":"$2":"$3}}' /proc/$pid/gid_map)
elif [ "$owner" != 0 ]; then
  map="b:0:$owner:65536"
fi
nsenter -t "$pid" -m mount -o "ro${{map:+,X-mount.idmap=$(echo $map)}}" "/dev/$device" "$folder"
docker run --rm --network none {tag} cat /packages.txt
"""


def attach_image(
    run: Callable[[str], str], machine: Path, name: str, suite: str, services: Sequence[TableService], engine: str = ""
) -> str:
    """Give an image to the engine of a running VM, if it has none yet, and return its packages, `NAME VERSION` per line.

    run: runs a script there as root. machine: folder of the VM. engine: line of a script that selects the engine.

    `docker import` of a gigabyte takes an emulated processor 20 minutes. So the image is a disk that is plugged in, and mounted as the
    only layer of an image.
    """
    tag = get_tag(name)
    known = run(f"{engine}\n! docker image inspect {tag} >/dev/null 2>&1 || docker run --rm --network none {tag} cat /packages.txt")
    if known:
        return known
    disk = ensure_image(name, suite, services)
    serial = f"services-{name}"
    with Monitor(machine) as monitor:
        file = {"driver": "file", "filename": str(disk), "read-only": True}
        monitor.execute("blockdev-add", **{"node-name": serial, "driver": "raw", "read-only": True, "file": file})
        monitor.execute("device_add", driver="virtio-blk-pci", drive=serial, serial=serial, id=serial)
    return run(engine + _MOUNT.format(serial=serial, tag=tag))
