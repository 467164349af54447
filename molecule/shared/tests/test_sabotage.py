# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch each layer off by hand: the verdict has to name that one, and no other. A check that cannot fail proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import MAKE_IMAGE, Proof, wait_for_engine
from testinfra.host import Host

ALL_HOLD = dict.fromkeys(("pids_limit", "no_new_privileges", "seccomp", "apparmor", "userns", "capabilities"), "enforced")
EDIT = 'python3 -c \'import json; p="/etc/docker/daemon.json"; d=json.load(open(p)); {change}; json.dump(d, open(p, "w"))\''
PROFILE = "/etc/docker/seccomp/bulkhead-default.json"
RESTART = "systemctl restart docker"


@dataclass
class Sabotage:
    """What is done by hand, how it is undone, and what the verdict then has to be."""

    name: str
    do: str
    undo: str
    layer: str
    status: set[str]
    findings: set[str] = field(default_factory=set)  # at least one of them has to be there, when any is named


SABOTAGES = [
    Sabotage(
        "the PIDs drop-in is removed",
        "mv /etc/systemd/system/docker-.scope.d /root/scope.d && systemctl daemon-reload",
        "mv /root/scope.d /etc/systemd/system/docker-.scope.d && systemctl daemon-reload",
        "pids_limit",
        {"absent"},
    ),
    Sabotage(
        "another drop-in lifts the PIDs limit",
        "printf '[Scope]\\nTasksMax=infinity\\n' > /etc/systemd/system/docker-.scope.d/40-mine.conf && systemctl daemon-reload",
        "rm /etc/systemd/system/docker-.scope.d/40-mine.conf && systemctl daemon-reload",
        "pids_limit",
        {"absent"},
    ),
    Sabotage(
        "no-new-privileges is switched off",
        EDIT.format(change='d["no-new-privileges"]=False') + f" && {RESTART}",
        EDIT.format(change='d["no-new-privileges"]=True') + f" && {RESTART}",
        "no_new_privileges",
        {"absent"},
    ),
    Sabotage(
        "the seccomp profile is emptied, which the engine accepts",
        f"cp {PROFILE} /root/p.json && echo '{{}}' > {PROFILE} && {RESTART}",
        f"cat /root/p.json > {PROFILE} && {RESTART}",
        "seccomp",
        {"absent"},
    ),
    Sabotage(
        "the engine's own seccomp profile is back",
        EDIT.format(change='d.pop("seccomp-profile")') + f" && {RESTART}",
        EDIT.format(change=f'd["seccomp-profile"]="{PROFILE}"') + f" && {RESTART}",
        "seccomp",
        {"degraded", "absent"},
    ),
    Sabotage(
        "the seccomp profile is edited, and the engine still has the old one",
        f"""cp {PROFILE} /root/p.json && sed -i 's/"names": \\[/"names": ["ptrace",/' {PROFILE}""",
        f"cat /root/p.json > {PROFILE} && {RESTART}",
        "seccomp",
        {"degraded"},
    ),
    Sabotage("a profile complains instead of enforcing", "aa-complain bulkhead-web", "aa-enforce bulkhead-web", "apparmor", {"degraded"}),
    Sabotage(
        "a profile is unloaded",
        "apparmor_parser -R /etc/apparmor.d/bulkhead-web",
        "apparmor_parser -r /etc/apparmor.d/bulkhead-web",
        "apparmor",
        {"degraded", "absent"},
    ),
    Sabotage(
        "the kernel holds another policy under the profile's name",
        "echo 'profile bulkhead-web { file, network, capability, }' | apparmor_parser -r",
        "apparmor_parser -r /etc/apparmor.d/bulkhead-web",
        "apparmor",
        {"degraded"},
    ),
    Sabotage(
        "userns-remap is switched off",
        EDIT.format(change='d.pop("userns-remap")') + f" && {RESTART}",
        EDIT.format(change='d["userns-remap"]="default"') + f" && {RESTART}",
        "userns",
        {"absent"},
    ),
    Sabotage(
        "somebody else gets the same subordinate IDs",
        "echo 'intruder:231072:65536' >> /etc/subuid",
        "sed -i /^intruder:/d /etc/subuid",
        "userns",
        {"degraded"},
        {"userns.overlap"},
    ),
]


@contextmanager
def sabotaged(host: Host, sabotage: Sabotage) -> Iterator[None]:
    host.check_output(sabotage.do)
    try:
        wait_for_engine(host)
        yield
    finally:
        undone = host.run(sabotage.undo)
        wait_for_engine(host)
        assert undone.rc == 0, undone.stderr


def test_the_parameters_cover_every_layer_that_a_host_configures() -> None:
    assert {s.layer for s in SABOTAGES} == set(ALL_HOLD) - {"capabilities"}


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda s: s.name.replace(" ", "-"))
def test_the_verdict_names_the_layer_and_no_other(host: Host, prove: Callable[..., Proof], sabotage: Sabotage) -> None:
    with sabotaged(host, sabotage):
        proof = prove()
    assert proof.code != 0, proof.output
    status = proof.status()
    assert status[sabotage.layer] in sabotage.status, proof.output
    assert {name: status[name] for name in ALL_HOLD if name != sabotage.layer} == {
        name: "enforced" for name in ALL_HOLD if name != sabotage.layer
    }, proof.output
    assert [entry.split()[0] for entry in proof.report["not_enforced"]] == [sabotage.layer]
    if sabotage.findings:
        assert sabotage.findings & set(proof.findings()), proof.output


OPT_OUTS: list[tuple[str, str, set[str], set[str]]] = [
    ("host-userns", "--userns=host", {"userns"}, set()),
    ("no-seccomp", "--security-opt seccomp=unconfined", {"seccomp"}, set()),
    ("no-apparmor", "--security-opt apparmor=unconfined", {"apparmor"}, set()),
    ("new-privileges", "--security-opt no-new-privileges=false", {"no_new_privileges"}, set()),
    (
        "everything",
        "--privileged --userns=host -v /var/run/docker.sock:/var/run/docker.sock",
        {"userns", "seccomp", "apparmor", "capabilities"},
        {"container.privileged", "container.engine_socket"},
    ),
]


def test_containers_that_opt_out_are_named_with_what_they_are_without(host: Host, prove: Callable[..., Proof]) -> None:
    host.check_output(MAKE_IMAGE)
    try:
        for name, options, _, _ in OPT_OUTS:
            host.check_output(f"docker run -d --network none --name {name} {options} testimage")
        host.check_output("docker run -d --network none --name unlimited testimage && docker update --pids-limit -1 unlimited")
        proof = prove()
        for name, _, layers, findings in OPT_OUTS:
            seen = proof.container(name)
            assert set(seen["opted_out"]) == layers, (name, seen)
            assert findings <= {f["id"] for f in seen["findings"]}, (name, seen)
            lifted = {v["layer"]: v["status"] for v in seen["layers"] if v["layer"] in layers}
            assert "enforced" not in lifted.values(), (name, lifted)
        unlimited = {v["layer"]: v["status"] for v in proof.container("unlimited")["layers"]}
        assert unlimited["pids_limit"] == "absent"
        assert proof.code == 0, "the host's defaults hold; what a container opted out of is shown, not failed"
    finally:
        host.run("docker rm -f " + " ".join([name for name, *_ in OPT_OUTS] + ["unlimited"]))


def test_an_engine_that_is_down_is_unknown_and_not_enforced(host: Host, prove: Callable[..., Proof]) -> None:
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        proof = prove()
    finally:
        host.check_output("systemctl start docker.socket docker.service")
        wait_for_engine(host)
    assert proof.code != 0
    assert "engine.not_running" in proof.findings()
    assert "enforced" not in {value for name, value in proof.status().items() if name in ALL_HOLD}


def test_without_a_canary_what_it_alone_shows_is_unknown(prove: Callable[..., Proof]) -> None:
    proof = prove("--check")
    assert proof.code == 0, proof.output
    assert proof.report["proof"]["canary"] is False
    assert set(proof.status().values()) <= {"unknown", "not_applicable"}
    assert "no canary was started" in json.dumps(proof.report)


def test_a_canary_that_was_left_behind_is_cleared(host: Host, prove: Callable[..., Proof]) -> None:
    left: dict[str, Any] = {"label": "io.bulkhead.canary=999999:1"}
    host.check_output(f"docker run -d --network none --label {left['label']} --name bulkhead-canary-999999 testimage")
    proof = prove()
    assert proof.code == 0, proof.output
    assert host.run("docker inspect bulkhead-canary-999999").rc != 0
