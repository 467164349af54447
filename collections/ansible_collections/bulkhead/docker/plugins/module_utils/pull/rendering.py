# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the pull agent on a host, and what a wish for it must look like. Pure."""

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

# Options of systemd that come with a seccomp filter (RestrictAddressFamilies=, PrivateDevices=, ProtectKernelModules= and others; systemd's seccomp-util.c)
# are not here: the kernel shows the filter of a container to an unfiltered process alone (kernel/seccomp.c: seccomp_get_filter), and the layer would be
# unknown. What converges changes the host's files, units and packages, and is not confined to its folders.
_CHECK_ONLY = """ProtectSystem=strict
ReadWritePaths=/var/lib/bulkhead {metrics_dir}
ProtectHome=read-only
ProtectControlGroups=yes
NoNewPrivileges=yes
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_TIME CAP_SYS_RAWIO CAP_MKNOD CAP_LINUX_IMMUTABLE CAP_SYS_PACCT CAP_SYS_TTY_CONFIG CAP_LEASE
CapabilityBoundingSet=~CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_NET_BROADCAST
"""


def problems(wish: Mapping[str, Any]) -> list[str]:
    """What is wrong with the role's variables, one sentence each. wish: they, without their prefix."""
    found = []
    url, pin, signers, gpg = wish["url"], wish["revision"], wish["allowed_signers"], wish["gpg_home"]
    if not url or re.search(r"[\s']", url) or url.startswith("-") or "::" in url.partition("://")[0]:
        found.append(
            f"pull_agent_url: {url!r} is no address; write where this host fetches the repository, such as ssh://git@git.example.com/fleet.git"
        )
    if not (pin or signers.strip() or gpg):
        found.append(
            "pull_agent_revision, pull_agent_allowed_signers: neither is set, and the host would run whatever the origin has; write the hash of a commit, or"
            " whose signatures are trusted"
        )
    if pin and not _COMMIT.fullmatch(pin):
        found.append(f"pull_agent_revision: {pin!r} is no full hash of a commit; write what `git rev-parse REVISION` says, or leave it out")
    if signers.strip() and gpg:
        found.append("pull_agent_allowed_signers, pull_agent_gpg_home: both are set; keep the one whose signatures count")
    lines = [line for line in signers.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found += [
        f"pull_agent_allowed_signers: {line[:60]!r} names no key; write lines such as `ops@example.com ssh-ed25519 AAAA…` (man 1 ssh-keygen, ALLOWED SIGNERS)"
        for line in lines
        if not _KEY.search(line)
    ]
    if not _BRANCH.fullmatch(wish["branch"]) or ".." in wish["branch"]:
        found.append(f"pull_agent_branch: {wish['branch']!r} is no name of a branch; write one such as main")
    if not _HOST.fullmatch(wish["host"]):
        found.append(
            f"pull_agent_host: {wish['host']!r} can't be a host's name; write the one that this host has in the inventory of the repository"
        )
    for name in ("inventory", "playbook"):
        if not re.fullmatch(r"[A-Za-z0-9._/-]+", wish[name]) or wish[name].startswith(("/", "-")) or ".." in wish[name].split("/"):
            found.append(
                f"pull_agent_{name}: {wish[name]!r} is no path in the repository; write one such as inventory/hosts.yml, relative to its top"
            )
    for name in ("metrics_dir", "ssh_key", "gpg_home"):
        if wish[name] and (not _PLAIN_PATH.fullmatch(wish[name]) or ".." in wish[name].split("/")):
            found.append(f"pull_agent_{name}: {wish[name]!r} is no plain absolute path on the host; write one such as /etc/bulkhead/{name}")
    for name, least in (("interval", 60), ("random_delay", 0)):
        if not _SPAN.fullmatch(wish[name]) or seconds(wish[name]) < least:
            least_text = f" of {least} s or more" if least else ""
            found.append(
                f"pull_agent_{name}: {wish[name]!r} is no time span{least_text}; write one such as 5min or 1h (man 7 systemd.time)"
            )
    if not re.fullmatch(r"\d+(?:\.\d+)?[smhd]", wish["since"]):
        found.append(f"pull_agent_since: {wish['since']!r} is no age; write one such as 15m, 24h or 7d")
    return found


def seconds(span: str) -> int:
    """Of a time span such as `1h 30min`."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(span))


def files(wish: Mapping[str, Any], program: str) -> dict[str, tuple[str, int]]:
    """Path → text and mode of each file. program: the agent's source."""
    signers = wish["allowed_signers"].strip()
    config = {
        key: wish[key]
        for key in ("url", "branch", "revision", "mode", "host", "inventory", "metrics_dir", "ssh_key", "gpg_home", "rewind", "since")
    }
    config |= {"playbook": wish["playbook"], "signed": bool(signers or wish["gpg_home"])}
    found = {
        PROGRAM: (f"#!/usr/bin/python3 -I\n{program}", 0o755),
        CONFIG: (json.dumps(config, indent=1, sort_keys=True) + "\n", 0o600),
        GIT_CONFIG: (git_config(bool(signers), bool(wish["gpg_home"])), 0o644),
        SERVICE: (service(wish), 0o644),
        TIMER: (timer(wish), 0o644),
    }
    if signers:
        found[SIGNERS] = (f"{_NOTE}{signers}\n", 0o644)
    return found


def git_config(ssh: bool, gpg: bool) -> str:
    """Only the desired kind of signature counts: the program for the other kind refuses (man 1 git-config, gpg.<format>.program)."""
    text = f"{_NOTE}[transfer]\n\tfsckObjects = true\n"
    text += f'[gpg "ssh"]\n\tallowedSignersFile = {SIGNERS}\n' if ssh else '[gpg "ssh"]\n\tprogram = /bin/false\n'
    if not gpg:
        text += "[gpg]\n\tprogram = /bin/false\n"
    return text + '[gpg "x509"]\n\tprogram = /bin/false\n'


def service(wish: Mapping[str, Any]) -> str:
    does = "compare this host with the configuration that is pulled"
    if wish["mode"] == CONVERGE:
        does = "bring this host to the configuration that is pulled, and prove it"
    confined = _CHECK_ONLY.format(metrics_dir=wish["metrics_dir"]) if wish["mode"] == CHECK else ""
    return f"""{_NOTE}[Unit]
Description=Bulkhead: {does}
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


def timer(wish: Mapping[str, Any]) -> str:
    return f"""{_NOTE}[Unit]
Description=Bulkhead: pull every {wish["interval"]}

[Timer]
OnBootSec=2min
OnUnitActiveSec={wish["interval"]}
RandomizedDelaySec={wish["random_delay"]}

[Install]
WantedBy=timers.target
"""
