# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the machine: prints, as JSON, which layers the kernel enforces on a new container. It shares no code with verification."""

import json
import subprocess
from pathlib import Path

RUN = ["run", "-d", "--rm", "--network", "none", "marker-image"]


def run_docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def find_value(text: str, key: str) -> str:
    return next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith(f"{key}:")), "")


def read_layers(process: Path) -> dict[str, bool]:
    status, label = (process / "status").read_text(), (process / "attr/current").read_text().strip()
    group = (process / "cgroup").read_text().strip().partition("::")[2]
    loaded = Path("/sys/kernel/security/apparmor/profiles").read_text()
    return {
        "pids_limit": Path(f"/sys/fs/cgroup{group}/pids.max").read_text().strip() == "512",
        "no_new_privileges": find_value(status, "NoNewPrivs") == "1",
        "seccomp": find_value(status, "Seccomp") == "2" and "bulkhead-default" in run_docker("info", "-f", "{{.SecurityOptions}}"),
        "apparmor": label.endswith("(enforce)") and "bulkhead-web (enforce)" in loaded,
        "userns": (process / "uid_map").read_text().split()[1] != "0",
    }


container = run_docker(*RUN)
try:
    print(json.dumps(read_layers(Path("/proc") / run_docker("inspect", "-f", "{{.State.Pid}}", container))))
finally:
    run_docker("kill", container)
