# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine of a host is meant: the rootful one, or the rootless one of a user. Everything that differs between them stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..host.root import STATE_DIR, Host, Owner

# systemd.unit(5), "System Unit Search Path" and "User Unit Search Path", without generators and the transient folders.
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
    """One engine. user: whose rootless engine it is, empty for the rootful one. uid is None where there is no such user (yet)."""

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
        """The daemon.json that the engine reads when no flag names another."""
        return f"{self.home}/.config/docker/daemon.json" if self.rootless else "/etc/docker/daemon.json"

    @property
    def subject(self) -> str:
        """Under which name its configuration is remembered in /var/lib/bulkhead."""
        return f"daemon-{self.user}" if self.rootless else "daemon"

    @property
    def memory(self) -> str:
        return f"{STATE_DIR}/{self.subject}.json"

    @property
    def drop_in(self) -> str:
        """The default PIDs limit's. The user managers' folder is root's, so that the user can't lift the limit by editing it."""
        return f"/etc/systemd/{'user' if self.rootless else 'system'}/{SCOPE_DROP_IN}"

    @property
    def unit_dirs(self) -> tuple[str, ...]:
        return (f"{self.home}/.config/systemd/user", *USER_UNITS) if self.rootless else SYSTEM_UNITS

    @property
    def unit(self) -> str:
        """The service, as a person would name it."""
        return f"docker.service of {self.user}" if self.rootless else "docker.service"

    @property
    def manager_cgroup(self) -> str:
        """The cgroup of the user's service manager, below which his containers run."""
        return f"/sys/fs/cgroup/user.slice/user-{self.uid}.slice/user@{self.uid}.service"

    @property
    def owner(self) -> Owner | None:
        """The user whose engine it is; None for the rootful one, and where there is no such user (yet)."""
        return None if not self.rootless or self.uid is None or self.gid is None else Owner(self.home, self.uid, self.gid)

    def scope_host(self, host: Host) -> Host:
        """The host, with what is below the user's home touched only as that user."""
        return replace(host, owners=(self.owner,)) if self.owner else host

    def explain_misplaced(self, config: str) -> str | None:
        """Why this daemon.json is not touched; None when it may be. A user's unit may name any file, and root would read and write it."""
        if not self.rootless or config.startswith(f"{self.home}/"):
            return None
        return (
            f"{config}: --config-file of {self.unit}: is outside of {self.home}, and root touches no other file for a user; write a path"
            f" below {self.home}, or take the flag out, so that {self.config} is read"
        )

    def owns_process(self, daemon: Mapping[str, Any]) -> bool:
        """Whether a dockerd process (engine/processes.py) is this engine's."""
        return bool(daemon["rootless"]) == self.rootless and (not self.rootless or daemon["uid"] == self.uid)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


ROOTFUL = Instance()


def get_observed_instance(observed: Mapping[str, Any]) -> Instance:
    """The engine that an observation is about."""
    known = observed.get("instance")
    return Instance(**known) if known else ROOTFUL


def find_instance_by_uid(host: Host, uid: int) -> Instance | None:
    """The rootless engine of the user with this ID; None where there is no such user."""
    if host.root == Host().root:
        import pwd

        try:
            return find_instance(host, pwd.getpwuid(uid).pw_name)
        except KeyError:
            return None
    lines = [line.split(":") for line in (host.read("/etc/passwd") or "").splitlines()]
    return next((find_instance(host, fields[0]) for fields in lines if fields[2:3] == [str(uid)]), None)


def find_instance(host: Host, user: str | None) -> Instance:
    """The rootless engine of `user`, with what the host says of him; the rootful one for None and an empty name."""
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
