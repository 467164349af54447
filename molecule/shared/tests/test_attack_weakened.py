# SPDX-License-Identifier: GPL-3.0-or-later
"""A disabled layer changes exactly the expected cells, and attack.yml fails where the inventory requires that layer."""

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
    """sabotage: one of test_sabotage.py. through: attacks that then succeed in a container without options."""

    sabotage: Sabotage
    through: set[str]


def find_sabotage(name: str) -> Sabotage:
    return next(sabotage for sabotage in SABOTAGES if sabotage.name == name)


WEAKENED = [
    Weakened(find_sabotage("the PIDs drop-in is removed"), {"fork_bomb"}),
    Weakened(
        find_sabotage("the seccomp profile is emptied, which the engine accepts"),
        {"trace_process", "keyctl", "io_uring", "crypto_socket", "hypervisor_socket", "packet_socket"},
    ),
]


@contextmanager
def apply_sabotage(host: Host, sabotage: Sabotage) -> Iterator[None]:
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
def attack_columns(inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], dict[str, Any]]:
    """Run the attacks of the baseline and the named columns. The report requires one layer more than is left."""

    def run(columns: list[str]) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("some")
        tasks = [
            {"name": "Run the attacks", "bulkhead.docker.attack_matrix": {"configurations": columns}, "register": "matrix"},
            {
                "name": "Write the report",
                "bulkhead.docker.report_attacks": {
                    "matrix": "{{ matrix }}", "report_dir": str(folder), "show": False, "required": {"fork_bomb": 1, "keyctl": 1},
                },
            },
        ]  # fmt: skip
        book = folder / "book.yml"
        book.write_text(
            yaml.safe_dump(
                [{"name": "Attack some columns", "hosts": "docker_hosts", "gather_facts": False, "become": True, "tasks": tasks}]
            )
        )
        done = run_playbook(inventory, book)
        reports = list(folder.glob("attack-*.json"))
        assert reports, done.stdout[-3000:] + done.stderr[-2000:]
        return dict(json.loads(reports[0].read_text()))

    return run


@pytest.mark.parametrize("case", WEAKENED, ids=lambda c: c.sabotage.layer)
def test_exactly_the_expected_cells_change(host: Host, attack_columns: Callable[[list[str]], dict[str, Any]], case: Weakened) -> None:
    layer = case.sabotage.layer
    head, *lines = (TABLES / f"{host.system_info.codename}.txt").read_text().splitlines()
    names = head.split()
    before = {words[0]: dict(zip(names, words[1:], strict=True)) for words in (line.split() for line in lines)}
    with apply_sabotage(host, case.sabotage):
        report = attack_columns([layer, "host"])
    for row in report["matrix"]["attacks"]:
        seen = {name: SIGN[row["cells"][name]["outcome"]] for name in ("none", layer, "host")}
        expected = {name: before[row["name"]][name] for name in seen}
        if expected[layer] == "#":
            expected[layer] = "."  # the layer stops nothing
        if row["name"] in case.through:
            expected["host"] = "."  # no other layer stops it
        assert seen == expected, row["name"]
    required = {"pids_limit": "fork_bomb", "seccomp": "keyctl"}[layer]
    assert any(message.startswith(f"{required} is stopped by 0 layers") for message in report["unmet"]), report["unmet"]
    assert report["met"] is False
