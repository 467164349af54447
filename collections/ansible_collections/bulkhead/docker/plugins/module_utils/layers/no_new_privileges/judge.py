# SPDX-License-Identifier: GPL-3.0-or-later
"""no-new-privileges, verified by NoNewPrivs in /proc/PID/status (man 5 proc_pid_status; man 2 PR_SET_NO_NEW_PRIVS)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...engine_config.content import read_content
from ..states import get_proc_folder, judge_states
from ..verdict import ABSENT, DEGRADED, DISABLED, NOT_APPLICABLE, UNKNOWN, ContainerVerdict, Verdict

LAYER = __package__.rpartition(".")[2]
KEY = "no-new-privileges"


def judge(evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> Verdict:
    """Judge the engine's default by the probe, and whether the configuration keeps it after the next start."""
    probe = evidence.get("probe")
    if expect.get("requirement") == DISABLED:
        verdict = Verdict(LAYER, "no-new-privileges is not required")
        if probe:
            verdict.add_evidence(_name_source(probe["kernel"]), probe["kernel"].get("no_new_privs"))
        return verdict.conclude(NOT_APPLICABLE)
    verdict = Verdict(LAYER, "NoNewPrivs 1 for a container that sets nothing")
    is_set = _read_flag(verdict, probe["kernel"], "the probe") if probe else None
    configured = _is_configured(evidence["observed"])
    if is_set is False:
        text = "NoNewPrivs of the probe is 0: a setuid program in a container gives its caller more privileges"
        stale = f"{evidence['observed']['daemon_json']['path']} sets it, so the engine was not restarted since" if configured else ""
        verdict.add_finding("off", f"{text}; {stale}" if stale else text, ABSENT, "systemctl restart docker" if stale else "run harden.yml")
    if configured is False and is_set is not False:
        text = f"{evidence['observed']['daemon_json']['path']} does not set {KEY} to true: the next start of the engine removes the layer"
        verdict.add_finding("not_written", text, DEGRADED, "run harden.yml")
    if probe is None:
        return verdict.conclude(UNKNOWN)
    return verdict.conclude()


def judge_container(container: Mapping[str, Any], evidence: Mapping[str, Any], expect: Mapping[str, Any]) -> ContainerVerdict:
    """Judge one container. Its own setting is in HostConfig.SecurityOpt."""
    desired = expect.get("requirement") != DISABLED
    options = container["inspect"]["HostConfig"].get("SecurityOpt") or []
    asked, name = parse_option(options), container["name"]
    verdict = ContainerVerdict(LAYER, "NoNewPrivs 1" if desired else "no-new-privileges is not required", opted_out=asked is False)

    def judge_state(own: Verdict, kernel: Mapping[str, Any], who: str) -> None:
        is_set = _read_flag(own, kernel, who)
        if is_set is not False:
            return
        if asked:
            own.add_finding("not_held", f"{who} requests no-new-privileges and runs without", DEGRADED, f"docker restart {name}")
        if desired and asked is False:
            text = f"{who} sets no-new-privileges=false"
            own.add_finding("opted_out", text, ABSENT, "start it without this option")
        elif desired:
            # The engine adds its default when it creates a container (moby daemon/create.go), so a restart of the container is not enough.
            text = f"{who} runs without no-new-privileges: it was created before the engine's default, or the default does not work"
            own.add_finding("off", text, ABSENT, "create it again, such as by docker compose up --force-recreate")

    judge_states(verdict, container, judge_state)
    verdict.add_evidence("docker inspect HostConfig.SecurityOpt", options)
    is_set = container["kernel"].get("no_new_privs")
    if asked is not None and is_set is not None and asked != bool(is_set == 1):
        verdict.disagreements.append(f"docker inspect says no-new-privileges={str(asked).lower()}, the kernel's NoNewPrivs is {is_set}")
    return verdict.conclude() if desired or asked else verdict.conclude(NOT_APPLICABLE)


def parse_option(options: list[str]) -> bool | None:
    """Return what `no-new-privileges` is set to in security options (`=true`, `:false` …); None if it is not set.

    moby daemon/daemon_unix.go, parseSecurityOpt: the last option counts; without a value it is true.
    """
    answer = None
    for option in options:
        match = re.fullmatch(r"no-new-privileges(?:[=:](.*))?", option)
        if match:
            answer = match[1] is None or match[1].lower() in ("true", "1", "t")
    return answer


def _read_flag(verdict: Verdict, kernel: Mapping[str, Any], who: str) -> bool | None:
    value = kernel.get("no_new_privs")
    if value is None:
        verdict.add_finding("unread", f"NoNewPrivs of {who} could not be read", UNKNOWN)
        return None
    verdict.add_evidence(_name_source(kernel), value)
    return bool(value == 1)


def _name_source(kernel: Mapping[str, Any]) -> str:
    return f"{get_proc_folder(kernel)}/status NoNewPrivs"


def _is_configured(observed: Mapping[str, Any]) -> bool | None:
    """Return whether daemon.json or a flag of docker.service sets it; None if daemon.json is invalid."""
    if (observed.get("unit") or {}).get("flags", {}).get(KEY) == "true":
        return True
    file = observed["daemon_json"]
    if file["error"]:
        return None
    try:
        return read_content(file["text"]).get(KEY) is True
    except ValueError:
        return None
