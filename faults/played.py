# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a run that changes a machine, without the rest of it: recorded once as Ansible sends it, and played again in the machine.

Of a run's minutes most belong to Ansible, its connection and to looking; a moment that is taken at random would be one of those. What changes
something are a few modules, each a program on the standard input of a Python interpreter (pipelining). An interpreter of ours keeps them.
Played again in the same state they do the same.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass

from faults.machine import FaultMachine, wait
from lab import paths, recipe
from lab.errors import LabError

_COLLECTION = paths.REPOSITORY / "collections" / "ansible_collections" / "bulkhead" / "docker" / "plugins"
_FOLDER = "/dev/shm/recorded"  # in memory: a recording is no write to the disk
_INTERPRETER = f"{_FOLDER}/python"
_RECORDER = f"""
mkdir -p {_FOLDER}
cat > {_INTERPRETER} <<'SCRIPT'
#!/bin/sh
[ $# = 0 ] || exec python3 "$@"
cd {_FOLDER}
module=$(printf %02d $(ls | wc -l))
cat > $module
exec python3 < $module
SCRIPT
chmod 755 {_INTERPRETER}
"""
_MODULE = re.compile(rb"ansible_collections\.[\w.]+\.modules\.(\w+)|ansible\.modules\.(\w+)")
_LOOKING = frozenset(("observe_layers", "verify_layers"))
# In a session of its own, so that the connection which started it may go.
_PLAY = f"""
cd {_FOLDER}
setsid sh -c 'for module in [0-9]*; do python3 < $module >> said 2>&1 || exit; done; touch done' </dev/null >/dev/null 2>&1 &
"""
_PATIENCE = 900.0


@dataclass(frozen=True)
class Played:
    """modules: name and program of each, in the order of the run. seconds, writes: what all of it takes, and how often the disk is written to."""

    modules: tuple[tuple[str, bytes], ...]
    seconds: float = 0.0
    writes: int = 0

    def start(self, machine: FaultMachine) -> None:
        """Begin to play it in the machine, and come back."""
        script = [f"mkdir -p {_FOLDER} && cd {_FOLDER} && rm -f *"]
        for number, (_name, program) in enumerate(self.modules):
            script += [f"base64 -d > {number:02d} <<'END'", base64.encodebytes(program).decode() + "END"]
        machine.check("\n".join([*script, _PLAY]))


def record(machine: FaultMachine, variables: tuple[str, ...]) -> Played:
    """What harden.yml with these arguments changes: kept in the machine's folder, and recorded anew when the collection is another."""
    sources = sorted(_COLLECTION.rglob("*.py")) + sorted(_COLLECTION.rglob("*.yml"))
    key = recipe.digest([variables, machine.machine.state["seed"], *(path.read_text(encoding="utf-8") for path in sources)])
    file = machine.folder / f"played-{key}.json"
    if not file.exists():
        played = _record(machine, variables)
        named = [[name, program.decode("latin-1")] for name, program in played.modules]
        file.write_text(json.dumps({"modules": named, "seconds": played.seconds, "writes": played.writes}), encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Played(tuple((name, text.encode("latin-1")) for name, text in kept["modules"]), kept["seconds"], kept["writes"])


def _record(machine: FaultMachine, variables: tuple[str, ...]) -> Played:
    """Run harden.yml once, keep what it sends, and play that once on a fresh machine. Raises LabError when either fails."""
    machine.fresh()
    machine.check(_RECORDER)
    code, output = machine.playbook("harden", *variables, "-e", f"ansible_python_interpreter={_INTERPRETER}")
    if code:
        raise LabError(f"harden.yml fails without any fault:\n{output[-3000:]}")
    names = machine.check(f"cd {_FOLDER}; echo [0-9]*").split()
    programs = [base64.b64decode(machine.check(f"base64 {_FOLDER}/{name}")) for name in names]
    named = [(module_of(program), program) for program in programs]
    played = Played(tuple(one for one in named if one[0] not in _LOOKING))
    machine.fresh(volatile=True)
    begun, writes = time.monotonic(), machine.writes
    played.start(machine)
    if not wait(f"test -e {_FOLDER}/done", machine, _PATIENCE):
        raise LabError(f"what was recorded fails when it is played:\n{machine.run(f'tail -c 3000 {_FOLDER}/said').stdout}")
    return Played(played.modules, time.monotonic() - begun, machine.writes - writes)


def module_of(program: bytes) -> str:
    """The short name of a module, from the program that Ansible makes of it. Raises LabError where it is none."""
    found = _MODULE.search(program)
    if not found:
        raise LabError(f"no module of Ansible's: {program[:200]!r}")
    return (found[1] or found[2]).decode()
