# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory is what Ansible's YAML reader should see."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab import inventory
from lab.errors import LabError

VARIABLES = inventory.host_variables(4022, Path("/a folder/x/ssh_key"), Path("/a folder/x/known_hosts"))


def test_the_machine_is_in_docker_hosts_with_its_connection() -> None:
    data = yaml.safe_load(inventory.inventory_text("x", VARIABLES, []))
    assert data["all"]["children"] == {"docker_hosts": {"hosts": {"x": VARIABLES}}}
    assert VARIABLES["ansible_port"] == 4022
    assert VARIABLES["ansible_ssh_private_key_file"] == "/a folder/x/ssh_key"
    assert "'UserKnownHostsFile=/a folder/x/known_hosts'" in str(VARIABLES["ansible_ssh_common_args"])


def test_further_groups_name_it_again_without_variables() -> None:
    data = yaml.safe_load(inventory.inventory_text("x", VARIABLES, ["canary", "docker_hosts", "canary"]))
    assert list(data["all"]["children"]) == ["docker_hosts", "canary"]
    assert data["all"]["children"]["canary"] == {"hosts": {"x": {}}}


def test_host_vars() -> None:
    assert yaml.safe_load(inventory.host_vars_text("x", VARIABLES)) == VARIABLES


@pytest.mark.parametrize("group", ["", "all", "ungrouped", "my-group", "1st", "a b", "x:y"])
def test_a_bad_group_is_named(group: str) -> None:
    with pytest.raises(LabError, match="is not a group name"):
        inventory.check_groups([group])
