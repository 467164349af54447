#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start services in containers, ask them, run docker exec, read what the kernel counted, and stop them. Runs on the engine's host.

Reads one job per line as JSON (services/data.py: build_job) and prints one result per line. Only the standard library. DOCKER_HOST
selects the engine. Every check can fail: an answer must match, `docker exec` must see the setting that was asked for, and the service must
end by itself within the grace period with an exit code of its own.
"""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GRACE = 60  # seconds that `docker stop` waits; an emulated machine is slow
LOAD_SECONDS = 60.0  # how long clients of a load test may wait for the service
_EXEC = "cat /proc/self/status; echo pid_of_shell $$; cat /packages.txt | wc -l"
_CGROUP_FILES = ("pids.peak", "pids.current", "pids.max", "memory.peak")


class TrialError(Exception):
    """A service did not do what it must. The message says what, and what it did instead."""


def main() -> int:
    failed = False
    for line in sys.stdin:
        result = try_service(json.loads(line))
        print(json.dumps(result), flush=True)
        failed = failed or not result["ok"]
    return 1 if failed else 0


def try_service(job: dict[str, Any]) -> dict[str, Any]:
    """Do everything once that a service must support. Return the counts until the end or the first failure, which is the `problem`."""
    began = time.monotonic()
    result: dict[str, Any] = {"service": job["service"], "ok": False, "problem": ""}
    clean_up(job)
    try:
        if "without" in job:
            result["without_nofile"] = try_without_nofile(job)
            began = time.monotonic()
        start_service(job)
        wait_for_answers(job)
        result["started_after"] = round(time.monotonic() - began, 1)
        result.update(check_kernel(job))
        check_exec(job)
        result["idle"] = result["pids.current"]
        if job["load"]:
            result["load"] = apply_load(job)
        result["pids.peak"] = read_kernel(job)["pids.peak"]
        result.update(stop_service(job))
        result["ok"] = True
    except (TrialError, OSError) as error:
        result["problem"] = f"{error}"
        logs = run_docker("logs", "--tail", "12", job["container"])
        result["log"] = (logs.stdout + logs.stderr)[-1500:]
        result["state"] = inspect_container(job, "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}")
    finally:
        clean_up(job)
        result["seconds"] = round(time.monotonic() - began, 1)
    return result


def try_without_nofile(job: dict[str, Any]) -> str:
    """Start the service with the engine's own limit of open files, return how that ended, and remove the container."""
    began = time.monotonic()
    try:
        start_service({**job, "options": job["without"]})
        wait_for_answers(job)
        return f"answers after {time.monotonic() - began:.0f} s"
    except TrialError as error:
        logs = run_docker("logs", job["container"])
        fatal = re.search(r"^.*(?:fatal|error|unable).*$", logs.stdout + logs.stderr, re.MULTILINE | re.IGNORECASE)
        memory = inspect_container(job, "{{.State.OOMKilled}}") == "true"
        state = inspect_container(job, "{{.State.Status}}, exit code {{.State.ExitCode}}")
        seen = f"{error}" if state.startswith("running") else f"it ended: {state}"
        return fatal[0].strip() if fatal else f"{'out of memory; ' if memory else ''}{seen}"
    finally:
        clean_up(job)


def clean_up(job: dict[str, Any]) -> None:
    run_docker("rm", "--force", "--volumes", job["container"])
    if "compose" in job:
        subprocess.run(["docker", "compose", "-f", "-", "down", "-v"], input=job["compose"], capture_output=True, text=True, check=False)


def start_service(job: dict[str, Any]) -> None:
    if "compose" in job:
        command = ["docker", "compose", "-f", "-", "up", "--detach", "--pull", "never"]
    else:
        command = ["docker", "run", "--detach", "--name", job["container"], *job["options"], job["image"], *job["command"]]
    done = subprocess.run(command, input=job.get("compose"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrialError(f"start: {done.stderr.strip()[-400:]}")


def wait_for_answers(job: dict[str, Any]) -> None:
    """Repeat all probes until every one is answered. Raises TrialError with the last answer."""
    deadline = time.monotonic() + job["start_seconds"]
    while True:
        problem = ""
        for probe in job["probes"]:
            problem = problem or find_mismatch(job, probe)
        if not problem:
            return
        if time.monotonic() > deadline or inspect_container(job, "{{.State.Status}} {{.RestartCount}}") not in ("running 0", "created 0"):
            raise TrialError(problem)
        time.sleep(0.5)


def find_mismatch(job: dict[str, Any], probe: dict[str, Any]) -> str:
    """Return how the answer to a probe differs from the expected one; empty if it does not."""
    try:
        answer = ask_service(job, probe)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no answer: {error}"
    missing = [pattern for pattern in probe["expect"] if not re.search(pattern, answer, re.MULTILINE)]
    return f"the answer does not match {missing[0]!r}: {answer[-300:]!r}" if missing else ""


def ask_service(job: dict[str, Any], probe: dict[str, Any]) -> str:
    if "exec" in probe:
        done = subprocess.run(
            ["docker", "exec", job["container"], *probe["exec"]], capture_output=True, text=True, timeout=120, check=False
        )
        return done.stdout + done.stderr
    if "http" in probe:
        port, path = str(probe["http"]).split("/", 1)
        return fetch_page(int(port) + job["offset"], f"/{path}")
    if "dns" in probe:
        port, name = str(probe["dns"]).split("/")
        return query_dns(int(port) + job["offset"], name)
    return exchange_lines(int(probe["tcp"]) + job["offset"], probe)


def fetch_page(port: int, path: str) -> str:
    """Return status line, headers and body of a page."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: probe.example.test\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode(errors="replace").replace("\r\n", "\n")


def exchange_lines(port: int, probe: dict[str, Any]) -> str:
    """Return all that a server sends in answer to the lines. It sends a greeting before them, unless the probe has `first`."""
    received = ""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        if not probe.get("first"):
            received += receive_until_pause(connection)
        for text in probe.get("say", []):
            connection.sendall(text.encode("latin-1"))
            received += receive_until_pause(connection)
    return received.replace("\r\n", "\n")


def receive_until_pause(connection: socket.socket) -> str:
    """Return what arrives until the server pauses for a second; the first part may take 10 seconds."""
    received = b""
    while select.select([connection], [], [], 0.7 if received else 10.0)[0]:
        chunk = connection.recv(65536)
        if not chunk:
            break
        received += chunk
    return received.decode("latin-1")


def query_dns(port: int, name: str) -> str:
    """Return the address of a name, asked over UDP (RFC 1035, section 4)."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        connection.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question)
        answer = connection.recv(4096)
    # The first record follows the question: name, type, class, TTL, length, address.
    record = answer[12 + len(question) :]
    return ".".join(str(byte) for byte in record[12:16]) if record[2:4] == b"\0\1" else answer.hex()


def inspect_container(job: dict[str, Any], template: str) -> str:
    return run_docker("inspect", "--format", template, job["container"]).stdout.strip()


def read_kernel(job: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of the container's cgroup, and its limit of open files."""
    pid = inspect_container(job, "{{.State.Pid}}")
    if pid == "0":
        raise TrialError(f"it ended: {inspect_container(job, '{{.State.Status}}, exit code {{.State.ExitCode}}')}")
    group = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").strip().removeprefix("0::")
    found: dict[str, Any] = {}
    for name in _CGROUP_FILES:
        text = Path(f"/sys/fs/cgroup{group}/{name}").read_text(encoding="ascii").strip()
        found[name] = int(text) if text.isdigit() else text
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    match = re.search(r"^Max open files\s+(\S+)", limits, re.MULTILINE)
    found["nofile"] = match[1] if match else ""
    found["denied_tasks"] = int(Path(f"/sys/fs/cgroup{group}/pids.events").read_text(encoding="ascii").split()[1])
    found["mapped"] = Path(f"/proc/{pid}/uid_map").read_text(encoding="ascii").split()[:2] != ["0", "0"]
    return found


def check_kernel(job: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of the container. Raises TrialError if the kernel enforces another setting than the one that is tried."""
    found = read_kernel(job)
    expect = job["expect"]
    for key, name in (("mapped", "mapped"), ("pids_max", "pids.max")):
        if key in expect and found[name] != expect[key]:
            raise TrialError(f"setting: {name} is {found[name]}, expected {expect[key]}")
    return found


def check_exec(job: dict[str, Any]) -> None:
    """Run a command in the container. Raises TrialError if it fails or has other restrictions than those of the setting."""
    done = run_docker("exec", job["container"], "sh", "-c", _EXEC)
    status = dict(re.findall(r"^(\w+):\s+(.*)$", done.stdout, re.MULTILINE))
    expect = job["expect"]
    for key in ("Seccomp", "NoNewPrivs"):
        if status.get(key) != expect[key]:
            raise TrialError(f"exec: {key} is {status.get(key)}, expected {expect[key]}: {done.stderr.strip()[-300:]}")
    if expect.get("root") is False and status["Uid"].split()[0] == "0":
        raise TrialError("exec: it runs as root")
    if "capabilities" in expect and int(status["CapBnd"], 16).bit_count() != expect["capabilities"]:
        raise TrialError(f"exec: CapBnd is {status['CapBnd']}, expected {expect['capabilities']} capabilities")


def apply_load(job: dict[str, Any]) -> dict[str, Any]:
    """Connect many clients at the same time. Raises TrialError if the service does not serve each, or cannot be asked afterwards."""
    load, clients = job["load"], list[socket.socket]()
    served = 0
    try:
        for _ in range(load["clients"]):
            client = socket.create_connection(("127.0.0.1", load["port"] + job["offset"]), timeout=LOAD_SECONDS)
            clients.append(client)
            client.sendall(load.get("send", "").encode())
        served = count_served(clients, load)
        state = read_kernel(job)
    finally:
        for client in clients:
            client.close()
    if served != load["clients"] or state["denied_tasks"]:
        raise TrialError(f"load: {served} of {load['clients']} clients are served, {state['denied_tasks']} tasks were denied")
    time.sleep(2)
    problem = find_mismatch(job, job["probes"][0])
    if problem:
        raise TrialError(f"after the load: {problem}")
    return {"clients": served, "tasks": state["pids.current"], "peak": state["pids.peak"]}


def count_served(clients: list[socket.socket], load: dict[str, Any]) -> int:
    """Return how many clients are still connected a moment later, and have received what the load expects."""
    if load.get("answer"):
        served = 0
        for client in clients:
            client.settimeout(LOAD_SECONDS)
            try:
                served += bool(re.search(load["answer"], client.recv(4096).decode("latin-1")))
            except OSError:
                continue
        return served
    time.sleep(load.get("seconds", 6))
    served = 0
    for client in clients:
        client.setblocking(False)
        try:
            served += bool(client.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            served += 1
        except OSError:
            continue
    return served


def stop_service(job: dict[str, Any]) -> dict[str, Any]:
    """Stop the container. Raises TrialError if the service was killed, took longer than the grace period, or ended with another code."""
    began = time.monotonic()
    run_docker("stop", "--time", str(GRACE), job["container"])
    seconds = round(time.monotonic() - began, 1)
    code = int(inspect_container(job, "{{.State.ExitCode}}"))
    if seconds >= GRACE or code not in job["exit_codes"]:
        raise TrialError(f"stop: exit code {code} after {seconds} s, expected {' or '.join(map(str, job['exit_codes']))}")
    return {"stopped_after": seconds, "exit_code": code}


def run_docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
