# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix in a rootless engine, cell by cell; that it claims nothing which the user namespace may have done; and that it leaves nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from rootless import USER
from test_attack import GONE, TABLES, Played, play
from testinfra.host import Host

# Held in the user's engine; of what the user namespace stops, nothing can be demanded.
DEMANDS = {"mount_tmpfs": 3, "new_mount_api": 3, "install_tool": 2, "setuid_program": 1, "fork_bomb": 1, "keyctl": 1}
NO_PROOF = "it fails in the user namespace alone as well, whether by it or by the kernel: "
STAGE = f"/var/lib/bulkhead-attack-{GONE.replace(':', '.')}"
ENGINE = f"export DOCKER_HOST=unix:///run/user/$(id -u {USER})/docker.sock; "


def left_behind(host: Host) -> str:
    """All that a run could leave."""
    return host.check_output(
        ENGINE + "docker ps -aq --no-trunc; docker images -aq --no-trunc; docker volume ls -q; ls -A /var/lib /var/lib/bulkhead;"
        f" cut -d' ' -f1 /proc/modules | sort; grep -c . /proc/1/mountinfo; sha256sum ~{USER}/.config/docker/daemon.json"
    )


@pytest.fixture(scope="module")
def before(host: Host) -> Iterator[str]:
    """What there is before a killed run, of which something is left then."""
    seen = left_behind(host)
    label = f"io.bulkhead.probe={GONE}"
    host.check_output(
        ENGINE + f"mkdir {STAGE} && tar -c -T /dev/null | docker import -c 'LABEL {label}' - attack-left &&"
        f" docker create --name attack-left --label {label} attack-left nothing"
    )
    try:
        yield seen
    finally:
        host.run(ENGINE + f"rm -rf {STAGE}; docker rm -f attack-left; docker rmi -f attack-left")


@pytest.fixture(scope="module")
def played(before: str, playbook: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Played:
    variables = yaml.safe_load(Path(REPOSITORY, "inventory/group_vars/rootless.yml").read_text())
    return play(playbook, tmp_path_factory.mktemp("reports"), **variables, attack_matrix_required=DEMANDS)


def test_every_cell_is_as_expected(host: Host, played: Played) -> None:
    expected = (TABLES / f"{host.system_info.codename}-rootless.txt").read_text().splitlines()
    assert played.table() == expected, played.output


def test_the_control_is_the_user_namespace_and_devices_are_not_the_engines_to_limit(played: Played) -> None:
    columns = {column["name"]: column for column in played.report["matrix"]["configurations"]}
    assert (columns["userns"]["kind"], columns["userns"]["layers"]) == ("control", ["userns"])
    assert columns["userns"]["confinement"]["uid_map"] != "0 0 4294967295"
    assert columns["apparmor"]["confinement"]["label"] == "bulkhead-rootless (enforce)"
    assert {name for name, column in columns.items() if column["trouble"]} == {"devices"}


def test_what_fails_in_the_control_as_well_is_no_layers_merit(played: Played) -> None:
    for row in played.report["matrix"]["attacks"]:
        assert "userns" not in row["stopped_by"]
        assert row["provable"] or row["reason"].startswith(NO_PROOF), row


def test_demands_that_hold_are_met(played: Played) -> None:
    assert (played.code, played.report["met"], played.report["unmet"]) == (0, True, []), played.output


def test_nothing_is_left_not_even_of_a_killed_run(host: Host, before: str, played: Played) -> None:
    assert left_behind(host) == before
