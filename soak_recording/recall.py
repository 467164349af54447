# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the calls that the recorder counted with those that strace saw, from before the container until after its end."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from lab.progress import say
from services import data
from soak_recording.machine import SoakMachine, build_job
from soak_recording.strace import read_calls

_TRACE = """
set -e
command -v strace >/dev/null || { apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get install -qqy strace; } >/dev/null 2>&1
rm -f /root/trace.log
containerd=$(pgrep -xo containerd)
strace -f --pidns-translation -qq -s 0 -e signal=none -o /root/trace.log -p "$containerd" &
tracer=$!
timeout 60 sh -c "until grep -q 'TracerPid:.$tracer' /proc/$containerd/status; do sleep 0.2; done"
(cd /root/recording && python3 guest.py) <<'END_OF_JOBS' > /root/result.json || true
JOB
END_OF_JOBS
kill -INT $tracer
wait $tracer || true
cat /root/result.json
gzip -c /root/trace.log | base64 -w0
"""


def measure_recall(machine: SoakMachine, services: Sequence[data.TableService]) -> dict[str, dict[str, Any]]:
    """Return per service: calls that strace saw, and those that the recorder lacks."""
    found: dict[str, dict[str, Any]] = {}
    machine.run_jobs("guest.py", [])  # copies the programs
    traced = {}
    for service in services:
        job = build_job(service, machine.setting, start_seconds=600)
        result, trace = machine.run(_TRACE.replace("JOB", json.dumps(job))).split("\n", 1)
        if problem := json.loads(result)["problem"]:
            say(f"recall: {service.name} did not do all that it must under strace: {problem}")
        traced[service.name] = read_calls(gzip.decompress(b64decode(trace)).decode("utf-8", "replace").splitlines())
        say(f"recall: {service.name}: strace saw {len(traced[service.name].made)} calls")
    instances = machine.collect()
    for service in services:
        own = [instance for instance in instances if instance["name"] == service.container]
        recorded = {call["name"] for instance in own for call in instance["calls"]}
        denied = {call["name"] for instance in own for call in instance["denied_calls"]}
        made = traced[service.name].made - denied
        missing = sorted(made - recorded)
        more = sorted(recorded - made - traced[service.name].denied)
        found[service.name] = {"strace": len(made), "recorded": len(recorded), "missing": missing, "only_recorded": more}
        say(f"recall: {service.name}: {len(made - recorded)} of {len(made)} missing: {missing}; only recorded: {more}")
    return found
