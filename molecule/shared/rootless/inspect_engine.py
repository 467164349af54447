# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the host, as root, in one visit: containers of the rootless engine, started by its user's own docker client at a login shell, and what
the kernel says of them. Prints JSON. Looks by other means than the project's own module.

    python3 look.py USER [brief]
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

USER, BRIEF = sys.argv[1], "brief" in sys.argv[2:]
UID = pwd.getpwnam(USER).pw_uid
# What ends of its own accord when it is told to, with a status that says so.
STUBBORN = "sh -c 'trap \"exit 7\" TERM; while :; do sleep 0.1; done'"
IMAGE = r"""
set -e
docker image inspect testimage >/dev/null 2>&1 && exit 0
root=$(mktemp -d)
for program in sleep sh cat; do
  path=$(readlink -f "$(command -v $program)")
  install -D "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do install -D "$(readlink -f "$library")" "$root$library"; done
done
mkdir -p "$root/tmp"
tar -C "$root" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sleep", "infinity"]' - testimage >/dev/null
rm -r "$root"
"""


def run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["su", "-", USER, "-c", command], capture_output=True, text=True, timeout=300, check=False)


def said(command: str) -> str:
    """What a command of the user's prints, or what it complained of."""
    done = run(command)
    return (done.stdout if done.returncode == 0 else f"failed: {done.stderr}").strip("\n\0 ")


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(1)


def label(name: str) -> str:
    return Path(f"/proc/{said(f'docker inspect -f {{{{.State.Pid}}}} {name}')}/attr/current").read_text().strip("\n\0 ")


def kernel(pid: str) -> dict[str, Any]:
    proc = Path("/proc", pid)
    fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    cgroup = (proc / "cgroup").read_text().strip().removeprefix("0::")
    limits = {
        name: Path(f"/sys/fs/cgroup{cgroup}/{name}").read_text().strip() for name in ("pids.max", "memory.max", "cpu.max", "cpuset.cpus")
    }
    return {
        **{name: fields[name].split()[0] for name in ("Uid", "NoNewPrivs", "Seccomp")},
        "uid_map": [line.split() for line in (proc / "uid_map").read_text().splitlines()],
        "label": (proc / "attr/current").read_text().strip("\n\0 "),
        "cgroup": cgroup,
        "limits": limits,
    }


def plain() -> dict[str, Any]:
    """A container that asks for no security option, but for limits that need delegated controllers."""
    limits = "--memory 64m --cpus 0.5 --cpuset-cpus 0"
    health = "--health-cmd 'cat /proc/self/attr/current' --health-interval 2s --health-timeout 120s"
    run("docker rm -f plain")
    started = said(f"docker run --pull never -d --name plain --restart always {limits} {health} testimage {STUBBORN}")
    pid = said("docker inspect -f '{{.State.Pid}}' plain")
    found = {**kernel(pid), "started": started, "exec": said("docker exec plain cat /proc/self/attr/current")}
    if not BRIEF:
        found["exec --privileged"] = said("docker exec --privileged plain cat /proc/self/attr/current")
        wait(lambda: said("docker inspect -f '{{.State.Health.Status}}' plain") == "healthy")
        found["health"] = json.loads(said("docker inspect -f '{{json .State.Health}}' plain"))["Log"][-1]["Output"].strip("\n\0 ")
    run("docker update --restart no plain")
    said("docker stop -t 20 plain")
    found["stopped"] = said("docker inspect -f '{{.State.ExitCode}}' plain")
    run("docker rm -f plain")
    return found


def named() -> dict[str, Any]:
    """A container that names a profile."""
    found = {
        "started": said("docker run --pull never -d --network none --name web --security-opt apparmor=bulkhead-web testimage"),
        "label": label("web"),
    }
    found["entered"] = said("docker exec web cat /proc/self/attr/current").strip("\n\0 ")
    said("docker restart -t 1 web")
    found["restarted"] = label("web")
    run("docker rm -f web")
    return found


# A service on a privileged port, which tells who asks how it is confined itself.
PAGE = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = socket.create_server(('', 80))
while True:
    client, _ = server.accept()
    client.sendall(open('/proc/self/attr/current', 'rb').read())
    client.close()
"""


def compose() -> dict[str, str]:
    """The same by `docker compose`: up until it is healthy, asked from the host, entered, killed so that it comes back, down."""
    folders = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64")]
    health = {"test": ["CMD", "/bin/cat", "/proc/self/attr/current"], "interval": "2s", "timeout": "120s"}
    page = {
        "image": "testimage",
        "pull_policy": "never",
        "command": ["/usr/bin/python3", "-c", PAGE],
        "restart": "always",
        "ports": ["80:80"],
    }
    Path("/tmp/page.yml").write_text(json.dumps({"services": {"page": {**page, "volumes": folders, "healthcheck": health}}}))
    base = "docker compose --file /tmp/page.yml --project-name page"
    up = run(f"{base} up --detach --wait")
    found = {
        "up": up.stderr if up.returncode else "",
        "answers": answer(),
        "entered": said(f"{base} exec -T page cat /proc/self/attr/current"),
    }
    state = json.loads(said("docker inspect -f '{{json .State}}' page-page-1") or "{}")
    found["health"] = state["Health"]["Log"][-1]["Output"].strip("\n\0 ")
    os.kill(state["Pid"], signal.SIGKILL)
    wait(lambda: said("docker inspect -f '{{.State.Pid}}' page-page-1") not in ("0", str(state["Pid"])))
    found["answers again"], found["restarted"] = answer(), label("page-page-1")
    run(f"{base} down --timeout 20")
    found["left"] = said("docker ps --all --quiet --filter name=page; docker network ls --quiet --filter name=page")
    return found


def answer() -> str:
    """What the service says to the host; the engine may still be about to publish its port."""
    deadline, problem = time.monotonic() + 30, ""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", 80), timeout=5) as client:
                heard = client.recv(100).decode().strip("\n\0 ")
            if heard:
                return heard
        except OSError as error:
            problem = str(error)
        time.sleep(0.5)
    return f"no answer: {problem}"


def options() -> dict[str, str]:
    """What a program in a container sees under some options."""
    tried = (
        "--privileged",
        "--security-opt apparmor=unconfined",
        "--runtime runc",
        "--security-opt no-new-privileges=false",
        "--security-opt apparmor=nonesuch",
    )
    return {words: said(f"docker run --pull never --rm --network none {words} testimage cat /proc/self/attr/current") for words in tried}


def owners(paths: list[str]) -> dict[str, list[str]]:
    found = {}
    for path in paths:
        status = os.stat(path)
        found[path] = [pwd.getpwuid(status.st_uid).pw_name, f"{status.st_mode & 0o777:04o}"]
    return found


def host() -> dict[str, Any]:
    """What stands around the containers."""
    settings = f"/home/{USER}/.config/docker/daemon.json"
    content = json.loads(Path(settings).read_text())
    dockerd = subprocess.run(["pgrep", "-x", "dockerd"], capture_output=True, text=True, check=False).stdout.split()
    units = ["systemctl", "is-enabled", "docker.service", "docker.socket"]
    return {
        "daemon.json": content,
        "owners": owners(
            [settings, "/etc/systemd/user/docker.service", content["runtimes"]["bulkhead"]["path"], f"/run/user/{UID}/docker.sock"]
        ),
        "dockerd": [Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0] for pid in dockerd],
        "context": said("env -u DOCKER_HOST docker context show || env -u DOCKER_HOST docker context ls | grep '\\*'"),
        "DOCKER_HOST": said("echo $DOCKER_HOST"),
        "network": [
            name for name in ("pasta", "slirp4netns") if subprocess.run(["pgrep", f"^{name}"], capture_output=True, check=False).stdout
        ],
        "rootful": subprocess.run(units, capture_output=True, text=True, check=False).stdout.split(),
    }


def main() -> None:
    image = said(f"bash -c {shlex.quote(IMAGE)}")
    if image:
        sys.exit(f"no image of the host's own programs could be made: {image}")
    found: dict[str, Any] = {"uid": str(UID), "plain": plain()}
    if not BRIEF:
        found.update(named=named(), compose=compose(), options=options(), host=host())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
