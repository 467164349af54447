#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let services do ordinary work for a time: answer, run commands, restart. Runs on the engine's host, next to guest.py.

Reads one job per line as JSON (services/data.py: build_job, with `seconds`), whose containers run, and prints one result per line. In each
round, one service is stopped and started again.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import guest


def main() -> int:
    jobs = [json.loads(line) for line in sys.stdin]
    results: list[dict[str, Any]] = [{"service": job["service"], "answers": 0, "execs": 0, "restarts": 0, "problem": ""} for job in jobs]
    # A run can have fewer rounds than services, and the next run shall stop other ones.
    deadline, rounds = time.monotonic() + jobs[0]["seconds"], int(time.time())
    while time.monotonic() < deadline:
        for number, (job, result) in enumerate(zip(jobs, results, strict=True)):
            if result["problem"]:
                continue
            try:
                do_work(job, result, restart=rounds % len(jobs) == number)
            except (guest.TrialError, OSError) as error:
                result["problem"] = f"{error}"
        rounds += 1
    for result in results:
        print(json.dumps(result), flush=True)
    return 1 if any(result["problem"] for result in results) else 0


def do_work(job: dict[str, Any], result: dict[str, Any], restart: bool) -> None:
    guest.wait_for_answers(job)
    result["answers"] += len(job["probes"])
    guest.check_exec(job)
    result["execs"] += 1
    if restart:
        guest.stop_service(job)
        done = guest.run_docker("start", job["container"])
        if done.returncode:
            raise guest.TrialError(f"start: {done.stderr.strip()[-400:]}")
        guest.wait_for_answers(job)
        result["restarts"] += 1


if __name__ == "__main__":
    sys.exit(main())
