# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m faults`: try faults on a throwaway machine, and say what survived. `make faults` is the same."""

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

from faults import markers, table, truth
from faults.cases import CASES, Case, cut_power
from faults.machine import ANSWERS, FaultMachine, wait
from faults.played import record
from lab import paths
from lab.progress import say


@dataclass
class Try:
    """One fault, once. lost: what was not as before, after the fault or after the run that followed; empty is what we want."""

    case: str
    suite: str
    seed: int
    detail: str = ""
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return not self.lost


def attempt(machine: FaultMachine, case: Case, seed: int, before: dict[str, Any]) -> Try:
    """Bring the fault about; look; mend what is the operator's; run again; look again."""
    chance, begun = random.Random(seed), time.monotonic()
    result = Try(case.name, machine.suite, seed)
    if case.power:
        played = record(machine, case.variables)
        machine.fresh(volatile=True)
        result.detail = cut_power(machine, played, chance)
        machine.power_on()
    else:
        machine.fresh()
        _run(machine, case, chance, result)
    if wait(ANSWERS, machine, 600):
        result.lost += truth.ask(machine)
    else:
        result.lost.append("the engine does not start")
    if not case.hides:
        result.lost += markers.lost(before, markers.look(machine), case.runs)
    if case.mend:
        machine.check(case.mend)
    if case.hides:
        result.lost += markers.lost(before, markers.look(machine), case.runs)
    code, output = _again(machine, case)
    if code:
        result.lost.append(f"the next run failed: {_sentence(output)}")
    result.lost += markers.lost(before, markers.look(machine), case.runs)
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def _run(machine: FaultMachine, case: Case, chance: random.Random, result: Try) -> None:
    """A run in the middle of which the fault is brought about, or one that has to see it."""
    if case.arrange:
        machine.check(case.arrange)
    process = machine.begin("harden", *case.variables)
    if case.disturb:
        result.detail = case.disturb(machine, process, chance)
    process.wait()
    if case.refused:
        output = (machine.folder / "run.log").read_text(errors="replace")
        result.detail = _sentence(output)
        if process.returncode == 0:
            result.lost.append("the run did not see it")
        result.lost += [f"the run's words lack {word!r}" for word in case.refused if word not in " ".join(output.split())]


def _again(machine: FaultMachine, case: Case) -> tuple[int, str]:
    """The run after the fault. One that the fault did not end, as where only the connection was cut, is waited for."""
    for unused in range(10):
        code, output = machine.playbook("harden", *case.variables, log="again.log")
        if "another run" not in " ".join(output.split()):
            break
        time.sleep(10)
    return code, output


def _sentence(output: str) -> str:
    """What a failing run said last, in one line."""
    lines = output.splitlines()
    places = [number for number, line in enumerate(lines) if "msg:" in line or "FAILED" in line or "ERROR" in line]
    return " ".join(" ".join(lines[places[-1] : places[-1] + 6]).split())[:600] if places else "(no error)"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python3 -m faults", description="Faults, tried for real on a throwaway machine.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: all of {', '.join(names)}")
    parser.add_argument("--times", type=int, default=1, help="how often each (default: %(default)s)")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--seed", type=int, default=1, help="the first one; each further try adds one")
    parser.add_argument("--name", default="faults", help="the machine's name (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=paths.REPOSITORY / ".cache" / "faults.jsonl", help="where results are added")
    parser.add_argument("--keep", action="store_true", help="leave the machine as the last try left it")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - set(names))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; known are {', '.join(names)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    chosen = [case for case in CASES if case.name in options.cases or not options.cases]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    machine = FaultMachine(options.name, options.suite)
    tries: list[Try] = []
    try:
        machine.prepare()
        machine.fresh()
        before = markers.look(machine)
        if not before["engine"]:
            raise SystemExit(f"the seeded machine has no engine: {before}")
        for number, case in itertools.product(range(options.times), chosen):  # in turn: what is cut short has a bit of everything
            one = attempt(machine, case, options.seed + number, before)
            tries.append(one)
            outcome = "survived" if one.survived else "LOST " + "; ".join(one.lost)
            say(f"{case.name} {number + 1}/{options.times}: {outcome}; {one.detail}; {one.seconds:.0f} s")
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
    finally:
        if options.keep:
            say(f"{machine.name} is left as it is; python3 -m lab down {machine.name} removes it")
        else:
            machine.remove()
    print(table.markdown([asdict(one) for one in tries]))
    return 0 if all(one.survived for one in tries) else 1


if __name__ == "__main__":
    sys.exit(main())
