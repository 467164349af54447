# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of a run that change a machine, recorded once as Ansible sends them, and replayed in the machine without Ansible.

Most minutes of a run belong to Ansible, its connection and to observation, and a random moment would be one of those. Few modules change
something. Ansible sends each as a program to the standard input of a Python interpreter (pipelining). The interpreter that is used here keeps
these programs. Replayed in the same state, they do the same.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass

from faults.machine import FaultMachine, wait_for
from lab import paths, recipe
from lab.errors import LabError

_COLLECTION = paths.REPOSITORY / "collections" / "ansible_collections" / "bulkhead" / "docker" / "plugins"
_FOLDER = "/dev/shm/recorded"  # in memory: recording must not write to the disk
_INTERPRETER = f"{_FOLDER}/python"
_INSTALL_RECORDER = f"""
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
_READ_ONLY = frozenset(("observe_data", "observe_layers", "verify_layers"))
# In a session of its own, so that the connection that started it can close.
_REPLAY = f"""
cd {_FOLDER}
setsid sh -c 'for module in [0-9]*; do python3 < $module >> output 2>&1 || exit; done; touch done' </dev/null >/dev/null 2>&1 &
"""
_PATIENCE = 900.0


@dataclass(frozen=True)
class RecordedRun:
    """The modules of a run that change a machine.

    modules: name and program of each, in the order of the run. seconds, writes: how long all of them take, and how often they write to
    the disk.
    """

    modules: tuple[tuple[str, bytes], ...]
    seconds: float = 0.0
    writes: int = 0

    def start_replay(self, machine: FaultMachine) -> None:
        """Start the modules in the machine, without waiting for them."""
        script = [f"mkdir -p {_FOLDER} && cd {_FOLDER} && rm -f *"]
        for number, (_name, program) in enumerate(self.modules):
            script += [f"base64 -d > {number:02d} <<'END'", base64.encodebytes(program).decode() + "END"]
        machine.check_script("\n".join([*script, _REPLAY]))


def load_recorded_run(machine: FaultMachine, variables: tuple[str, ...]) -> RecordedRun:
    """Return what harden.yml with these arguments changes. The recording is kept in the machine's folder until the collection changes."""
    sources = sorted(_COLLECTION.rglob("*.py")) + sorted(_COLLECTION.rglob("*.yml"))
    key = recipe.compute_digest([variables, machine.machine.state["seed"], *(path.read_text(encoding="utf-8") for path in sources)])
    file = machine.folder / f"recording-{key}.json"
    if not file.exists():
        recording = _record_run(machine, variables)
        named = [[name, program.decode("latin-1")] for name, program in recording.modules]
        file.write_text(json.dumps({"modules": named, "seconds": recording.seconds, "writes": recording.writes}), encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8"))
    return RecordedRun(tuple((name, text.encode("latin-1")) for name, text in kept["modules"]), kept["seconds"], kept["writes"])


def _record_run(machine: FaultMachine, variables: tuple[str, ...]) -> RecordedRun:
    """Run harden.yml once, keep what it sends, and replay that once on a fresh machine. Raises LabError if either fails."""
    machine.start_fresh()
    machine.check_script(_INSTALL_RECORDER)
    code, output = machine.run_playbook("harden", *variables, "-e", f"ansible_python_interpreter={_INTERPRETER}")
    if code:
        raise LabError(f"harden.yml fails without any fault:\n{output[-3000:]}")
    names = machine.check_script(f"cd {_FOLDER}; echo [0-9]*").split()
    programs = [base64.b64decode(machine.check_script(f"base64 {_FOLDER}/{name}")) for name in names]
    named = [(parse_module_name(program), program) for program in programs]
    recording = RecordedRun(tuple((name, program) for name, program in named if name not in _READ_ONLY))
    machine.start_fresh(volatile=True)
    started, writes = time.monotonic(), machine.writes
    recording.start_replay(machine)
    if not wait_for(f"test -e {_FOLDER}/done", machine, _PATIENCE):
        raise LabError(f"the recorded modules fail when they are replayed:\n{machine.run_script(f'tail -c 3000 {_FOLDER}/output').stdout}")
    return RecordedRun(recording.modules, time.monotonic() - started, machine.writes - writes)


def parse_module_name(program: bytes) -> str:
    """Return the short name of a module from the program that Ansible makes of it. Raises LabError for any other program."""
    found = _MODULE.search(program)
    if not found:
        raise LabError(f"the program is not an Ansible module: {program[:200]!r}")
    return (found[1] or found[2]).decode()
