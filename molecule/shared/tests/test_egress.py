# SPDX-License-Identifier: GPL-3.0-or-later
"""Load egress rules: containers reach only what they should, attacks are stopped, sabotage is named, denials are attributed, and rollback removes all.

A network namespace outside the host has a metadata service, and an address of a private range.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import MAKE_IMAGE, run_playbook
from stand_in import METADATA, PUBLIC, REMOVE_STAND_IN, prepare_stand_in
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
PLAIN, SHOP = "egress-plain", "egress-shop"
PRIVATE, GATEWAY = "10.77.0.2", "172.17.0.1"
PREPARE = f"""
{prepare_stand_in(METADATA, PRIVATE)}
systemd-run -q --unit egress-host python3 -m http.server 8765
docker network create shop
docker network create --ipv6 --subnet fd00:beef::/64 six
docker run -d --name {PLAIN} testimage
docker run -d --name {SHOP} --network shop testimage
timeout 60 bash -c 'until : < /dev/tcp/{PUBLIC}/80 && : < /dev/tcp/127.0.0.1/8765; do sleep 1; done' 2>/dev/null
"""
CLEAN = f"docker rm -f {PLAIN} {SHOP}; docker network rm shop six; systemctl stop egress-host; {REMOVE_STAND_IN}"
PLACES = {"metadata": f"{METADATA}/80", "private": f"{PRIVATE}/80", "public": f"{PUBLIC}/80", "host": f"{GATEWAY}/8765"}
# The host's programs in the network namespace of a container, whose image has none that connects.
REACH = """
for container in egress-plain egress-shop; do for place in PLACES; do
nsenter -t $(docker inspect -f '{{.State.Pid}}' $container) -n timeout 5 bash -c ": < /dev/tcp/$place" 2>/dev/null && echo $container $place
done; done; true
""".replace("PLACES", " ".join(PLACES.values()))
# What is on the host of the layer, the tables of others without counts, and what the attacks could leave.
STATE = (
    "find /etc/systemd /var/lib/bulkhead -name '*egress*'; nft -s list ruleset;"
    " ls /sys/class/net; docker ps -aq | sort; docker images -q | sort; docker network ls -q | sort; ip route"
)
VARIABLES = {
    "container_egress_layer": "required",
    "container_egress_presets": ["metadata", "host", "private"],
    "container_egress_list": [
        {"network": "shop", "presets": ["listed"], "allow": [{"to": PRIVATE, "ports": [80], "reason": "a database"}]}
    ],
}
LOG_BOOK = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  vars: {container_egress_stage: log}
  tasks:
    - ansible.builtin.include_role: {name: bulkhead.docker.container_egress}
    - ansible.builtin.shell: REACH
      register: reached
    - ansible.builtin.copy: {content: "{{ reached.stdout }}", dest: ANSWER, mode: "0644"}
      become: false
      delegate_to: localhost
"""
SABOTAGE = "nft flush chain inet bulkhead_egress forward; nft add table inet bulkhead_egress '{ flags dormant; }'"
BOOK = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.include_role: {name: bulkhead.docker.container_egress}
    - bulkhead.docker.plan_layers: {layers: [egress], refresh: true}
      register: planned
    - ansible.builtin.shell: REACH
      register: reached
    - bulkhead.docker.verify_layers: &verify {layers: [egress], expect: "{{ planned.expect }}"}
      register: verified
    - bulkhead.docker.denials_info: {since: "SINCE"}
      register: denials
    - bulkhead.docker.network_attacks: {configurations: []}
      register: attacks
    - ansible.builtin.shell: SABOTAGE
    - bulkhead.docker.verify_layers: *verify
      register: sabotaged
    - ansible.builtin.copy:
        content: "{{ {'changes': planned.layers.egress.changes, 'reached': reached.stdout, 'verified': verified.layers[0],
                      'sabotaged': sabotaged.layers[0], 'denials': denials.denials, 'attacks': attacks.attacks} | to_json }}"
        dest: ANSWER
        mode: "0644"
      become: false
      delegate_to: localhost
"""


@pytest.fixture(scope="module")
def states(host: Host, inventory: str, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what containers reach before, under the rules and after rollback, the verdicts, the denials, and what is on the host."""
    folder = tmp_path_factory.mktemp("egress")
    variables = folder / "variables.json"
    variables.write_text(json.dumps(VARIABLES))
    host.check_output(MAKE_IMAGE)
    host.run(CLEAN)
    host.check_output(PREPARE)
    try:
        found: dict[str, Any] = {"state": host.check_output(STATE)}
        found["before"] = run_book(inventory, folder, LOG_BOOK, variables)
        logged = ("-e", f"@{variables}", "-e", "container_egress_stage=log", "-e", f"bulkhead_report_dir={folder}")
        done = playbook("propose_destinations", *logged)
        assert done.returncode == 0, done.stdout[-4000:]
        found["proposal"] = yaml.safe_load((folder / "destinations.yml").read_text())
        book = BOOK.replace("SINCE", host.check_output("date +%s"))
        found |= json.loads(run_book(inventory, folder, book, variables))
        done = playbook("rollback", "--tags", "egress", "-e", f"bulkhead_report_dir={folder}")
        assert done.returncode == 0, done.stdout[-4000:]
        return {**found, "after": host.check_output(REACH), "restored": host.check_output(STATE)}
    finally:
        host.run(CLEAN)


def run_book(inventory: str, folder: Path, book: str, variables: Path) -> str:
    """Run a play, and return what it writes."""
    for name, command in {"REACH": REACH, "SABOTAGE": SABOTAGE}.items():
        book = book.replace(f": {name}", f": {json.dumps('{% raw %}' + command + '{% endraw %}')}")
    (folder / "book.yml").write_text(book.replace("ANSWER", str(folder / "answer.json")))
    done = run_playbook(inventory, folder / "book.yml", "-e", f"@{variables}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return (folder / "answer.json").read_text()


def list_reached(text: str) -> set[tuple[str, str]]:
    names = {place: name for name, place in PLACES.items()}
    return {(line.split()[0], names[line.split()[1]]) for line in text.splitlines()}


def test_the_stage_log_denies_nothing_and_proposes_a_list(states: dict[str, Any]) -> None:
    """The list of the network has its destination already, and the metadata service is never proposed."""
    assert list_reached(states["before"]) == {(container, name) for container in (PLAIN, SHOP) for name in PLACES}
    (shop, default) = states["proposal"]["container_egress_list"]
    assert {(each["to"], *each["ports"]) for each in shop["allow"]} == {(PRIVATE, "80"), (PUBLIC, "80"), (GATEWAY, "8765")}
    assert {(each["to"], *each["ports"]) for each in default["allow"]} == {(PRIVATE, "80"), (GATEWAY, "8765")}


def test_rules_deny_what_the_presets_and_the_list_say(states: dict[str, Any]) -> None:
    assert list_reached(states["reached"]) == {(PLAIN, "public"), (SHOP, "private")}
    assert states["changes"] == []


def test_verification_reads_the_kernel(states: dict[str, Any]) -> None:
    assert (states["verified"]["status"], [f for f in states["verified"]["findings"] if f["status"]]) == ("enforced", [])
    evidence = {each["source"]: each["value"] for each in states["verified"]["evidence"]}
    packets = evidence["nft list counters table inet bulkhead_egress"]
    assert "metadata 0" not in packets and "listed 0" not in packets
    default, shop, six = evidence["connections of the probe"].split("; ")
    metadata, private = "169.254.255.253 (metadata)", "100.127.255.253 (private)"
    assert default == f"from docker0: not reached {metadata}, {private}, 192.0.2.253 (host), reached 192.0.2.254 (allowed)"
    assert shop.count("(listed)") == 4 and ", reached" not in shop
    assert "fd00:ec2:ffff:ffff:ffff:ffff:ffff:fffd (metadata)" in six.partition(", reached ")[0]
    assert six.endswith(", reached 192.0.2.254 (allowed), 2001:db8:ffff:ffff::fffe (allowed)")


def test_sabotage_is_named(states: dict[str, Any]) -> None:
    found = [(each["id"], each["status"]) for each in states["sabotaged"]["findings"] if each["status"]]
    assert found == [("egress.dormant", "absent"), ("egress.rules_differ", "degraded"), *[("egress.probe_reached", "absent")] * 4]
    assert "a rule of chain forward (5 times)" in states["sabotaged"]["findings"][1]["text"]


def test_denied_connections_have_their_container(states: dict[str, Any]) -> None:
    found = {(entry["container"]["name"], entry["operation"]) for entry in states["denials"] if entry["layer"] == "egress"}
    assert found == {(PLAIN, "metadata"), (PLAIN, "private"), (PLAIN, "host"), (SHOP, "listed")}


def test_the_rules_stop_attacks_that_get_through_without_them(states: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in states["attacks"]}
    stopped = {name: row["cells"]["egress"] for name, row in rows.items() if row["stopped_by"] == ["egress"]}
    assert list(stopped) == ["metadata_service", "host_service", "other_network", "raw_spoof"], rows
    assert {name: cell["trace"]["operation"] for name, cell in stopped.items()} == {
        "metadata_service": "metadata", "host_service": "host", "other_network": "private", "raw_spoof": "private",
    }  # fmt: skip
    assert METADATA in rows["metadata_service"]["about"], "the route that exists is used"
    # Neither is the layer's task. The nameserver must be reached for the second one to show something.
    assert rows["lateral_container"]["cells"]["egress"]["outcome"] == "succeeded"
    assert rows["dns_tunnel"]["cells"]["egress"]["outcome"] == rows["dns_tunnel"]["cells"]["none"]["outcome"]


def test_rollback_removes_all(states: dict[str, Any]) -> None:
    assert list_reached(states["after"]) == list_reached(states["before"])
    assert states["restored"] == states["state"]
