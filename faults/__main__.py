# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m faults`: cause faults on a throwaway machine and report what survived. `make faults` does the same."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faults import accuracy, markers, table
from faults.cases import CASES, Case, cut_power
from faults.machine import IS_ENGINE_READY, FaultMachine, wait_for
from faults.replay import load_recorded_run
from lab import paths
from lab.progress import say


@dataclass
class Attempt:
    """One fault, caused once.

    lost: what differed after the fault or after the run that followed. It is empty after success.
    """

    case: str
    suite: str
    seed: int
    detail: str = ""
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return not self.lost


def try_case(machine: FaultMachine, case: Case, seed: int, before: dict[str, Any]) -> Attempt:
    """Cause the fault, compare, repair what is the operator's part, run the playbook again, and compare again."""
    chance, started = random.Random(seed), time.monotonic()
    result = Attempt(case.name, machine.suite, seed)
    if case.power:
        recording = load_recorded_run(machine, case.variables)
        machine.start_fresh(volatile=True)
        result.detail = cut_power(machine, recording, chance)
        machine.power_on()
    else:
        machine.start_fresh()
        _run_with_fault(machine, case, chance, result)
    if wait_for(IS_ENGINE_READY, machine, 600):
        result.lost += accuracy.check_verification(machine)
    else:
        result.lost.append("the engine does not start")
    if case.hides_data:
        machine.check_script(case.repair)
    result.lost += markers.find_losses(before, markers.read_markers(machine), case.running, case.containerd)
    if case.repair and not case.hides_data:
        machine.check_script(case.repair)
    code, output = _run_again(machine, case)
    if code:
        result.lost.append(f"the next run failed: {_find_last_error(output)}")
    result.lost += markers.find_losses(before, markers.read_markers(machine), case.running, case.containerd)
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _run_with_fault(machine: FaultMachine, case: Case, chance: random.Random, result: Attempt) -> None:
    """Run the playbook and cause the fault before it or during it. Check the messages of a run that must report the fault."""
    if case.arrange:
        machine.check_script(case.arrange)
    process = machine.start_playbook("harden", *case.variables)
    if case.disturb:
        result.detail = case.disturb(machine, process, chance)
    process.wait()
    if case.messages:
        output = (machine.folder / "run.log").read_text(errors="replace")
        result.detail = _find_last_error(output)
        if process.returncode == 0:
            result.lost.append("the run did not report the fault")
        result.lost += [f"the run's output does not contain {text!r}" for text in case.messages if text not in " ".join(output.split())]


def _run_again(machine: FaultMachine, case: Case) -> tuple[int, str]:
    """Run the playbook after the fault. Where only the connection was cut, wait for the first run to end."""
    for unused in range(10):
        code, output = machine.run_playbook("harden", *case.variables, log="again.log")
        if "another run" not in " ".join(output.split()):
            break
        time.sleep(10)
    return code, output


def _find_last_error(output: str) -> str:
    """Return the last error message of a run in one line."""
    lines = output.splitlines()
    places = [number for number, line in enumerate(lines) if "msg:" in line or "FAILED" in line or "ERROR" in line]
    return " ".join(" ".join(lines[places[-1] : places[-1] + 6]).split())[:600] if places else "(no error)"


def _parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python3 -m faults", description="Cause faults on a throwaway machine.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: all that fit --containerd, of {', '.join(names)}")
    parser.add_argument("--times", type=int, default=1, help="how often to cause each (default: %(default)s)")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--containerd", action="store_true", help="cases for an engine that keeps images in containerd")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; each further attempt adds one")
    parser.add_argument("--name", default="faults", help="the machine's name (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=paths.REPOSITORY / ".cache" / "faults.jsonl", help="where results are added")
    parser.add_argument("--keep", action="store_true", help="keep the machine after the last attempt")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - set(names))
    if unknown:
        parser.error(f"unknown cases: {', '.join(unknown)}; choose from {', '.join(names)}")
    other = [case.name for case in CASES if case.name in options.cases and case.containerd != options.containerd]
    if other:
        parser.error(f"{', '.join(other)}: {'not with' if options.containerd else 'only with'} --containerd")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse_options(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    chosen = [case for case in CASES if case.name in options.cases or (not options.cases and case.containerd == options.containerd)]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    machine = FaultMachine(options.name, options.suite, options.containerd)
    attempts: list[Attempt] = []
    try:
        machine.prepare()
        machine.start_fresh()
        before = markers.read_markers(machine)
        if not before["engine"]:
            raise SystemExit(f"the engine of the seeded machine does not answer: {before}")
        for number, case in itertools.product(range(options.times), chosen):  # in turn: an interrupted campaign has tried every case
            attempt = try_case(machine, case, options.seed + number, before)
            attempts.append(attempt)
            outcome = "survived" if attempt.survived else "LOST " + "; ".join(attempt.lost)
            say(f"{case.name} {number + 1}/{options.times}: {outcome}; {attempt.detail}; {attempt.seconds:.0f} s")
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(attempt)) + "\n")
    finally:
        if options.keep:
            say(f"{machine.name} is kept; python3 -m lab down {machine.name} removes it")
        else:
            machine.remove()
    print(table.render_table([asdict(attempt) for attempt in attempts]))
    return 0 if all(attempt.survived for attempt in attempts) else 1


if __name__ == "__main__":
    sys.exit(main())
