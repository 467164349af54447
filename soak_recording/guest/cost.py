#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what recording costs: requests per second, starts of containers, and the kernel's time per call. Runs on the engine's host, next to guest.py.

Reads one job as JSON: `rounds`, `servers` (name -> container, and command of the load with {address}), `image`. Prints one line of JSON per
state and round. In each round the states follow each other: no recorder, calls alone, calls and accesses.
"""

from __future__ import annotations

import ctypes
import json
import re
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import guest

FOLDER = Path("/var/lib/bulkhead/recorder")
UNIT = "bulkhead-recorder.service"
STATES = {"off": None, "calls": {"calls": True, "access": False}, "calls and accesses": {"calls": True, "access": True}}
# With the host's network, so that it is not limited by a proxy, and without a filter, so that it is not recorded.
_CLIENT = ["--network=host", "--userns=host", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
_GET_INFO = 15  # BPF_OBJ_GET_INFO_BY_FD
_STARTS = 4


def main() -> int:
    job = json.loads(sys.stdin.readline())
    Path("/proc/sys/kernel/bpf_stats_enabled").write_text("0", encoding="ascii")
    for number in range(job["rounds"]):
        for state in STATES:
            switch(state)
            result: dict[str, Any] = {"round": number, "state": state}
            for name, server in job["servers"].items():
                result[name] = measure_rate(server)
            result["start"] = measure_start(job["image"])
            if state != "off":
                result["nanoseconds"] = measure_programs(lambda: measure_rate(job["servers"]["nginx"]))
            print(json.dumps(result), flush=True)
    switch("calls and accesses")
    return 0


def switch(state: str) -> None:
    subprocess.run(["systemctl", "stop", UNIT], check=True)
    subprocess.run([sys.executable, "-I", str(FOLDER / "recorder.pyz"), "stop"], check=True, capture_output=True)
    settings = STATES[state]
    if settings:
        path = FOLDER / "settings.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **settings}), encoding="utf-8")
        subprocess.run(["systemctl", "start", UNIT], check=True)
    time.sleep(3)


def measure_rate(server: dict[str, Any]) -> float:
    """Return requests per second."""
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = run("inspect", "--format", template, server["container"]).strip()
    command = [part.format(address=address) for part in server["command"]]
    output = run("run", "--rm", *_CLIENT, server["image"], *command)
    match = re.search(r"Requests per second:\s+([\d.]+)|([\d.]+) requests per second", output)
    if not match:
        raise RuntimeError(f"the load has no result: {output[-500:]}")
    return float(match[1] or match[2])


def measure_start(image: str) -> float:
    """Return seconds per container that ends at once."""
    began = time.monotonic()
    for _ in range(_STARTS):
        run("run", "--rm", "--network=none", image, "true")
    return (time.monotonic() - began) / _STARTS


def measure_programs(act: Any) -> dict[str, float]:
    """Return nanoseconds per run of each program, by the kernel's own clock (sysctl kernel.bpf_stats_enabled)."""
    sys.path.insert(0, str(FOLDER / "recorder.pyz"))
    from bulkhead.recorder import pins

    paths = [path for path in Path(pins.find_folder()).iterdir() if path.name.startswith("program_")]
    switch_file = Path("/proc/sys/kernel/bpf_stats_enabled")
    switch_file.write_text("1", encoding="ascii")
    try:
        before = {path.name: read_statistics(str(path)) for path in paths}
        act()
        after = {path.name: read_statistics(str(path)) for path in paths}
    finally:
        switch_file.write_text("0", encoding="ascii")
    found = {}
    for name, (nanoseconds, runs) in after.items():
        if runs > before[name][1]:
            found[name.removeprefix("program_")] = (nanoseconds - before[name][0]) / (runs - before[name][1])
    return found


def read_statistics(path: str) -> tuple[int, int]:
    """Return run_time_ns and run_cnt of a pinned program (include/uapi/linux/bpf.h, struct bpf_prog_info)."""
    from bulkhead.recorder import bpf

    info = ctypes.create_string_buffer(256)
    bpf.call_bpf(_GET_INFO, "=IIQ", bpf.open_pinned(path), len(info), ctypes.addressof(info))
    nanoseconds, runs = struct.unpack_from("=QQ", info, 192)
    return nanoseconds, runs


def run(*arguments: str) -> str:
    """Return the output of docker. Raises RuntimeError."""
    done = guest.run_docker(*arguments)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: status {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
