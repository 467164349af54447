# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what recording costs a host whose services are busy."""

from __future__ import annotations

import statistics
from typing import Any

from lab.progress import say
from services import data
from soak_recording.machine import SoakMachine

REQUESTS = 4000


def measure_cost(machine: SoakMachine, rounds: int) -> dict[str, dict[str, float]]:
    """Return per state the median of each figure, as a ratio to `off`; nanoseconds per call as they are."""
    services = data.load_services()
    nginx, redis = services["nginx"], services["redis"]
    for service in (nginx, redis):
        machine.start(service)
    benchmark = ["redis-benchmark", "-h", "{address}", "-n", str(REQUESTS), "-c", "8", "-t", "set"]
    job = {
        "rounds": rounds,
        "image": nginx.image,
        "servers": {
            "nginx": {
                "container": nginx.container,
                "image": services["apache2"].image,
                "command": ["ab", "-q", "-k", "-n", str(REQUESTS), "-c", "8", "http://{address}/probe.txt"],
            },
            "redis": {"container": redis.container, "image": redis.image, "command": benchmark},
        },
    }
    results = machine.run_jobs("cost.py", [job])
    for result in results:
        say(f"cost: {result}")
    return summarize(results)


def summarize(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return per state the median of the ratios to `off` in the same round, and the nanoseconds per program."""
    found: dict[str, dict[str, float]] = {}
    baseline = {result["round"]: result for result in results if result["state"] == "off"}
    for state in dict.fromkeys(result["state"] for result in results if result["state"] != "off"):
        own = [result for result in results if result["state"] == state]
        found[state] = {
            name: statistics.median(result[name] / baseline[result["round"]][name] for result in own)
            for name in ("nginx", "redis", "start")
        }
        for program in own[0]["nanoseconds"]:
            found[state][f"{program}, ns"] = statistics.median(result["nanoseconds"].get(program, 0) for result in own)
    return found
