# SPDX-License-Identifier: GPL-3.0-or-later
"""Disable each layer by hand: the report must name that layer and no other. A check that cannot fail is worth nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import MAKE_IMAGE, REPOSITORY, WAIT_FOR_ENGINE, Verification, leave_killed_run, run_playbook, wait_for_engine
from testinfra.host import Host

ALL_ENFORCED = dict.fromkeys(("pids_limit", "no_new_privileges", "seccomp", "apparmor", "userns", "capabilities"), "enforced")
EDIT = 'python3 -c \'import json; p="/etc/docker/daemon.json"; d=json.load(open(p)); {change}; json.dump(d, open(p, "w"))\''
PROFILE = "/etc/docker/seccomp/bulkhead-default.json"
# Without it, systemd allows no fourth start within a minute (StartLimitBurst of docker.service).
RESET_FAILURES = "systemctl reset-failed docker.service docker.socket"
RESTART = f"{RESET_FAILURES} && systemctl restart docker"


@dataclass
class Sabotage:
    """A command, the command that reverts it, and the expected verdict.

    restart: the engine must be restarted after either.
    """

    name: str
    do: str
    undo: str
    layer: str
    status: set[str]
    findings: set[str] = field(default_factory=set)  # at least one of them must be reported, if there are any
    restart: bool = False


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
        EDIT.format(change='d["no-new-privileges"]=False'),
        EDIT.format(change='d["no-new-privileges"]=True'),
        "no_new_privileges",
        {"absent"},
        restart=True,
    ),
    Sabotage(
        "the seccomp profile is emptied, which the engine accepts",
        f"cp {PROFILE} /root/p.json && echo '{{}}' > {PROFILE}",
        f"cat /root/p.json > {PROFILE}",
        "seccomp",
        {"absent"},
        restart=True,
    ),
    Sabotage(
        "the engine's own seccomp profile is used",
        EDIT.format(change='d.pop("seccomp-profile")'),
        EDIT.format(change=f'd["seccomp-profile"]="{PROFILE}"'),
        "seccomp",
        {"degraded", "absent"},
        restart=True,
    ),
    Sabotage(
        "the seccomp profile is edited, and the engine still has the old one",
        f"""cp {PROFILE} /root/p.json && sed -i 's/"names": \\[/"names": ["ptrace",/' {PROFILE}""",
        # The restored file is newer than the engine, which is drift in the verdict: the engine must load it.
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
        "the kernel has another policy under the profile's name",
        "echo 'profile bulkhead-web { file, network, capability, }' | apparmor_parser -r",
        "apparmor_parser -r /etc/apparmor.d/bulkhead-web",
        "apparmor",
        {"degraded"},
    ),
    Sabotage(
        "userns-remap is switched off",
        EDIT.format(change='d.pop("userns-remap")'),
        EDIT.format(change='d["userns-remap"]="default"'),
        "userns",
        {"absent"},
        restart=True,
    ),
    Sabotage(
        "another user gets the same subordinate IDs",
        "echo 'intruder:231072:65536' >> /etc/subuid",
        "sed -i /^intruder:/d /etc/subuid",
        "userns",
        {"degraded"},
        {"userns.overlap"},
    ),
]


@dataclass
class SabotageResult:
    """The result of playbooks/tasks/verify.yml: whether it failed, and its report."""

    failed: bool
    report: dict[str, Any]


def _write_play(folder: Path) -> list[dict[str, Any]]:
    """Return one play for all sabotages: apply, verify, revert. One restart serves two in a row."""
    tasks: list[dict[str, Any]] = [{"name": "Set the failed verifications", "ansible.builtin.set_fact": {"failed_verifications": []}}]
    for number, (before, sabotage) in enumerate(zip([None, *SABOTAGES], [*SABOTAGES, None], strict=True)):
        undo = [before.undo] if before else []
        do = [sabotage.do] if sabotage else []
        if sabotage and sabotage.restart:
            do.append(RESTART)
        elif before and before.restart:
            undo.append(RESTART)
        name = sabotage.name if sabotage else "revert everything"
        tasks.append({"name": f"Run by hand: {name}", "ansible.builtin.raw": "\n".join(["set -e", *undo, *do, WAIT_FOR_ENGINE])})
        verification = {"ansible.builtin.include_tasks": str(REPOSITORY / "playbooks/tasks/verify.yml")}
        record = {"ansible.builtin.set_fact": {"failed_verifications": "{{ failed_verifications + [number] }}"}}
        tasks.append(
            {
                "name": "Verify",
                "vars": {"number": number, "bulkhead_report_dir": f"{folder}/{number}"},
                "block": [verification],
                "rescue": [record],
            }
        )
    answer = {"content": "{{ failed_verifications | to_json }}", "dest": f"{folder}/failed.json", "mode": "0644"}
    tasks.append({"name": "Write the failed verifications", "ansible.builtin.copy": answer, "delegate_to": "localhost"})
    return [{"name": "Disable each layer", "hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}]


@pytest.fixture(scope="module")
def verdicts(inventory: str, tmp_path_factory: pytest.TempPathFactory) -> list[SabotageResult]:
    """Return the verdict on each of the SABOTAGES, and a last one after all are reverted."""
    folder = tmp_path_factory.mktemp("sabotage")
    book = folder / "book.yml"
    book.write_text(yaml.safe_dump(_write_play(folder), sort_keys=False))
    done = run_playbook(inventory, book)
    assert (folder / "failed.json").exists(), done.stdout[-6000:] + done.stderr[-2000:]
    failed = json.loads((folder / "failed.json").read_text())
    reports = [json.loads(next((folder / str(n)).glob("verify-*.json")).read_text()) for n in range(len(SABOTAGES) + 1)]
    return [SabotageResult(number in failed, report) for number, report in enumerate(reports)]


def test_sabotages_cover_every_configured_layer() -> None:
    assert {s.layer for s in SABOTAGES} == set(ALL_ENFORCED) - {"capabilities"}


@pytest.mark.parametrize("number", range(len(SABOTAGES)), ids=lambda n: SABOTAGES[n].name.replace(" ", "-"))
def test_the_report_names_the_layer_and_no_other(verdicts: list[SabotageResult], number: int) -> None:
    sabotage, verdict = SABOTAGES[number], verdicts[number]
    layers = verdict.report["verification"]["layers"]
    details = json.dumps([layer for layer in layers if layer["status"] != "enforced"], indent=1)
    assert verdict.failed, details
    status = {layer["layer"]: layer["status"] for layer in layers}
    assert status[sabotage.layer] in sabotage.status, details
    others = {name: value for name, value in ALL_ENFORCED.items() if name != sabotage.layer}
    assert {name: status[name] for name in others} == others, details
    assert [entry.split()[0] for entry in verdict.report["not_enforced"]] == [sabotage.layer]
    if sabotage.findings:
        assert sabotage.findings & {finding["id"] for layer in layers for finding in layer["findings"]}, details


def test_every_layer_is_enforced_after_all_is_reverted(verdicts: list[SabotageResult]) -> None:
    assert not verdicts[-1].failed, verdicts[-1].report["not_enforced"]


# The container has a filter (Seccomp: 2) that stops almost nothing.
OWN_FILTER = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}'
LEFT_BEHIND = "bulkhead-probe-999999"
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


def test_containers_that_opt_out_are_reported(host: Host, verify: Callable[..., Verification]) -> None:
    host.check_output(MAKE_IMAGE)
    # A killed run leaves its probe, which the next run removes. What a container says of itself makes it no probe.
    host.check_output(leave_killed_run(LEFT_BEHIND))
    host.check_output(
        "docker run -d --network none --label io.bulkhead.probe=999999:1 --label io.bulkhead.token=f00d --name labelled testimage"
    )
    try:
        for name, options, _, _ in OPT_OUTS:
            host.check_output(f"docker run -d --network none --name {name} {options} testimage")
        host.check_output("docker run -d --network none --name unlimited testimage && docker update --pids-limit -1 unlimited")
        host.check_output(f"echo '{OWN_FILTER}' > /root/own.json")
        host.check_output("docker run -d --network none --name own-filter --security-opt seccomp=/root/own.json testimage")
        verification = verify("-e", "bulkhead_deep=true")
        for name, _, layers, findings in OPT_OUTS:
            seen = verification.container(name)
            assert set(seen["opted_out"]) == layers, (name, seen)
            assert findings <= {f["id"] for f in seen["findings"]}, (name, seen)
            lifted = {v["layer"]: v["status"] for v in seen["layers"] if v["layer"] in layers}
            assert "enforced" not in lifted.values(), (name, lifted)
        # The engine's built-in profile, read from a second container, is older than some calls, and denies no other call that the managed profile allows.
        (default,) = (f for v in verification.report["verification"]["layers"] for f in v["findings"] if v["layer"] == "seccomp")
        assert default["id"] == "seccomp.newer_than_default" and "mseal" in default["text"], default
        unlimited = {v["layer"]: v["status"] for v in verification.container("unlimited")["layers"]}
        assert unlimited["pids_limit"] == "absent"
        own = next(v for v in verification.container("own-filter")["layers"] if v["layer"] == "seccomp")
        assert (own["status"], [f["id"] for f in own["findings"]]) == ("degraded", ["seccomp.wide_open"]), own
        # The host's defaults are enforced. A container's own options are reported, and fail only with a forbidden exposure.
        assert (verification.report["enforced"], verification.report["problem"]) == (True, "")
        assert {entry["container"] for entry in verification.report["exposed"]} == {"everything"}
        assert verification.code == 2, verification.output
        assert "Fleet: 1 of 1 hosts verified" in verification.output, verification.output
        assert host.run(f"docker inspect {LEFT_BEHIND}").rc != 0
        assert verification.container("labelled")["pid"] == int(host.check_output("docker inspect -f '{{.State.Pid}}' labelled"))
    finally:
        host.run("docker rm -f " + " ".join([name for name, *_ in OPT_OUTS] + ["unlimited", "own-filter", "labelled", LEFT_BEHIND]))


def test_a_stopped_engine_is_unknown_and_not_enforced(host: Host, verify: Callable[..., Verification]) -> None:
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        verification = verify()
    finally:
        host.check_output(f"{RESET_FAILURES} && systemctl start docker.socket docker.service")
        wait_for_engine(host)
    assert verification.code != 0
    assert "engine.not_running" in verification.findings()
    assert "enforced" not in {value for name, value in verification.status().items() if name in ALL_ENFORCED}


def test_without_a_probe_its_layers_are_unknown(verify: Callable[..., Verification]) -> None:
    verification = verify("--check")
    assert verification.code == 0, verification.output
    assert verification.report["verification"]["probe"] is False
    # The files of the engine and the audit rules need no probe.
    assert {value for name, value in verification.status().items() if name not in ("files", "audit_rules")} <= {"unknown", "not_applicable"}
    assert "no probe container was started" in json.dumps(verification.report)
