# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges section 7: the swarm, from what a manager knows. Pure."""

from __future__ import annotations

from typing import Any

from .catalog import Control
from .engine import SWARM_PORTS
from .verdict import ControlOutcome, Facts, MissingFact, decide

MOST_MANAGERS = 7
# The default of `docker swarm init --cert-expiry` (2160 h).
MOST_DAYS = 90


def _get_manager(facts: Facts) -> dict[str, Any]:
    """Return what the manager knows. Raises MissingFact on other nodes."""
    swarm: dict[str, Any] = facts.get("swarm")
    if not swarm["manager"]:
        raise MissingFact("this node is not a manager; verify a manager of the swarm")
    return swarm


def judge_swarm_managers(control: Control, facts: Facts) -> ControlOutcome:
    number = int(_get_manager(facts)["managers"] or 0)
    good = number % 2 == 1 and number <= MOST_MANAGERS
    return decide(good, f"the swarm has {number} managers", f"the swarm has {number} managers", "docker info (Swarm.Managers)", number)


def judge_swarm_address(control: Control, facts: Facts) -> ControlOutcome:
    found = [each for each in facts.get("tcp_sockets") if each.rpartition(":")[2] in SWARM_PORTS]
    everywhere = [each for each in found if each.startswith(("0.0.0.0:", "[::]:"))]
    source = f"/proc/{facts.observed['engine']['pid']}/net/tcp and tcp6"
    good, bad = f"the swarm listens on {', '.join(found)}", f"the swarm listens on all addresses: {', '.join(everywhere)}"
    return decide(not everywhere, good, bad, source, found)


def judge_swarm_networks(control: Control, facts: Facts) -> ControlOutcome:
    swarm = _get_manager(facts)
    plain = swarm["plain_networks"]
    bad = f"overlay networks without encryption: {', '.join(plain)}"
    return decide(
        not plain, "every overlay network is encrypted", bad, "docker network inspect", plain or f"none of {swarm['overlay_networks']}"
    )


def judge_swarm_secrets(control: Control, facts: Facts) -> ControlOutcome:
    names = _get_manager(facts)["exposed_services"]
    bad = f"services with variables whose names look like secrets: {', '.join(names)}"
    return decide(not names, "no service has variables whose names look like secrets", bad, "docker service inspect (Env)", names or "none")


def judge_swarm_lock(control: Control, facts: Facts) -> ControlOutcome:
    locked = _get_manager(facts)["auto_lock"]
    return decide(
        locked, "managers are locked after a restart", "managers are not locked after a restart", "docker swarm (AutoLockManagers)", locked
    )


def judge_swarm_certificates(control: Control, facts: Facts) -> ControlOutcome:
    days = round(_get_manager(facts)["certificate_days"])
    bad = f"certificates of nodes are valid for {days} days, more than {MOST_DAYS}"
    return decide(0 < days <= MOST_DAYS, f"certificates of nodes are valid for {days} days", bad, "docker swarm (NodeCertExpiry)", days)
