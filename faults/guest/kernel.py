# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in the machine: which layers a new container is under, by the kernel, told with other means than verification's. Prints layer → bool."""

import json
import subprocess
from pathlib import Path

RUN = ["docker", "run", "-d", "--rm", "--network", "none", "marker-image"]


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def value(text: str, key: str) -> str:
    return next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith(f"{key}:")), "")


def look(process: Path) -> dict[str, bool]:
    status, label = (process / "status").read_text(), (process / "attr/current").read_text().strip()
    group = (process / "cgroup").read_text().strip().partition("::")[2]
    loaded = Path("/sys/kernel/security/apparmor/profiles").read_text()
    return {
        "pids_limit": Path(f"/sys/fs/cgroup{group}/pids.max").read_text().strip() == "100",
        "no_new_privileges": value(status, "NoNewPrivs") == "1",
        "seccomp": value(status, "Seccomp") == "2" and "bulkhead-default" in docker("info", "-f", "{{.SecurityOptions}}"),
        "apparmor": label.endswith("(enforce)") and "bulkhead-web (enforce)" in loaded,
        "userns": (process / "uid_map").read_text().split()[1] != "0",
    }


probe = docker(*RUN[1:])
try:
    print(json.dumps(look(Path("/proc") / docker("inspect", "-f", "{{.State.Pid}}", probe))))
finally:
    docker("kill", probe)
