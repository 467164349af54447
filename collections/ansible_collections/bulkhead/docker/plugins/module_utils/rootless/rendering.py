# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a rootless engine needs on a host, all of them root's: the user who owns the engine can't write them. Pure.

What differs between hosts is given; what differs between users stands in the text, as a host has one such engine of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .names import CONTROLLERS, ENABLED, LOGIN, MODULES, PORTS, PROFILE, ROOTLESSKIT, UNIT, WRAPPER, delegation_path

# What dockerd-rootless.sh is told for a network driver; nothing, and it takes slirp4netns where that is installed. pasta brings its own way
# of publishing ports; 65520 is what the script itself takes for slirp4netns when it is not told.
_NETWORKS: dict[str, tuple[str, ...]] = {
    "": (),
    "pasta": ("NET=pasta", "PORT_DRIVER=implicit"),
    "slirp4netns": ("NET=slirp4netns", "MTU=65520"),
}
_NOTE = "# Written by Bulkhead (role rootless_docker)"


@dataclass(frozen=True)
class File:
    """One file of root's. link: it is a symbolic link to there instead."""

    path: str
    content: str = ""
    mode: int = 0o644
    link: str = ""


def files(
    user: str,
    uid: int | None,
    script: str,
    network: str = "",
    wrapper: str | None = None,
    first_port: int | None = None,
    rootlesskit: str | None = None,
    own_unit: bool = True,
) -> list[File]:
    """What shall be there. wrapper: the OCI runtime's text, None without one. network: rootlesskit's driver where it is not the usual one.
    rootlesskit: its path where it needs a profile to make user namespaces.

    own_unit: the user has no docker.service of his own in his folder, which would win over ours.
    """
    desired = [
        File(
            delegation_path(uid),
            f"{_NOTE}.\n# Which of its own limits the user's manager may set for containers.\n[Service]\nDelegate={' '.join(CONTROLLERS)}\n",
        ),
        File(
            MODULES,
            f"{_NOTE}.\n# A rootless engine can't load these itself: traffic between containers is filtered with them.\nbr_netfilter\nip_tables\n",
        ),
        File(LOGIN, login(user)),
    ]
    if own_unit:
        desired += [File(UNIT, unit(user, script, network)), File(ENABLED, link="../docker.service")]
    if wrapper is not None:
        desired.append(File(WRAPPER, wrapper, 0o755))
    if first_port is not None:
        text = f"{_NOTE}, rootless_docker_first_port).\n# From this port on, anybody may listen.\nnet.ipv4.ip_unprivileged_port_start = {first_port}\n"
        desired.append(File(PORTS, text))
    if rootlesskit is not None:
        desired.append(File(ROOTLESSKIT, profile_of_rootlesskit(rootlesskit)))
    return desired


def first_port(content: str) -> str | None:
    """The port that the file PORTS sets; None where it sets none."""
    found = re.search(r"(?m)^net\.ipv4\.ip_unprivileged_port_start *= *(\d+)$", content)
    return found[1] if found else None


def unit(user: str, script: str, network: str = "") -> str:
    """docker.service for the managers of users, of whom only one gets it.

    Restarts as upstream's own unit has them (moby contrib/dockerd-rootless-setuptool.sh). The wrapper's folder comes first in PATH, so that it is
    also what the engine and its builds take for plain `runc`.
    """
    driver = "".join(f"Environment=DOCKERD_ROOTLESS_ROOTLESSKIT_{word}\n" for word in _NETWORKS[network])
    folder = WRAPPER.rpartition("/")[0]
    return f"""{_NOTE}.
[Unit]
Description=Docker engine of {user}, rootless
Documentation=https://docs.docker.com/go/rootless/
ConditionUser={user}
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
NotifyAccess=all
Environment=PATH={folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{driver}ExecStart={script}
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
Restart=always
RestartSec=2
LimitNOFILE=infinity
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=mixed

[Install]
WantedBy=default.target
"""


def login(user: str) -> str:
    """For the user's shells; nobody else's."""
    return f"""{_NOTE}: where the docker client of {user} finds its engine.
if [ "$(id -un)" = "{user}" ]; then
  export DOCKER_HOST="unix://${{XDG_RUNTIME_DIR:-/run/user/$(id -u)}}/docker.sock"
fi
"""


def profile_of_rootlesskit(path: str) -> str:
    """Where the kernel refuses user namespaces to who has no profile that grants them (Ubuntu's apparmor_restrict_unprivileged_userns)."""
    return f"""{_NOTE}.
abi <abi/4.0>,
include <tunables/global>

profile {PROFILE} {path} flags=(unconfined) {{
  userns,
}}
"""


def wrapper_text(source: str, profile: str) -> str:
    """The OCI runtime from rootless/oci_wrapper.py: isolated from environment and site folders, as it stands between an engine and runc."""
    return "#!/usr/bin/python3 -IS\n" + source.replace("@PROFILE@", profile)


def differing(desired: list[File], seen: Mapping[str, Mapping[str, object]]) -> list[File]:
    """Those of the desired files that are not so on the host. seen: path → `look`."""
    return [file for file in desired if not _same(file, seen.get(file.path) or {})]


def _same(file: File, seen: Mapping[str, object]) -> bool:
    if file.link:
        return seen.get("link") == file.link
    return seen.get("text") == file.content and seen.get("mode") == file.mode and seen.get("uid") == 0 and not seen.get("link")
