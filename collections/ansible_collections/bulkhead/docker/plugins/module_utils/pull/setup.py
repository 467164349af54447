# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the pull agent on a host, or removes it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.systemctl import ServiceError, systemctl
from ..host import state
from ..host.files import write_atomically
from ..host.root import Host
from . import agent, rendering

SUBJECT = "pull-agent"
MIN_ANSIBLE = (2, 19)
PACKAGES = {"git": "git", "ansible-pull": "ansible-core"}
Manager = Callable[..., str]


@dataclass
class PullOutcome:
    """steps: messages on what was done, or would be in check mode. diff: path, before, after."""

    steps: list[str] = field(default_factory=list)
    diff: list[tuple[str, str, str]] = field(default_factory=list)


def list_missing_packages() -> list[str]:
    """Return the distribution's packages whose programs are not installed."""
    return [package for program, package in PACKAGES.items() if not shutil.which(program)]


def explain_old_ansible() -> str:
    """Return an error when the host's Ansible cannot run the collection; empty when it can."""
    try:
        text = importlib.metadata.version("ansible-core")
    except importlib.metadata.PackageNotFoundError:  # installed in a virtual environment
        done = subprocess.run(["ansible-pull", "--version"], capture_output=True, text=True, check=False)
        text = done.stdout.partition("core ")[2].partition("]")[0]
    numbers = text.split(".")[:2]
    if all(number.isdigit() for number in numbers) and len(numbers) == 2 and tuple(map(int, numbers)) < MIN_ANSIBLE:
        return f"ansible-core {text} is too old on this host; install 2.19 or later, which Debian has from trixie on"
    return ""


def install_agent(host: Host, settings: Mapping[str, Any], check: bool, run: Manager = systemctl) -> PullOutcome:
    """Write the agent's files and start its timer. Raises OSError, ServiceError, ValueError."""
    outcome, saved = PullOutcome(), state.load(host, SUBJECT)
    desired = rendering.render_agent_files(settings, read_agent_source())
    if not check:  # saved first, so that a later run can remove every file
        state.save(host, SUBJECT, {"files": sorted({*saved.get("files", ()), *desired}), "metrics_dir": settings["metrics_dir"]})
    written = []
    for path, (text, mode) in desired.items():
        before = host.read(path)
        if before == text and host.path(path).stat().st_mode & 0o777 == mode:
            continue
        written.append(path)
        outcome.steps.append(f"{path} written")
        outcome.diff.append((path, before or "", text))
        if not check:
            host.path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(host.path(path), text, mode)
            host.path(path).chmod(mode)
    for path in sorted(set(saved.get("files", ())) - set(desired)):
        _remove_file(host, path, outcome, check)
    if saved.get("metrics_dir") not in (None, settings["metrics_dir"]):
        _remove_metrics(host, saved["metrics_dir"], outcome, check)
    if not check:
        host.path(settings["metrics_dir"]).mkdir(mode=0o755, parents=True, exist_ok=True)  # the unit's sandbox names it
        state.save(host, SUBJECT, {"files": sorted(desired), "metrics_dir": settings["metrics_dir"]})
    if not check and {rendering.SERVICE, rendering.TIMER} & set(written):
        run("daemon-reload")
    if rendering.TIMER in written or not _is_timer_active(run):
        outcome.steps.append(f"{rendering.TIMER_UNIT} enabled and started")
        if not check:
            run("enable", rendering.TIMER_UNIT)
            run("restart", rendering.TIMER_UNIT)
    return outcome


def remove_agent(host: Host, check: bool, run: Manager = systemctl) -> PullOutcome:
    """Remove timer, unit, program, checkout and metrics. Raises OSError, ServiceError, ValueError."""
    outcome, saved = PullOutcome(), state.load(host, SUBJECT)
    if not saved:
        return outcome
    outcome.steps.append(f"{rendering.TIMER_UNIT} stopped and disabled")
    if not check and host.path(rendering.TIMER).exists():
        run("disable", "--now", rendering.TIMER_UNIT)
        run("stop", rendering.SERVICE_UNIT, timeout=600)
    for path in saved["files"]:
        _remove_file(host, path, outcome, check)
    _remove_metrics(host, saved["metrics_dir"], outcome, check)
    outcome.steps.append(f"{agent.STATE} removed")
    if not check:
        shutil.rmtree(host.path(agent.STATE), ignore_errors=True)
        run("daemon-reload")
        state.save(host, SUBJECT, {})
    return outcome


def read_agent_source() -> str:
    """Return the agent's source, from a file or from the archive that Ansible sends."""
    spec = importlib.util.find_spec(agent.__name__)
    text = spec.loader.get_source(agent.__name__) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if not text:
        raise FileNotFoundError(f"{agent.__name__}: its source is not available")
    return str(text)


def _is_timer_active(run: Manager) -> bool:
    try:
        return run("is-enabled", rendering.TIMER_UNIT).strip() == "enabled" and run("is-active", rendering.TIMER_UNIT).strip() == "active"
    except ServiceError:
        return False


def _remove_file(host: Host, path: str, outcome: PullOutcome, check: bool) -> None:
    if host.path(path).exists():
        outcome.steps.append(f"{path} removed")
        if not check:
            host.path(path).unlink()


def _remove_metrics(host: Host, folder: str, outcome: PullOutcome, check: bool) -> None:
    """Remove the metrics of the agent, which would otherwise seem fresh."""
    for name in (agent.OWN_METRICS, agent.HOST_METRICS):
        _remove_file(host, f"{folder}/{name}", outcome, check)
