# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command on a newer control node: Debian 13's Python with the newest supported ansible-core.

    python scripts/control_node.py python3 -m ansible playbook -i INVENTORY playbooks/verify.yml

The control node is a root file system of Debian packages, in which the locked Python packages are installed for its Python. It is built
once and kept in the lab's cache. The command runs in the repository, which has the same path there, as the root of that file system.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from lab import locks, mirror, paths  # noqa: E402 (the path comes first)
from lab.errors import LabError  # noqa: E402
from lab.progress import say  # noqa: E402

SUITE = "trixie"
PACKAGES = ("python3", "openssh-client")
LOCK_FILE = REPOSITORY / "requirements.txt"
LIBRARIES = "/opt/control"
KEEP_SECONDS = 14 * 86400  # a root of another key, since its last use
# $1: the root file system, $2: the repository, $3: the folder for temporary files, then the command. Mounts end with the namespace.
_ENTER = """
set -eu
root=$1 repository=$2 temporary=$3
shift 3
for folder in /dev /proc /sys "$temporary" "$repository"; do
  mkdir -p "$root$folder"
  mount --rbind "$folder" "$root$folder"
done
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$repository" "$@"
"""


def build_key() -> str:
    """Return a hash of what the root file system is made of."""
    parts = (Path(__file__).read_bytes(), LOCK_FILE.read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def ensure_root() -> Path:
    """Return the folder of the root file system, built if it does not exist."""
    cache = paths.cache_dir()
    root = cache / f"control-{SUITE}-{build_key()}"
    with locks.hold_lock(cache / "locks" / f"control-{SUITE}", "another build of the control node"):
        if not root.exists():
            for folder in cache.glob(f".control-{SUITE}-*"):  # of a killed build
                shutil.rmtree(folder, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=f".control-{SUITE}-", dir=cache))
            folder.chmod(0o755)
            _build_root(folder)
            folder.rename(root)
        os.utime(root)
        for other in cache.glob(f"control-{SUITE}-*"):
            if time.time() - other.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return root


def _build_root(folder: Path) -> None:
    """Install Debian's and the Python packages."""
    archive = folder / "root.tar"
    mirror.install_from_first(f"{' and '.join(PACKAGES)} of {SUITE}", lambda uri: _install_packages(archive, uri))
    # The device nodes, which an ordinary user cannot make, are those of this machine.
    subprocess.run(["tar", "--extract", "--exclude=./dev", f"--directory={folder}", f"--file={archive}"], check=True)
    archive.unlink()
    version = os.readlink(folder / "usr/bin/python3").removeprefix("python")
    say(f"installing the Python packages of {LOCK_FILE.name} for Python {version}")
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    uv += ["--python", sys.executable, "--python-version", version, "--target", f"{folder}{LIBRARIES}", "-r", str(LOCK_FILE)]
    subprocess.run(uv, check=True)
    shutil.rmtree(f"{folder}{LIBRARIES}/bin")  # made for the Python that installed them: `python3 -m NAME` starts the same


def _install_packages(archive: Path, uri: str | None) -> None:
    """Install Debian's packages into a tar file."""
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--format=tar", f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    command += ["--dpkgopt=force-unsafe-io", SUITE, str(archive), *([uri] if uri else [])]
    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": "/var/tmp"}, check=False)
    if done.returncode != 0:
        raise LabError(f"{SUITE} could not be installed from {uri or 'the default mirror'}")


def build_command(command: list[str]) -> list[str]:
    """Return the command that runs another one on the control node."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--mount", *user, "sh", "-c", _ENTER, "enter", str(ensure_root()), str(REPOSITORY), tempfile.gettempdir(), *command]


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of commands there: the given one without what concerns the Python here."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PYENV"))}
    own = {
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": LIBRARIES,
        "PYTHONPYCACHEPREFIX": str(REPOSITORY / ".cache/python"),
    }
    return {**kept, **own}


if __name__ == "__main__":
    try:
        sys.exit(subprocess.run(build_command(sys.argv[1:]), env=build_environment(os.environ), check=False).returncode)
    except LabError as error:
        sys.exit(f"bulkhead: {error}")
