# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack matrix of a rootless engine: every cell has its expected outcome, no layer is credited for what the user namespace
stops, and a run leaves nothing behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import DEAD_OWNER, REPOSITORY, leave_killed_run
from rootless import USER
from test_attack import TABLES, AttackRun, run_attacks
from testinfra.host import Host

# Requirements that the user's engine meets. Attacks that the user namespace stops cannot be required.
REQUIRED = {"mount_tmpfs": 3, "new_mount_api": 3, "install_tool": 2, "setuid_program": 1, "fork_bomb": 1, "keyctl": 1}
INCONCLUSIVE = "it fails in the user namespace alone too, because of it or of the kernel: "
PREPARATION = f"/var/lib/bulkhead-attack-{DEAD_OWNER.replace(':', '.')}"
SET_ENGINE = f"export DOCKER_HOST=unix:///run/user/$(id -u {USER})/docker.sock; "


def list_objects(host: Host) -> str:
    """Return everything that a run could leave behind."""
    return host.check_output(
        SET_ENGINE + "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; ls -A /var/lib /var/lib/bulkhead;"
        f" cut -d' ' -f1 /proc/modules | sort; grep -c . /proc/1/mountinfo; sha256sum ~{USER}/.config/docker/daemon.json"
    )


@pytest.fixture(scope="module")
def before(host: Host) -> Iterator[str]:
    """Create what a killed run leaves. Yield the objects before that."""
    objects = list_objects(host)
    socket = f"/run/user/{host.check_output(f'id -u {USER}')}/docker.sock"
    host.check_output(SET_ENGINE + f"mkdir {PREPARATION} && {leave_killed_run('attack-left', socket)}")
    try:
        yield objects
    finally:
        host.run(SET_ENGINE + f"rm -rf {PREPARATION}; docker rm -f attack-left; docker rmi -f attack-left:1")


@pytest.fixture(scope="module")
def attack_run(
    before: str, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> AttackRun:
    variables = yaml.safe_load(Path(REPOSITORY, "inventory/group_vars/rootless.yml").read_text())
    return run_attacks(playbook, tmp_path_factory.mktemp("reports"), **variables, attack_matrix_required=REQUIRED)


def test_every_cell_is_as_expected(host: Host, attack_run: AttackRun) -> None:
    expected = (TABLES / f"{host.system_info.codename}-rootless.txt").read_text().splitlines()
    assert attack_run.render_table() == expected, attack_run.output


def test_the_baseline_is_the_user_namespace(attack_run: AttackRun) -> None:
    columns = {column["name"]: column for column in attack_run.report["matrix"]["configurations"]}
    assert (columns["userns"]["kind"], columns["userns"]["layers"]) == ("baseline", ["userns"])
    assert columns["userns"]["confinement"]["uid_map"] != "0 0 4294967295"
    assert columns["apparmor"]["confinement"]["label"] == "bulkhead-rootless (enforce)"
    assert {name for name, column in columns.items() if column["problem"]} == {"devices"}


def test_no_layer_is_credited_for_what_the_baseline_stops(attack_run: AttackRun) -> None:
    for row in attack_run.report["matrix"]["attacks"]:
        assert "userns" not in row["stopped_by"]
        assert row["conclusive"] or row["reason"].startswith(INCONCLUSIVE), row


def test_requirements_are_met(attack_run: AttackRun) -> None:
    assert (attack_run.code, attack_run.report["met"], attack_run.report["unmet"]) == (0, True, []), attack_run.output


def test_nothing_is_left_of_this_run_or_a_killed_one(host: Host, before: str, attack_run: AttackRun) -> None:
    assert list_objects(host) == before
