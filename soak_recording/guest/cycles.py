#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run services again and again: start, ask, health check, docker exec, restart, stop. Runs on the engine's host, next to guest.py.

Reads one job per line as JSON (services/data.py: build_job, with `cycles`) and prints one result per line. Each cycle makes a new
container and starts it twice. Every step must succeed: the service answers, the engine calls it healthy, and it stops by itself.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import guest

HEALTH_OPTIONS = ["--health-cmd=cat /proc/self/status >/dev/null", "--health-interval=3s", "--health-timeout=30s", "--health-retries=3"]


def main() -> int:
    failed = False
    for line in sys.stdin:
        job = json.loads(line)
        result: dict[str, Any] = {"service": job["service"], "starts": 0, "stops": 0, "execs": 0, "health_checks": 0, "problem": ""}
        try:
            for _ in range(job["cycles"]):
                run_cycle(job, result)
        except (guest.TrialError, OSError) as error:
            logs = guest.run_docker("logs", "--tail", "12", job["container"])
            result["problem"] = f"{error}; its log ends with: {(logs.stdout + logs.stderr)[-500:]}"
            failed = True
        finally:
            guest.clean_up(job)
        print(json.dumps(result), flush=True)
    return 1 if failed else 0


def run_cycle(job: dict[str, Any], result: dict[str, Any]) -> None:
    guest.clean_up(job)
    guest.start_service({**job, "options": [*job["options"], *HEALTH_OPTIONS]})
    for repeated in (False, True):
        if repeated:
            done = guest.run_docker("start", job["container"])
            if done.returncode:
                raise guest.TrialError(f"start: {done.stderr.strip()[-400:]}")
        result["starts"] += 1
        guest.wait_for_answers(job)
        guest.check_exec(job)
        result["execs"] += 1
        wait_until_healthy(job)
        result["health_checks"] += 1
        guest.stop_service(job)
        result["stops"] += 1


def wait_until_healthy(job: dict[str, Any]) -> None:
    deadline = time.monotonic() + 120
    while (status := guest.inspect_container(job, "{{.State.Health.Status}}")) != "healthy":
        if status == "unhealthy" or time.monotonic() > deadline:
            raise guest.TrialError(f"health check: {guest.inspect_container(job, '{{json .State.Health}}')[-400:]}")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
