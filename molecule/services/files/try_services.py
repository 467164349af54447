#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start each service of build_service_image.py, query it, run docker exec, and stop it. Print one line of JSON per service.

    try_services.py nginx redis -- --security-opt seccomp=/etc/docker/seccomp/bulkhead-web.json --security-opt no-new-privileges

Arguments after `--` are options of `docker run`. The exit code is 1 if anything failed. Run it as root on the Docker host.
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

TIMEOUT = 60.0  # seconds; an emulated machine is slow


def main(arguments: list[str]) -> int:
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    options = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    failed = False
    for name in names or sorted(SERVICES):
        result = try_service(name, options)
        print(json.dumps(result), flush=True)
        failed = failed or not result["ok"]
    return 1 if failed else 0


def try_service(name: str, options: list[str]) -> dict[str, Any]:
    """Do everything once that a service must support. `problem` is what it did not do."""
    container = f"bulkhead-try-{name}"
    run_docker("rm", "--force", container)
    result: dict[str, Any] = {"service": name, "ok": False, "problem": ""}
    try:
        signal = SERVICES[name].stop_signal
        started = run_docker("run", "--detach", "--name", container, "--stop-signal", signal, *options, f"bulkhead-test/{name}:1")
        if started.returncode:
            return {**result, "problem": f"run: {started.stderr.strip()}"}
        address = run_docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container).stdout.strip()
        result["answers"] = query_service(name, address)
        executed = run_docker("exec", container, "sh", "-c", "cat /proc/self/status")
        result["exec"] = [
            line for line in executed.stdout.splitlines() if line.startswith(("Seccomp:", "NoNewPrivs:"))
        ] or executed.stderr.strip()
        stop_started = time.monotonic()
        run_docker("stop", "--time", "30", container)
        result["stopped_after"] = round(time.monotonic() - stop_started, 1)
        result["exit_code"] = int(run_docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout)
        result["ok"] = executed.returncode == 0 and result["exit_code"] == 0
        if not result["ok"]:
            result["problem"] = run_docker("logs", "--tail", "5", container).stderr
    except OSError as error:
        result["problem"] = f"{error}; its log ends with: {run_docker('logs', '--tail', '5', container).stderr}"
    finally:
        run_docker("rm", "--force", container)
    return result


def query_service(name: str, address: str) -> list[str]:
    """Return the service's answers. Raises OSError if it gives none within TIMEOUT."""
    port = SERVICES[name].port
    if name == "redis":
        return [
            retry(lambda command=command: query_redis(address, port, command))
            for command in ("PING", "SET key 1", "BGREWRITEAOF", "GET key")
        ]
    pages = ("/", "/child", "/thread") if name == "node" else ("/",)
    return [retry(lambda page=page: fetch_page(address, port, page)) for page in pages]


def retry(query: Any) -> str:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return str(query())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def fetch_page(address: str, port: int, page: str) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}{page}", timeout=10) as answer:
        return str(answer.read(200).decode().strip())


def query_redis(address: str, port: int, command: str) -> str:
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(200).decode().strip()


def run_docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
