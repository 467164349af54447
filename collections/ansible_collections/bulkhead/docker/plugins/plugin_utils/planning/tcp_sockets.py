# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the TCP sockets that the engine gets by a new configuration: a client of one is root of the host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils.engine.certificates import FILES
from ...module_utils.engine.instance import get_observed_instance
from ...module_utils.layers.verdict import LayerPlan

ASKS = "observe_certificates"
_SWITCHES = ("hosts", "tls", "tlsverify", *FILES)
_LOCAL = ("unix://", "fd://", "npipe://")


def judge_tcp_sockets(result: LayerPlan, observed: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Add a blocker for a new TCP socket that does not verify clients, and a warning for one that is there already.

    before, after: content of daemon.json. For a change of sockets or TLS, the plan asks for the certificates; each of their problems is a blocker.
    """
    flags, path = (observed.get("unit") or {}).get("flags", {}), observed["daemon_json"]["path"]
    was, now = (list_tcp_hosts(content, flags) for content in (before, after))
    if not now:
        return
    verified = is_verified(after, flags)
    exposed = [entry for entry in now if entry not in was or is_verified(before, flags)]
    names = "; set tlsverify with tlscacert, tlscert and tlskey in docker_daemon_options, or remove"
    if exposed and not verified:
        text = "would accept clients without a certificate, and each of them is root of the host"
        result.blockers.append(f"{path}: hosts: {', '.join(exposed)} {text}{names} it")
    elif not verified:
        text = "accepts clients without a certificate, and each of them is root of the host"
        result.warnings.append(f"the engine's TCP socket {', '.join(now)} {text}{names} the socket")
    if verified and any(before.get(key) != after.get(key) for key in _SWITCHES):
        _judge_certificates(result, observed, {key: after.get(key) or flags.get(key) for key in FILES})


def list_tcp_hosts(content: Mapping[str, Any], flags: Mapping[str, str]) -> list[str]:
    """Return the entries of `hosts` and `--host` that are TCP sockets. Without a scheme, an entry is one (moby opts/hosts.go, parseDaemonHost)."""
    hosts = content.get("hosts") or []
    entries = [*(hosts if isinstance(hosts, list) else []), *flags.get("host", "").split(",")]
    return [str(entry) for entry in entries if entry and not str(entry).startswith(_LOCAL)]


def is_verified(content: Mapping[str, Any], flags: Mapping[str, str]) -> bool:
    """Return whether clients need a certificate. Without `tlsverify` it depends on the engine's version, so it counts as not verified."""
    return content.get("tlsverify") is True or str(flags.get("tlsverify", "")).lower() in ("true", "1", "t")


def _judge_certificates(result: LayerPlan, observed: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    path, instance = observed["daemon_json"]["path"], get_observed_instance(observed)
    missing = [key for key, value in files.items() if not value]
    if missing:
        result.blockers.append(f"{path}: tlsverify needs {', '.join(missing)} as well; name the files in docker_daemon_options")
        return
    result.asks, result.question = ASKS, {"files": dict(files), **({"user": instance.user} if instance.rootless else {})}
    answer = observed.get("certificates") or {}
    if answer.get("question") == result.question:
        result.blockers += [f"{path}: {problem}" for problem in answer["problems"]]
