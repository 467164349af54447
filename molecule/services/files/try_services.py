#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start each service of build_service_image.py, talk to it, exec into it, stop it; a line of JSON for each.

    try_services.py nginx redis -- --security-opt seccomp=/etc/docker/seccomp/bulkhead-web.json --security-opt no-new-privileges

What stands behind `--` goes to `docker run`. Exits 1 when anything did not work. Run as root on the Docker host.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

from build_service_image import SERVICES

TIMEOUT = 60.0  # an emulated machine takes its time


def main(arguments: list[str]) -> int:
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    options = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    failed = False
    for name in names or sorted(SERVICES):
        result = attempt(name, options)
        print(json.dumps(result), flush=True)
        failed = failed or not result["ok"]
    return 1 if failed else 0


def attempt(name: str, options: list[str]) -> dict[str, Any]:
    """Everything that a service has to do once; `why` says what it did not."""
    container = f"bulkhead-try-{name}"
    docker("rm", "--force", container)
    result: dict[str, Any] = {"service": name, "ok": False, "why": ""}
    try:
        signal = SERVICES[name].stop_signal
        started = docker("run", "--detach", "--name", container, "--stop-signal", signal, *options, f"bulkhead-test/{name}:1")
        if started.returncode:
            return {**result, "why": f"run: {started.stderr.strip()}"}
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container).stdout.strip()
        result["answers"] = ask(name, address)
        executed = docker("exec", container, "sh", "-c", "cat /proc/self/status")
        result["exec"] = [
            line for line in executed.stdout.splitlines() if line.startswith(("Seccomp:", "NoNewPrivs:"))
        ] or executed.stderr.strip()
        began = time.monotonic()
        docker("stop", "--time", "30", container)
        result["stopped_after"] = round(time.monotonic() - began, 1)
        result["exit_code"] = int(docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout)
        result["ok"] = executed.returncode == 0 and result["exit_code"] == 0
        if not result["ok"]:
            result["why"] = docker("logs", "--tail", "5", container).stderr
    except OSError as error:
        result["why"] = f"{error}; its log ends: {docker('logs', '--tail', '5', container).stderr}"
    finally:
        docker("rm", "--force", container)
    return result


def ask(name: str, address: str) -> list[str]:
    """The service's answers. Raises OSError when it gives none within TIMEOUT."""
    port = SERVICES[name].port
    if name == "redis":
        return [
            patiently(lambda command=command: redis(address, port, command)) for command in ("PING", "SET key 1", "BGREWRITEAOF", "GET key")
        ]
    pages = ("/", "/child", "/thread") if name == "node" else ("/",)
    return [patiently(lambda page=page: http(address, port, page)) for page in pages]


def patiently(once: Any) -> str:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return str(once())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def http(address: str, port: int, page: str) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}{page}", timeout=10) as answer:
        return str(answer.read(200).decode().strip())


def redis(address: str, port: int, command: str) -> str:
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(200).decode().strip()


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
