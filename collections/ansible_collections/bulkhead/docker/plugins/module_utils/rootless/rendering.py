# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the files that a rootless engine needs on a host. They belong to root: the engine's user cannot write them. Pure."""

from __future__ import annotations

import re

from .managed_files import ManagedFile
from .names import CONTROLLERS, ENABLED, LOGIN, MODULES, PORTS, PROFILE, ROOTLESSKIT, UNIT, WRAPPER, build_delegation_path

# Variables of dockerd-rootless.sh for each network driver. Without any it uses slirp4netns where that is installed. pasta publishes ports
# itself; 65520 is the script's own default for slirp4netns.
_NETWORKS: dict[str, tuple[str, ...]] = {
    "": (),
    "pasta": ("NET=pasta", "PORT_DRIVER=implicit"),
    "slirp4netns": ("NET=slirp4netns", "MTU=65520"),
}
_HEADER = "# Written by Bulkhead (role rootless_docker)"


def render_files(
    user: str,
    uid: int | None,
    script: str,
    network: str = "",
    wrapper: str | None = None,
    first_port: int | None = None,
    rootlesskit: str | None = None,
    own_unit: bool = True,
) -> list[ManagedFile]:
    """Return the files of one engine.

    wrapper: text of the OCI runtime, None without one. network: rootlesskit's driver where it is not the default. rootlesskit: its path
    where it needs a profile to create user namespaces. own_unit: whether to write the unit; a user's own docker.service would override it.
    """
    desired = [
        ManagedFile(
            build_delegation_path(uid),
            f"{_HEADER}.\n# The controllers with which the user's manager may limit containers.\n[Service]\nDelegate={' '.join(CONTROLLERS)}\n",
        ),
        ManagedFile(
            MODULES,
            f"{_HEADER}.\n# A rootless engine cannot load these itself. It filters traffic between containers with them.\nbr_netfilter\nip_tables\n",
        ),
        ManagedFile(LOGIN, render_login(user, uid)),
    ]
    if own_unit:
        desired += [ManagedFile(UNIT, render_unit(user, script, network, uid)), ManagedFile(ENABLED, link="../docker.service")]
    if wrapper is not None:
        desired.append(ManagedFile(WRAPPER, wrapper, 0o755))
    if first_port is not None:
        header = f"{_HEADER}, rootless_docker_first_port).\n# Every user may listen on ports from this one on.\n"
        desired.append(ManagedFile(PORTS, f"{header}net.ipv4.ip_unprivileged_port_start = {first_port}\n"))
    if rootlesskit is not None:
        desired.append(ManagedFile(ROOTLESSKIT, render_rootlesskit_profile(rootlesskit)))
    return desired


def is_plain(user: str) -> bool:
    """Return whether a name means itself in unit files and shell scripts, unlike names of a directory service with `@` or a backslash."""
    return re.fullmatch(r"[\w.-]+", user, re.ASCII) is not None


def render_unit(user: str, script: str, network: str = "", uid: int | None = None) -> str:
    """Return docker.service for users' managers; its condition selects one user.

    Restart settings are those of upstream's unit (moby contrib/dockerd-rootless-setuptool.sh). The wrapper's folder is first in PATH, so that
    the engine and its builds use the wrapper for plain `runc` too.
    """
    driver = "".join(f"Environment=DOCKERD_ROOTLESS_ROOTLESSKIT_{word}\n" for word in _NETWORKS[network])
    folder = WRAPPER.rpartition("/")[0]
    return f"""{_HEADER}.
[Unit]
Description=Docker engine of {user}, rootless
Documentation=https://docs.docker.com/go/rootless/
ConditionUser={user if is_plain(user) else uid}
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


def render_login(user: str, uid: int | None = None) -> str:
    """Return the login script that sets DOCKER_HOST for this user."""
    test = f'"$(id -un)" = "{user}"' if is_plain(user) else f'"$(id -u)" = {uid}'
    return f"""{_HEADER}: the engine of the docker client of {user}.
if [ {test} ]; then
  export DOCKER_HOST="unix://${{XDG_RUNTIME_DIR:-/run/user/$(id -u)}}/docker.sock"
fi
"""


def render_rootlesskit_profile(path: str) -> str:
    """Return a profile that allows user namespaces, for kernels that require one (Ubuntu's apparmor_restrict_unprivileged_userns)."""
    return f"""{_HEADER}.
abi <abi/4.0>,
include <tunables/global>

profile {PROFILE} {path} flags=(unconfined) {{
  userns,
}}
"""


def render_wrapper(source: str, profile: str) -> str:
    """Return the OCI runtime from rootless/oci_wrapper.py, isolated from environment and site folders."""
    return "#!/usr/bin/python3 -IS\n" + source.replace("@PROFILE@", profile)
