# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer that is off turns exactly the cells that it should, and attack.yml then fails where the inventory demands it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from conftest import run_playbook, wait_for_engine
from test_attack import SIGN, TABLES
from test_sabotage import RESTART, SABOTAGES, Sabotage
from testinfra.host import Host


@dataclass
class Weakened:
    """sabotage: one of test_sabotage's. through: attacks that then get through a container without options as well."""

    sabotage: Sabotage
    through: set[str]


def named(name: str) -> Sabotage:
    return next(sabotage for sabotage in SABOTAGES if sabotage.name == name)


WEAKENED = [
    Weakened(named("the PIDs drop-in is removed"), {"fork_bomb"}),
    Weakened(
        named("the seccomp profile is emptied, which the engine accepts"),
        {"trace_process", "keyctl", "io_uring", "crypto_socket", "hypervisor_socket", "packet_socket"},
    ),
]


@contextmanager
def sabotaged(host: Host, sabotage: Sabotage) -> Iterator[None]:
    also = [RESTART] if sabotage.restart else []
    host.check_output(" && ".join([sabotage.do, *also]))
    try:
        wait_for_engine(host)
        yield
    finally:
        undone = host.run(" && ".join([sabotage.undo, *also]))
        wait_for_engine(host)
        assert undone.rc == 0, undone.stderr


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
        done = run_playbook(inventory, book)
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
