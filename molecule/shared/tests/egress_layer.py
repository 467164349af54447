# SPDX-License-Identifier: GPL-3.0-or-later
"""The egress rules of a host with a container and a stand-in for a metadata service, loaded once for all tests of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MAKE_IMAGE, run_playbook
from stand_in import METADATA, PUBLIC, REMOVE_STAND_IN, prepare_stand_in
from testinfra.host import Host

# Without the elements that packets add to sets, which take several lines.
TABLE = "nft -s -t list table inet bulkhead_egress && nft list set inet bulkhead_egress metadata4 && nft list set inet bulkhead_egress metadata6"
# The service of a stand-in outside the host, and whether a container reaches it: the host's programs in the container's network namespace.
TARGETS = (METADATA, PUBLIC)
PREPARE = f"""
{prepare_stand_in(METADATA)}
docker run -d --name egress-plain testimage
timeout 60 bash -c 'until : < /dev/tcp/{PUBLIC}/80; do sleep 1; done' 2>/dev/null
"""
CLEAN = f"docker rm -f egress-plain; {REMOVE_STAND_IN}"
REACH = "nsenter -t $(docker inspect -f '{{.State.Pid}}' egress-plain) -n timeout 5 bash -c ': < /dev/tcp/%s/80' 2>/dev/null"
BOOK = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.include_role: {name: bulkhead.docker.container_egress}
    - bulkhead.docker.plan_layers: {layers: [egress], refresh: true}
      register: planned
    - bulkhead.docker.verify_layers: {layers: [egress], expect: "{{ planned.expect }}"}
      register: verified
    - ansible.builtin.copy:
        content: "{{ {'changes': planned.layers.egress.changes, 'verified': verified.layers} | to_json }}"
        dest: ANSWER
        mode: "0644"
      become: false
      delegate_to: localhost
"""
DISABLED = {"container_egress_layer": "disabled"}
REQUIRED = {"container_egress_layer": "required", "container_egress_presets": ["metadata"]}


class EgressLayer:
    """Applies the layer with variables, and keeps what the last run printed."""

    def __init__(self, inventory: str, folder: Path) -> None:
        self.inventory, self.folder, self.output, self.code = inventory, folder, "", 0

    def apply(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Return what the next plan would change, and the verification; nothing if the run failed."""
        answer, book = self.folder / "answer.json", self.folder / "book.yml"
        answer.unlink(missing_ok=True)
        book.write_text(BOOK.replace("ANSWER", str(answer)))
        done = run_playbook(self.inventory, book, "-e", json.dumps(variables))
        self.output, self.code = done.stdout, done.returncode
        return json.loads(answer.read_text()) if answer.exists() else {}


@pytest.fixture(scope="module")
def layer(host: Host, inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EgressLayer]:
    found = EgressLayer(inventory, tmp_path_factory.mktemp("egress"))
    try:
        yield found
    finally:
        host.run(CLEAN)
        found.apply(DISABLED)


@pytest.fixture
def loaded(host: Host, layer: EgressLayer) -> list[list[str]]:
    """Load the rules with a container and a metadata service, and return the kernel's table."""
    host.check_output(MAKE_IMAGE)
    host.run(CLEAN)
    host.check_output(PREPARE)
    if host.run(TABLE).rc:
        found = layer.apply(REQUIRED)
        assert found["changes"] == [] and found["verified"][0]["status"] == "enforced", layer.output
    assert (reached := list_reached(host)) == [PUBLIC], reached
    return read_table(host)


def read_table(host: Host) -> list[list[str]]:
    """Return the words of each line of the kernel's table. The kernel shows the elements of some sets in another order after each load."""
    return [sorted(line.replace(",", " ").split()) for line in host.check_output(TABLE).splitlines()]


def list_reached(host: Host) -> list[str]:
    return [target for target in TARGETS if host.run(REACH % target).rc == 0]
