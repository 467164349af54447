# SPDX-License-Identifier: GPL-3.0-or-later
"""Run everything that CI runs, and close with one line in the form of pytest's.

The VM images are built in the background meanwhile; a scenario whose image is not there yet waits for it. Every stage
runs, also after a failed one. A stage without tests counts as one test.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from jobs import ANSI, Job, Tally, duration, tally

LOGS = Path(".cache/logs")
STAGES: dict[str, list[str]] = {
    "lint": ["scripts/lint"],
    "sanity": ["scripts/sanity"],
    "units": ["scripts/units"],
    "labtest": ["pytest", "tests"],
    "molecule": ["scripts/molecule"],
}


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def suites() -> list[str]:
    """Return the Debian suites that the scenarios use, the default first."""
    found = {"trixie"}
    for path in Path("molecule").glob("*/molecule.yml"):
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found.add(settings.get("ansible", {}).get("env", {}).get("LAB_SUITE", "trixie"))
    return sorted(found, key=lambda suite: (suite != "trixie", suite))


def image_job() -> Job:
    """Return the command that builds every suite's image, one after another; nothing to do when they are there."""
    script = " && ".join(f"python -m lab image --suite {suite}" for suite in suites())
    return Job("images", ["bash", "-c", script], LOGS / "images.log")


def verdict(job: Job) -> Tally:
    """Return how a background job ended, as one test; wait for it, and print its log's end if it failed."""
    assert job.process
    job.process.wait()
    if job.poll() == 0:
        return Tally(1, 0)
    say(f"    {job.name}: FAILED after {duration(job.seconds())}, log in {job.log}\n{job.tail(40)}")
    return Tally(0, 1)


def stream(name: str, command: list[str]) -> Tally:
    """Run one stage with its output on the screen and in its log; return its tests."""
    log = LOGS / f"stage-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as copy:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout
        try:
            for line in process.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                copy.write(ANSI.sub("", line))
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    counts = tally(closing_part(name, log.read_text(encoding="utf-8")))
    if code and not counts.failed:
        counts += Tally(0, 1)
    return counts if counts.passed or counts.failed else Tally(1, 0)


def closing_part(name: str, log: str) -> str:
    """Return the part of a stage's log whose closing lines count: Molecule's last one already adds up the others."""
    return log.rstrip().rpartition("\n")[2] if name == "molecule" else log


def main() -> int:
    """Run the stages that the command line names, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all when none is named")
    names = parser.parse_args().stages or list(STAGES)
    unknown = sorted(set(names) - STAGES.keys())
    if unknown:
        parser.error(f"no such stage: {', '.join(unknown)}; there are: {', '.join(STAGES)}")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    results: dict[str, tuple[Tally, float]] = {}
    images = image_job()
    try:
        if "molecule" in names:
            images.start()
        for name in names:
            say(f"\n==> {name}")
            start = time.monotonic()
            results[name] = (stream(name, STAGES[name]), time.monotonic() - start)
        if images.process:
            results["images"] = (verdict(images), images.seconds())
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    finally:
        if images.process:
            images.stop()

    say("\n==> summary")
    total = Tally()
    for name, (counts, seconds) in results.items():
        say(f"    {name:<10} {'FAILED' if counts.failed else 'ok':<7} {duration(seconds):>12}   {counts}")
        total += counts
    say(f"===== {total} in {time.monotonic() - began:.2f}s =====")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
