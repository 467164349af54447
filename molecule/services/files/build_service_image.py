#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build container images of web services from the packages that are installed on this host, without a registry or a network.

    build_service_image.py nginx python node redis

Each image `bulkhead-test/NAME:1` contains the service's binaries, the libraries that `ldd` names for them, its data files, and a shell for
`docker exec`. The service listens on its port in `SERVICES`, and ends as process 1 at its stop signal. Give that signal to `docker run
--stop-signal`, because `docker import` of 20.10 cannot write it into an image. Run it as root on the Docker host. It uses only the standard library.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import glob

PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nredis:x:999:999:redis:/var/lib/redis:/bin/sh\n"
GROUP = "root:x:0:\nwww-data:x:33:\nredis:x:999:\n"
NGINX_CONF = """daemon off; user www-data; worker_processes 2; pid /run/nginx.pid; error_log /dev/stderr;
events { worker_connections 64; }
http { access_log /dev/stdout; server { listen 8080; root /srv; } }
"""
NODE_SERVER = """const http = require('http');
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { exec } = require('child_process');
if (!isMainThread) { parentPort.postMessage('thread'); } else {
  const server = http.createServer((request, response) => {
    if (request.url === '/thread') new Worker(__filename).on('message', (text) => response.end(text + '\\n'));
    else if (request.url === '/child') exec('echo child', (error, text) => response.end(error ? String(error) : text));
    else response.end('hello\\n');
  });
  server.listen(8080);
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.close(() => process.exit(0)));
}
"""


@dataclass(frozen=True)
class ServiceImage:
    """The content of an image: programs with their libraries, folders by glob pattern, files with their text, options of Docker.

    scripts: a folder of scripts. The image contains those that the libraries name (Debian has parts of Node outside of libnode).
    """

    programs: tuple[str, ...]
    command: tuple[str, ...]
    port: int
    trees: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    scripts: str = ""


SERVICES = {
    "nginx": ServiceImage(
        programs=("nginx",),
        command=("nginx", "-c", "/etc/nginx.conf"),
        port=8080,
        files={"/etc/nginx.conf": NGINX_CONF, "/srv/index.html": "hello\n"},
        stop_signal="SIGQUIT",  # nginx's graceful stop
    ),
    "python": ServiceImage(
        programs=("python3",),
        command=("python3", "-m", "http.server", "8080", "--directory", "/srv"),
        port=8080,
        trees=("/usr/lib/python3.[0-9]*",),
        files={"/srv/index.html": "hello\n"},
        stop_signal="SIGINT",  # process 1 has no default handler for SIGTERM, and http.server installs none
    ),
    "node": ServiceImage(
        programs=("node",),
        command=("node", "/srv/server.js"),
        port=8080,
        files={"/srv/server.js": NODE_SERVER},
        scripts="/usr/share/nodejs/",
    ),
    "redis": ServiceImage(
        programs=("redis-server", "redis-cli"),
        command=("redis-server", "--protected-mode", "no", "--dir", "/tmp", "--appendonly", "yes"),
        port=6379,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("services", nargs="+", choices=sorted(SERVICES), metavar="SERVICE", help=", ".join(sorted(SERVICES)))
    parser.add_argument("--repository", default="bulkhead-test")
    options = parser.parse_args()
    for name in options.services:
        try:
            import_image(f"{options.repository}/{name}:1", SERVICES[name])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: {getattr(error, 'stderr', b'').decode() or error}", file=sys.stderr)
            return 1
        print(f"{options.repository}/{name}:1 --stop-signal {SERVICES[name].stop_signal} port {SERVICES[name].port}")
    return 0


def import_image(tag: str, service: ServiceImage) -> None:
    """Pack the service and pipe it to `docker import`."""
    changes = [
        f"CMD [{', '.join(f'{chr(34)}{word}{chr(34)}' for word in service.command)}]",
        "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"EXPOSE {service.port}",
    ]
    arguments = ["docker", "import", *(word for change in changes for word in ("--change", change)), "-", tag]
    subprocess.run(arguments, input=pack_service(service), check=True, capture_output=True)


def pack_service(service: ServiceImage) -> bytes:
    """Return the image's file system as a tar archive."""
    programs = [find_program(name) for name in (*service.programs, "sh", "cat")]
    paths = {*programs, *list_libraries(programs)}
    for pattern in service.trees:
        for path in glob(pattern):
            paths.update(list_files(path))
    paths.update(list_libraries(path for path in sorted(paths) if path.endswith(".so")))
    if service.scripts:
        for path in sorted(paths):
            paths.update(find_named_scripts(path, service.scripts))
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for folder in ("dev", "proc", "sys", "tmp", "run", "srv", "var/log/nginx", "var/lib/nginx"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for link in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as on the host
            if os.path.islink(f"/{link}"):
                tar.add(f"/{link}", link)
        done: set[str] = set()
        for path in sorted(paths):
            add_file(tar, path, done)
        for path, text in {"/etc/passwd": PASSWD, "/etc/group": GROUP, **service.files}.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return output.getvalue()


def find_program(program: str) -> str:
    """Return the program's path. Raises FileNotFoundError."""
    for folder in ("/usr/local/bin", "/usr/sbin", "/usr/bin"):
        if os.access(f"{folder}/{program}", os.X_OK):
            return f"{folder}/{program}"
    raise FileNotFoundError(f"{program} is not installed on this host")


def list_libraries(paths: Iterable[str]) -> set[str]:
    """Return what the dynamic linker loads for these files, including itself (man 1 ldd)."""
    files = list(paths)
    if not files:
        return set()
    output = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return {match[1] for match in re.finditer(r"(?:=> )?(/\S+) \(0x", output)}


def find_named_scripts(path: str, folder: str) -> set[str]:
    """Return the scripts in `folder` that a binary names."""
    with open(path, "rb") as handle:
        return {match.decode() for match in re.findall(re.escape(folder.encode()) + rb"[\w@./-]+\.js", handle.read())}


def list_files(path: str) -> Iterable[str]:
    if not os.path.isdir(path) or os.path.islink(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name not in ("__pycache__", "test", "tests")]
        yield from (os.path.join(folder, name) for name in files)


def add_file(tar: tarfile.TarFile, path: str, done: set[str]) -> None:
    """Add a file under its real path. For a symbolic link, add the link and its target."""
    folder = os.path.realpath(os.path.dirname(path))
    place = os.path.join(folder, os.path.basename(path))
    if place in done or not os.path.lexists(place):
        return
    done.add(place)
    tar.add(place, place.lstrip("/"), recursive=False)
    if os.path.islink(place):
        target = os.path.normpath(os.path.join(folder, os.readlink(place)))
        if os.path.isdir(target):
            for inner in list_files(target):
                add_file(tar, inner, done)
        else:
            add_file(tar, target, done)


if __name__ == "__main__":
    sys.exit(main())
