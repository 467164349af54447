# SPDX-License-Identifier: GPL-3.0-or-later
"""A user who already has a rootless engine, on a host whose rootful engine stays: their files and ranges are kept, both engines are
judged, and a rollback restores the previous state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MAKE_IMAGE, Verification
from rootless import VARIABLES, assert_all_enforced, assert_confined, inspect_engine
from testinfra.host import Host

USER = "ada"
OWN = (
    *VARIABLES,
    "-e",
    f"rootless_docker_user={USER}",
    "-e",
    "rootless_docker_disable_rootful=false",
    "-e",
    "rootless_docker_first_port=80",
)
# A home, a shell, a group and ranges that differ from those the role creates, and an engine with another storage driver.
SET_UP = f"""
set -e
groupadd crew
useradd --create-home --home-dir /srv/{USER} --gid crew --shell /bin/dash {USER}
sed -i '/^{USER}:/d' /etc/subuid /etc/subgid
echo {USER}:400000:70000 | tee -a /etc/subuid >> /etc/subgid
loginctl enable-linger {USER}
uid=$(id -u {USER})
for i in $(seq 120); do [ -S /run/user/$uid/bus ] && break; sleep 0.5; done
su - {USER} -c 'bash -s' <<'END_OF_OWN'
set -e
export XDG_RUNTIME_DIR=/run/user/$(id -u)
export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock
mkdir -p .config/docker .config/systemd/user .docker
printf '{{"labels": ["team=crew"],\n   "log-opts": {{"max-size": "7m"}}, "storage-driver": "fuse-overlayfs"}}' > .config/docker/daemon.json
printf '{{\n\t"auths": {{\n\t\t"registry.example": {{}}\n\t}}\n}}' > .docker/config.json
cat > .config/systemd/user/docker.service <<'END_OF_UNIT'
[Service]
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/usr/share/docker.io/contrib/dockerd-rootless.sh
Type=notify
NotifyAccess=all
Restart=always
Delegate=yes
KillMode=mixed
[Install]
WantedBy=default.target
END_OF_UNIT
systemctl --user daemon-reload
systemctl --user enable --now docker.service
docker context create rootless --description mine --docker host=$DOCKER_HOST
{MAKE_IMAGE}
docker run --detach --name mine --restart always --network none testimage
END_OF_OWN
"""
# Lists everything that could change: mode, owner and content of each of the user's files.
LIST_STATE = f"""
cd /srv/{USER}
find . -path ./.local/share/docker -prune -o -type f -exec stat -c '%n %a %U %G' {{}} + ! -name daemon.json -exec sha256sum {{}} + -o -type l -print | sort
python3 -m json.tool .config/docker/daemon.json  # its layout may differ where a value was changed
grep ^{USER}: /etc/subuid /etc/subgid /etc/passwd; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
ls /var/lib/systemd/linger /etc/systemd/user /etc/systemd/system /etc/sysctl.d /etc/profile.d /etc/modules-load.d /usr/local/libexec
systemctl is-enabled docker.service docker.socket; systemctl is-active docker.service
systemctl --user -M {USER}@ is-active docker.service; systemctl --user -M {USER}@ is-enabled docker.service
docker -H unix:///run/user/$(id -u {USER})/docker.sock ps --format '{{{{.Names}}}}'
"""


@pytest.fixture(scope="module")
def before(host: Host) -> str:
    host.check_output(SET_UP)
    return str(host.run(LIST_STATE).stdout)


@pytest.fixture(scope="module")
def hardened(before: str, playbook: Callable[..., Any]) -> Iterator[None]:
    # The user's manager is restarted to delegate more controllers, and with it the containers.
    done = playbook("harden", *OWN, "-e", "bulkhead_verify=false", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    yield


def test_both_engines_are_verified(host: Host, hardened: None, verify: Callable[..., Verification]) -> None:
    verification = verify(*OWN)
    assert_all_enforced(verification)
    engines = {engine["user"]: engine for engine in verification.report["verification"]["engines"]}
    assert {user: engine["judged"] for user, engine in engines.items()} == {USER: True, "root": False}
    other = {layer["layer"]: layer["status"] for layer in engines["root"]["layers"]}
    assert (other["apparmor"], other["capabilities"], other["no_new_privileges"]) == ("enforced", "enforced", "absent"), other
    assert "a rootful engine runs too, as the inventory allows; its defaults that are not enforced: pids_limit" in verification.output
    # The user's unit has no managed PATH, so containers that were created with `runc` bypass the runtime. The report contains that.
    mine = {verdict["layer"]: verdict["status"] for verdict in verification.container("mine")["layers"]}
    assert (mine["apparmor"], mine["seccomp"], mine["pids_limit"]) == ("absent", "enforced", "enforced")


def test_new_containers_are_confined_in_the_users_own_storage(host: Host, hardened: None) -> None:
    assert_confined(inspect_engine(host, "brief", user=USER))
    assert host.check_output(f"docker -H unix:///run/user/$(id -u {USER})/docker.sock info -f '{{{{.Driver}}}}'") == "fuse-overlayfs"
    assert host.check_output(f"cut -d' ' -f1,2 /proc/$(pgrep -x -u {USER} dockerd)/uid_map | wc -l") == "2"


def test_a_rollback_does_not_stop_containers_unasked(host: Host, hardened: None, playbook: Callable[..., Any]) -> None:
    done = playbook("rollback")
    assert done.returncode != 0 and "1 containers run in it; stop them first" in done.stdout, done.stdout[-3000:]


def test_a_rollback_restores_the_previous_state(host: Host, before: str, hardened: None, playbook: Callable[..., Any]) -> None:
    done = playbook("rollback", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    assert host.run(LIST_STATE).stdout == before
