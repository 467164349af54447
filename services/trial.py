# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries services on a VM of the lab: imports the images, sends the jobs, collects the results."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import lifecycle
from services.data import TableService, build_job

GUEST = Path(__file__).with_name("guest.py")
# The user of the rootless engine: rootless_docker_user.
ROOTLESS_USER = "rootless"
_FOLDER = "/root/services-table"
# Runs a script on the VM as root and returns its output. Raises an exception if the script fails.
RunScript = Callable[[str], str]


def select_engine(setting: str) -> str:
    """Return the line of a script that selects the engine of a setting."""
    user = f"ENGINE_USER={ROOTLESS_USER}; export DOCKER_HOST=unix:///run/user/$(id -u {ROOTLESS_USER})/docker.sock"
    return user if setting == "rootless" else "ENGINE_USER="


def build_script(services: Sequence[TableService], setting: str, options: Sequence[str] = ()) -> str:
    """Return the script that tries services in a setting and prints one line of JSON per service. options: further ones of `docker run`."""
    built = [build_job(service, setting) for service in services]
    jobs = "\n".join(json.dumps({**job, "options": [*job["options"], *options]} if options else job) for job in built)
    return (
        f"{select_engine(setting)}\nmkdir -p {_FOLDER} && cd {_FOLDER}\n"
        f"cat > guest.py <<'END_OF_PROGRAM'\n{GUEST.read_text(encoding='utf-8')}\nEND_OF_PROGRAM\n"
        f"python3 guest.py <<'END_OF_JOBS' || true\n{jobs}\nEND_OF_JOBS\n"
    )


def parse_results(output: str) -> dict[str, dict[str, Any]]:
    """Return the results by service."""
    return {entry["service"]: entry for entry in map(json.loads, output.splitlines())}


def find_problems(services: Sequence[TableService], results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the services that did not pass, with the reason; also those of which there is no result."""
    missing = {service.name: "there is no result" for service in services if service.name not in results}
    failed = {name: f"{entry['problem']}; log: {entry.get('log', '')}" for name, entry in results.items() if not entry["ok"]}
    return {**missing, **failed}


def open_machine(name: str) -> RunScript:
    """Return a function that runs scripts on a VM of this checkout."""
    remote = lifecycle.find_machine(name).get_remote()

    def run(script: str) -> str:
        done = subprocess.run(remote.build_command(["bash", "-s"]), input=script, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: status {done.returncode}: {done.stderr.strip()[-1000:]}")
        return done.stdout

    return run


def stream_results(name: str, script: str) -> Iterator[dict[str, Any]]:
    """Yield the results of a script of `build_script` on a VM of this checkout, each when it arrives."""
    command = "cat > /tmp/services.sh && bash /tmp/services.sh"
    remote = lifecycle.find_machine(name).get_remote().build_command([shlex.join(["sh", "-c", command])])
    with subprocess.Popen(remote, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        process.stdin.write(script)
        process.stdin.close()
        for line in process.stdout:
            yield json.loads(line)
