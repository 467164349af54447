# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the settings of the pull agent, and renders its files. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .agent import CONFIG, GIT_CONFIG

PROGRAM = "/usr/local/libexec/bulkhead/pull-agent"
SIGNERS = "/etc/bulkhead/pull-agent.signers"
SERVICE_UNIT, TIMER_UNIT = "bulkhead-pull.service", "bulkhead-pull.timer"
SERVICE, TIMER = f"/etc/systemd/system/{SERVICE_UNIT}", f"/etc/systemd/system/{TIMER_UNIT}"
CONVERGE, CHECK = "converge", "check"
PLAYBOOKS = {CONVERGE: "playbooks/harden.yml", CHECK: "playbooks/watch.yml"}
_NOTE = "# Written by Bulkhead (role pull_agent)\n"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SPAN = re.compile(r"(?:\d+(?:s|sec|m|min|h|hr|d)\s?)+")
_PART = re.compile(r"(\d+)(s|sec|m|min|h|hr|d)")
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_KEY = re.compile(r"\s(?:sk-)?(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+)(?:@openssh\.com)?\s+AAAA[0-9A-Za-z+/]+={0,2}(?:\s|$)")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/@+-]+")

# Without the options of systemd that add a seccomp filter (RestrictAddressFamilies=, PrivateDevices=, ProtectKernelModules= and others; systemd's
# seccomp-util.c): the kernel shows a container's filter only to a process without one (kernel/seccomp.c: seccomp_get_filter), and the layer would
# be unknown. Mode converge changes files, units and packages of the host, so it is not confined.
_CHECK_ONLY = """ProtectSystem=strict
ReadWritePaths=/var/lib/bulkhead {metrics_dir}
ProtectHome=read-only
ProtectControlGroups=yes
NoNewPrivileges=yes
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_TIME CAP_SYS_RAWIO CAP_MKNOD CAP_LINUX_IMMUTABLE CAP_SYS_PACCT CAP_SYS_TTY_CONFIG CAP_LEASE
CapabilityBoundingSet=~CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_NET_BROADCAST
"""


def find_setting_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return an error for each invalid setting. settings: the role's variables without their prefix."""
    found = []
    url, pin, signers, gpg = settings["url"], settings["revision"], settings["allowed_signers"], settings["gpg_home"]
    if not url or re.search(r"[\s']", url) or url.startswith("-") or "::" in url.partition("://")[0]:
        found.append(
            f"pull_agent_url: {url!r} is not an address; write where this host fetches the repository, such as ssh://git@git.example.com/fleet.git"
        )
    if not (pin or signers.strip() or gpg):
        found.append(
            "pull_agent_revision, pull_agent_allowed_signers: neither is set, so the host would run anything from the origin; set the hash of a commit, or the"
            " trusted signers"
        )
    if pin and not _COMMIT.fullmatch(pin):
        found.append(
            f"pull_agent_revision: {pin!r} is not the full hash of a commit; write the output of `git rev-parse REVISION`, or leave it out"
        )
    if signers.strip() and gpg:
        found.append("pull_agent_allowed_signers, pull_agent_gpg_home: both are set; keep one of them")
    lines = [line for line in signers.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found += [
        f"pull_agent_allowed_signers: {line[:60]!r} has no key; write lines such as `ops@example.com ssh-ed25519 AAAA…` (man 1 ssh-keygen, ALLOWED SIGNERS)"
        for line in lines
        if not _KEY.search(line)
    ]
    if not _BRANCH.fullmatch(settings["branch"]) or ".." in settings["branch"]:
        found.append(f"pull_agent_branch: {settings['branch']!r} is not the name of a branch; write one such as main")
    if not _HOST.fullmatch(settings["host"]):
        found.append(f"pull_agent_host: {settings['host']!r} is not a host name; write this host's name in the inventory of the repository")
    for name in ("inventory", "playbook"):
        if (
            not re.fullmatch(r"[A-Za-z0-9._/-]+", settings[name])
            or settings[name].startswith(("/", "-"))
            or ".." in settings[name].split("/")
        ):
            found.append(
                f"pull_agent_{name}: {settings[name]!r} is not a path in the repository; write one relative to its top, such as inventory/hosts.yml"
            )
    for name in ("metrics_dir", "ssh_key", "gpg_home"):
        if settings[name] and (not _PLAIN_PATH.fullmatch(settings[name]) or ".." in settings[name].split("/")):
            found.append(
                f"pull_agent_{name}: {settings[name]!r} is not a plain absolute path on the host; write one such as /etc/bulkhead/{name}"
            )
    for name, least in (("interval", 60), ("random_delay", 0)):
        if not _SPAN.fullmatch(settings[name]) or parse_span(settings[name]) < least:
            least_text = f" of {least} s or more" if least else ""
            found.append(
                f"pull_agent_{name}: {settings[name]!r} is not a time span{least_text}; write one such as 5min or 1h (man 7 systemd.time)"
            )
    if not re.fullmatch(r"\d+(?:\.\d+)?[smhd]", settings["since"]):
        found.append(f"pull_agent_since: {settings['since']!r} is not an age; write one such as 15m, 24h or 7d")
    return found


def parse_span(span: str) -> int:
    """Return the seconds of a time span such as `1h 30min`."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(span))


def render_agent_files(settings: Mapping[str, Any], program: str) -> dict[str, tuple[str, int]]:
    """Return path → text and mode of each file. program: the agent's source."""
    signers = settings["allowed_signers"].strip()
    config = {
        key: settings[key]
        for key in ("url", "branch", "revision", "mode", "host", "inventory", "metrics_dir", "ssh_key", "gpg_home", "rewind", "since")
    }
    config |= {"playbook": settings["playbook"], "signed": bool(signers or settings["gpg_home"])}
    found = {
        PROGRAM: (f"#!/usr/bin/python3 -I\n{program}", 0o755),
        CONFIG: (json.dumps(config, indent=1, sort_keys=True) + "\n", 0o600),
        GIT_CONFIG: (render_git_config(bool(signers), bool(settings["gpg_home"])), 0o644),
        SERVICE: (render_service(settings), 0o644),
        TIMER: (render_timer(settings), 0o644),
    }
    if signers:
        found[SIGNERS] = (f"{_NOTE}{signers}\n", 0o644)
    return found


def render_git_config(ssh: bool, gpg: bool) -> str:
    """Return git's configuration. Only one kind of signature is valid: the program of the other kinds fails (man 1 git-config, gpg.<format>.program)."""
    text = f"{_NOTE}[transfer]\n\tfsckObjects = true\n"
    text += f'[gpg "ssh"]\n\tallowedSignersFile = {SIGNERS}\n' if ssh else '[gpg "ssh"]\n\tprogram = /bin/false\n'
    if not gpg:
        text += "[gpg]\n\tprogram = /bin/false\n"
    return text + '[gpg "x509"]\n\tprogram = /bin/false\n'


def render_service(settings: Mapping[str, Any]) -> str:
    """Return the text of the service unit."""
    description = "compare this host with the pulled configuration"
    if settings["mode"] == CONVERGE:
        description = "apply the pulled configuration to this host and verify it"
    confined = _CHECK_ONLY.format(metrics_dir=settings["metrics_dir"]) if settings["mode"] == CHECK else ""
    return f"""{_NOTE}[Unit]
Description=Bulkhead: {description}
Wants=network-online.target
After=network-online.target docker.service

[Service]
Type=oneshot
ExecStart={PROGRAM} run
ExecStopPost={PROGRAM} ended
SyslogIdentifier=bulkhead-pull
TimeoutStartSec=1h
Nice=5
PrivateTmp=yes
{confined}"""


def render_timer(settings: Mapping[str, Any]) -> str:
    """Return the text of the timer unit."""
    return f"""{_NOTE}[Unit]
Description=Bulkhead: pull every {settings["interval"]}

[Timer]
OnBootSec=2min
OnUnitActiveSec={settings["interval"]}
RandomizedDelaySec={settings["random_delay"]}

[Install]
WantedBy=timers.target
"""
