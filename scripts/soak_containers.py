# SPDX-License-Identifier: GPL-3.0-or-later
"""Run all sabotaged containers at the same time and verify them, once per kind of engine: ``make soak``, or ``scripts/soak-containers``.

plain: rootful without userns-remap, all other layers hardened. remap: with it. rootless: a user's engine. Each has a VM of its own, one
after the other. The tests are those of ``molecule/shared/tests/test_containers.py`` with the whole table and ten verifications in the race.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from machines import destroy_machine

# Engine -> the variables that make it.
ENGINES = {
    "plain": ("-e", "userns_remap_layer=disabled"),
    "remap": (),
    "rootless": ("-e", "@inventory/group_vars/rootless.yml", "-e", "rootless_docker_stop_containers=true"),
}
TESTS = "molecule/shared/tests/test_containers.py"


def soak(engine: str, suite: str) -> bool:
    """Boot a VM, harden it with that engine, run the tests, destroy it. Return whether all tests passed."""
    name = f"soak-{engine}-{os.getpid()}"
    inventory = f".lab/{name}/inventory.yml"
    bin_folder = Path(sys.executable).parent
    # The snapshot of a hardened machine has userns-remap.
    snapshot = ["--hardened"] if engine == "remap" else []
    try:
        subprocess.run([sys.executable, "-m", "lab", "up", name, "--suite", suite, *snapshot], check=True)
        if not snapshot:
            command = [str(bin_folder / "ansible-playbook"), "-i", inventory, "playbooks/harden.yml", *ENGINES[engine]]
            subprocess.run([*command, "-e", "bulkhead_verify=false"], check=True)
        tests = [str(bin_folder / "pytest"), "-v", TESTS, "--ansible-inventory", inventory, "--hosts", "ansible://docker_hosts"]
        environment = {**os.environ, "SABOTAGE_ENGINE": engine, "SABOTAGE_SET": "full"}
        return subprocess.run(tests, env=environment, check=False).returncode == 0
    finally:
        destroy_machine(name)


def main() -> int:
    """Run the engines that the command line names; 1 if a test failed with one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"default: {', '.join(ENGINES)}")
    parser.add_argument("--suite", default=os.environ.get("SUITE", "trixie"))
    options = parser.parse_args()
    unknown = sorted(set(options.engines) - set(ENGINES))
    if unknown:
        parser.error(f"unknown engines: {', '.join(unknown)}; choose from {', '.join(ENGINES)}")
    failed = [engine for engine in options.engines or ENGINES if not soak(engine, options.suite)]
    print(f"soak-containers: failed with {', '.join(failed)}" if failed else "soak-containers: passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
