# SPDX-License-Identifier: GPL-3.0-or-later
"""A user who has an engine of his own already, beside a rootful one that stays: his files and ranges are kept, all engines are judged, and taking it
back brings back what there was."""

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
# A home, a shell, a group and ranges that are not what we would have made; an engine that he set up himself, with a storage driver of his choice.
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
# All that could be touched, each file of his by mode, owner and content.
STATE = f"""
cd /srv/{USER}
find . -path ./.local/share/docker -prune -o -type f -exec stat -c '%n %a %U %G' {{}} + ! -name daemon.json -exec sha256sum {{}} + -o -type l -print | sort
python3 -m json.tool .config/docker/daemon.json  # its layout may be another where a value had been changed
grep ^{USER}: /etc/subuid /etc/subgid /etc/passwd; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
ls /var/lib/systemd/linger /etc/systemd/user /etc/systemd/system /etc/sysctl.d /etc/profile.d /etc/modules-load.d /usr/local/libexec
systemctl is-enabled docker.service docker.socket; systemctl is-active docker.service
systemctl --user -M {USER}@ is-active docker.service; systemctl --user -M {USER}@ is-enabled docker.service
docker -H unix:///run/user/$(id -u {USER})/docker.sock ps --format '{{{{.Names}}}}'
"""


@pytest.fixture(scope="module")
def before(host: Host) -> str:
    host.check_output(SET_UP)
    return str(host.run(STATE).stdout)


@pytest.fixture(scope="module")
def hardened(before: str, playbook: Callable[..., Any]) -> Iterator[None]:
    # His manager is restarted, to delegate more, and with it what runs.
    done = playbook("harden", *OWN, "-e", "bulkhead_verify=false", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    yield


def test_his_engine_is_hardened_and_so_is_said_of_the_one_beside_it(host: Host, hardened: None, verify: Callable[..., Verification]) -> None:
    verification = verify(*OWN)
    assert_all_enforced(verification)
    engines = {engine["user"]: engine for engine in verification.report["verification"]["engines"]}
    assert {user: engine["judged"] for user, engine in engines.items()} == {USER: True, "root": False}
    beside = {layer["layer"]: layer["status"] for layer in engines["root"]["layers"]}
    assert (beside["apparmor"], beside["capabilities"], beside["no_new_privileges"]) == ("enforced", "enforced", "absent"), beside
    assert "a rootful engine runs too, as the inventory allows; its defaults that are not enforced: pids_limit" in verification.output
    # His unit has no PATH of ours, so that what was made under `runc` before goes round the runtime: that is said.
    mine = {verdict["layer"]: verdict["status"] for verdict in verification.container("mine")["layers"]}
    assert (mine["apparmor"], mine["seccomp"], mine["pids_limit"]) == ("absent", "enforced", "enforced")


def test_what_he_starts_is_confined_in_his_own_storage(host: Host, hardened: None) -> None:
    assert_confined(inspect_engine(host, "brief", user=USER))
    assert host.check_output(f"docker -H unix:///run/user/$(id -u {USER})/docker.sock info -f '{{{{.Driver}}}}'") == "fuse-overlayfs"
    assert host.check_output(f"cut -d' ' -f1,2 /proc/$(pgrep -x -u {USER} dockerd)/uid_map | wc -l") == "2"


def test_containers_are_not_stopped_unasked(host: Host, hardened: None, playbook: Callable[..., Any]) -> None:
    done = playbook("rollback")
    assert done.returncode != 0 and "1 containers run in it; stop them first" in done.stdout, done.stdout[-3000:]


def test_what_there_was_is_back(host: Host, before: str, hardened: None, playbook: Callable[..., Any]) -> None:
    done = playbook("rollback", "-e", "rootless_docker_stop_containers=true")
    assert done.returncode == 0, done.stdout[-4000:]
    assert host.run(STATE).stdout == before
