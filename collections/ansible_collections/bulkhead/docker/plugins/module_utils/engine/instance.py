# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of a host, rootful or a user's rootless one, and everything that differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..host.root import STATE_DIR, Host, Owner

# systemd.unit(5), without generators and transient folders.
SYSTEM_UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
USER_UNITS = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
SCOPE_DROP_IN = "docker-.scope.d/10-bulkhead-pids.conf"


@dataclass(frozen=True)
class Instance:
    """One engine. user: owner of the rootless engine, empty for the rootful one. uid, gid: None while the user does not exist."""

    user: str = ""
    uid: int | None = 0
    gid: int | None = 0
    home: str = ""

    @property
    def rootless(self) -> bool:
        return bool(self.user)

    @property
    def runtime_dir(self) -> str:
        """XDG_RUNTIME_DIR of the user (pam_systemd(8))."""
        return f"/run/user/{'UID' if self.uid is None else self.uid}"

    @property
    def socket(self) -> str:
        return f"{self.runtime_dir}/docker.sock" if self.rootless else "/var/run/docker.sock"

    @property
    def config(self) -> str:
        """Path of the daemon.json that the engine reads by default."""
        return f"{self.home}/.config/docker/daemon.json" if self.rootless else "/etc/docker/daemon.json"

    @property
    def subject(self) -> str:
        """Name of its state file."""
        return f"daemon-{self.user}" if self.rootless else "daemon"

    @property
    def record_path(self) -> str:
        return f"{STATE_DIR}/{self.subject}.json"

    @property
    def drop_in(self) -> str:
        """Path of the drop-in with the default PIDs limit. That of user managers is root's, so that the user cannot edit it."""
        return f"/etc/systemd/{'user' if self.rootless else 'system'}/{SCOPE_DROP_IN}"

    @property
    def unit_dirs(self) -> tuple[str, ...]:
        return (f"{self.home}/.config/systemd/user", *USER_UNITS) if self.rootless else SYSTEM_UNITS

    @property
    def unit(self) -> str:
        """Name of the service, for messages."""
        return f"docker.service of {self.user}" if self.rootless else "docker.service"

    @property
    def manager_cgroup(self) -> str:
        """The cgroup of the user's service manager, above those of the user's containers."""
        return f"/sys/fs/cgroup/user.slice/user-{self.uid}.slice/user@{self.uid}.service"

    @property
    def owner(self) -> Owner | None:
        """None for the rootful engine, and while the user does not exist."""
        return None if not self.rootless or self.uid is None or self.gid is None else Owner(self.home, self.uid, self.gid)

    def scope_host(self, host: Host) -> Host:
        """Return the host with access below the user's home as that user only."""
        return Host(host.root, (self.owner,)) if self.owner else host

    def explain_misplaced(self, config: str) -> str | None:
        """Return why this daemon.json is not accepted; None when it is. A user's unit may name any file."""
        if not self.rootless or config.startswith(f"{self.home}/"):
            return None
        return (
            f"{config}: --config-file or XDG_CONFIG_HOME of {self.unit}: is outside of {self.home}, and root reads and writes no other file for a"
            f" user; write a path below {self.home}, or remove the setting to use {self.config}"
        )

    def owns_process(self, daemon: Mapping[str, Any]) -> bool:
        """Return whether a dockerd process (engine/processes.py) is of this engine."""
        return bool(daemon["rootless"]) == self.rootless and (not self.rootless or daemon["uid"] == self.uid)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


ROOTFUL = Instance()


def get_observed_instance(observed: Mapping[str, Any]) -> Instance:
    """Return the engine that an observation describes."""
    known = observed.get("instance")
    return Instance(**known) if known else ROOTFUL


def find_instance(host: Host, user: str | None) -> Instance:
    """Return the rootless engine of `user`; the rootful one for None and an empty name."""
    if not user:
        return ROOTFUL
    if host.root == Host().root:
        import pwd  # accounts of a network directory as well

        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            return Instance(user, None, None, f"/home/{user}")
        return Instance(user, entry.pw_uid, entry.pw_gid, entry.pw_dir.rstrip("/"))
    for line in (host.read("/etc/passwd") or "").splitlines():
        fields = line.split(":")
        if len(fields) > 5 and fields[0] == user:
            return Instance(user, int(fields[2]), int(fields[3]), fields[5].rstrip("/"))
    return Instance(user, None, None, f"/home/{user}")
