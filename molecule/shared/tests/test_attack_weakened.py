# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer that is off turns exactly the cells that it should, and attack.yml then fails where the inventory demands it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from test_attack import SIGN, TABLES
from test_sabotage import PROFILE, RESTART, Sabotage, sabotaged
from testinfra.host import Host


@dataclass
class Weakened:
    """sabotage: as in test_sabotage. column: the layer's. attacks: those that then get through a container without options as well."""

    sabotage: Sabotage
    through: set[str]


WEAKENED = [
    Weakened(
        Sabotage(
            "the PIDs drop-in is removed",
            "mv /etc/systemd/system/docker-.scope.d /root/scope.d && systemctl daemon-reload",
            "mv /root/scope.d /etc/systemd/system/docker-.scope.d && systemctl daemon-reload",
            "pids_limit",
            set(),
        ),
        {"fork_bomb"},
    ),
    Weakened(
        Sabotage(
            "the seccomp profile is emptied, which the engine accepts",
            f"cp {PROFILE} /root/p.json && echo '{{}}' > {PROFILE} && {RESTART}",
            f"cat /root/p.json > {PROFILE} && {RESTART}",
            "seccomp",
            set(),
        ),
        {"trace_process", "keyctl", "io_uring", "crypto_socket", "hypervisor_socket", "packet_socket"},
    ),
]


@pytest.fixture(scope="module")
def play_some(inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], dict[str, Any]]:
    """Play the control and the named columns; the matrix, and what a demand of one layer more than is left makes of it."""

    def run(columns: list[str]) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("some")
        tasks = [
            {"name": "Play", "bulkhead.docker.attack_matrix": {"configurations": columns}, "register": "matrix"},
            {
                "name": "Write",
                "bulkhead.docker.report_attacks": {
                    "matrix": "{{ matrix }}", "report_dir": str(folder), "show": False, "required": {"fork_bomb": 1, "keyctl": 1},
                },
            },
        ]  # fmt: skip
        book = folder / "book.yml"
        book.write_text(yaml.safe_dump([{"name": "Some", "hosts": "docker_hosts", "gather_facts": False, "become": True, "tasks": tasks}]))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, str(book)]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        reports = list(folder.glob("attack-*.json"))
        assert reports, done.stdout[-3000:] + done.stderr[-2000:]
        return dict(json.loads(reports[0].read_text()))

    return run


@pytest.mark.parametrize("case", WEAKENED, ids=lambda c: c.sabotage.layer)
def test_exactly_the_right_cells_turn(host: Host, play_some: Callable[[list[str]], dict[str, Any]], case: Weakened) -> None:
    layer = case.sabotage.layer
    head, *lines = (TABLES / f"{host.system_info.codename}.txt").read_text().splitlines()
    names = head.split()
    before = {words[0]: dict(zip(names, words[1:], strict=True)) for words in (line.split() for line in lines)}
    with sabotaged(host, case.sabotage):
        report = play_some([layer, "host"])
    for row in report["matrix"]["attacks"]:
        seen = {name: SIGN[row["cells"][name]["outcome"]] for name in ("none", layer, "host")}
        expected = {name: before[row["name"]][name] for name in seen}
        if expected[layer] == "#":
            expected[layer] = "."  # the layer stops nothing any more
        if row["name"] in case.through:
            expected["host"] = "."  # and no other one does
        assert seen == expected, row["name"]
    demanded = {"pids_limit": "fork_bomb", "seccomp": "keyctl"}[layer]
    assert any(sentence.startswith(f"{demanded} is stopped by 0 layers") for sentence in report["unmet"]), report["unmet"]
    assert report["met"] is False
