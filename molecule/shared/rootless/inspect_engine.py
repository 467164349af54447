# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the host as root: starts containers of the rootless engine with the user's own docker client in a login shell, and reads what the
kernel enforces on them. Prints JSON. It shares no code with the project's own module.

    python3 inspect_engine.py USER [brief]
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
# Ends with status 7 on SIGTERM.
COMMAND = "sh -c 'trap \"exit 7\" TERM; sleep infinity & wait'"
MAKE_IMAGE = r"""
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


def run_as_user(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["su", "-", USER, "-c", command], capture_output=True, text=True, timeout=300, check=False)


def read_output(command: str) -> str:
    """Run a command as the user; return its output, or its error after `failed: `."""
    done = run_as_user(command)
    return (done.stdout if done.returncode == 0 else f"failed: {done.stderr}").strip("\n\0 ")


def wait_for(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(2)


def read_label(name: str) -> str:
    return Path(f"/proc/{read_output(f'docker inspect -f {{{{.State.Pid}}}} {name}')}/attr/current").read_text().strip("\n\0 ")


def read_process(pid: str) -> dict[str, Any]:
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


def inspect_plain_container() -> dict[str, Any]:
    """Inspect a container without security options, but with limits that need delegated controllers."""
    limits = "--memory 64m --cpus 0.5 --cpuset-cpus 0"
    health = "" if BRIEF else "--health-cmd 'cat /proc/self/attr/current' --health-interval 5s --health-timeout 120s"
    run_as_user("docker rm -f plain")
    started = read_output(f"docker run --pull never -d --name plain --restart always {limits} {health} testimage {COMMAND}")
    pid = read_output("docker inspect -f '{{.State.Pid}}' plain")
    found = {**read_process(pid), "started": started, "exec": read_output("docker exec plain cat /proc/self/attr/current")}
    if not BRIEF:
        found["exec --privileged"] = read_output("docker exec --privileged plain cat /proc/self/attr/current")
        wait_for(lambda: read_output("docker inspect -f '{{.State.Health.Status}}' plain") == "healthy")
        found["health"] = json.loads(read_output("docker inspect -f '{{json .State.Health}}' plain"))["Log"][-1]["Output"].strip("\n\0 ")
    run_as_user("docker update --restart no plain")
    read_output("docker stop -t 20 plain")
    found["stopped"] = read_output("docker inspect -f '{{.State.ExitCode}}' plain")
    run_as_user("docker rm -f plain")
    return found


def inspect_named_profile() -> dict[str, Any]:
    """Inspect a container that requests a profile."""
    found = {
        "started": read_output("docker run --pull never -d --network none --name web --security-opt apparmor=bulkhead-web testimage"),
        "label": read_label("web"),
    }
    found["entered"] = read_output("docker exec web cat /proc/self/attr/current").strip("\n\0 ")
    read_output("docker restart -t 1 web")
    found["restarted"] = read_label("web")
    run_as_user("docker rm -f web")
    return found


# A service on a privileged port. Its answer is its own AppArmor label.
PAGE = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = socket.create_server(('', 80))
while True:
    client, _ = server.accept()
    client.sendall(open('/proc/self/attr/current', 'rb').read())
    client.close()
"""


def inspect_compose_service() -> dict[str, str]:
    """Inspect a service of `docker compose`: start it until it is healthy, query it, run docker exec, kill it, wait for the restart, remove it."""
    folders = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64")]
    health = {"test": ["CMD", "/bin/cat", "/proc/self/attr/current"], "interval": "5s", "timeout": "120s"}
    page = {
        "image": "testimage",
        "pull_policy": "never",
        "command": ["/usr/bin/python3", "-c", PAGE],
        "restart": "always",
        "ports": ["80:80"],
    }
    Path("/tmp/page.yml").write_text(json.dumps({"services": {"page": {**page, "volumes": folders, "healthcheck": health}}}))
    base = "docker compose --file /tmp/page.yml --project-name page"
    up = run_as_user(f"{base} up --detach --wait")
    found = {
        "up": up.stderr if up.returncode else "",
        "answers": query_page(),
        "entered": read_output(f"{base} exec -T page cat /proc/self/attr/current"),
    }
    state = json.loads(read_output("docker inspect -f '{{json .State}}' page-page-1") or "{}")
    found["health"] = state["Health"]["Log"][-1]["Output"].strip("\n\0 ")
    os.kill(state["Pid"], signal.SIGKILL)
    wait_for(lambda: read_output("docker inspect -f '{{.State.Pid}}' page-page-1") not in ("0", str(state["Pid"])))
    found["answers again"], found["restarted"] = query_page(), read_label("page-page-1")
    run_as_user(f"{base} down --timeout 20")
    found["left"] = read_output("docker ps --all --quiet --filter name=page; docker network ls --quiet --filter name=page")
    return found


def query_page() -> str:
    """Return the service's answer to the host. The engine may publish its port late."""
    deadline, problem = time.monotonic() + 30, ""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", 80), timeout=5) as client:
                answer = client.recv(100).decode().strip("\n\0 ")
            if answer:
                return answer
        except OSError as error:
            problem = str(error)
        time.sleep(0.5)
    return f"no answer: {problem}"


def inspect_options() -> dict[str, str]:
    """Return the label of a program in a container under some options."""
    all_options = (
        "--privileged",
        "--security-opt apparmor=unconfined",
        "--runtime runc",
        "--security-opt no-new-privileges=false",
        "--security-opt apparmor=nonesuch",
    )
    return {
        options: read_output(f"docker run --pull never --rm --network none {options} testimage cat /proc/self/attr/current")
        for options in all_options
    }


def read_owners(paths: list[str]) -> dict[str, list[str]]:
    found = {}
    for path in paths:
        status = os.stat(path)
        found[path] = [pwd.getpwuid(status.st_uid).pw_name, f"{status.st_mode & 0o777:04o}"]
    return found


def inspect_host() -> dict[str, Any]:
    """Inspect the engine and its files on the host."""
    settings = f"/home/{USER}/.config/docker/daemon.json"
    content = json.loads(Path(settings).read_text())
    dockerd = subprocess.run(["pgrep", "-x", "dockerd"], capture_output=True, text=True, check=False).stdout.split()
    units = ["systemctl", "is-enabled", "docker.service", "docker.socket"]
    return {
        "daemon.json": content,
        "owners": read_owners(
            [settings, "/etc/systemd/user/docker.service", content["runtimes"]["bulkhead"]["path"], f"/run/user/{UID}/docker.sock"]
        ),
        "dockerd": [Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0] for pid in dockerd],
        "context": read_output("env -u DOCKER_HOST docker context show || env -u DOCKER_HOST docker context ls | grep '\\*'"),
        "DOCKER_HOST": read_output("echo $DOCKER_HOST"),
        "network": [
            name for name in ("pasta", "slirp4netns") if subprocess.run(["pgrep", f"^{name}"], capture_output=True, check=False).stdout
        ],
        "rootful": subprocess.run(units, capture_output=True, text=True, check=False).stdout.split(),
    }


def main() -> None:
    image = read_output(f"bash -c {shlex.quote(MAKE_IMAGE)}")
    if image:
        sys.exit(f"the test image cannot be built: {image}")
    found: dict[str, Any] = {"uid": str(UID), "plain": inspect_plain_container()}
    if not BRIEF:
        found.update(named=inspect_named_profile(), compose=inspect_compose_service(), options=inspect_options(), host=inspect_host())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
