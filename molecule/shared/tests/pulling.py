# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of hosts that pull their own configuration share: a repository on the host itself, and what the agent says."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml
from conftest import REPOSITORY
from testinfra.host import Host

FLEET = "/srv/fleet"
METRICS = "/var/lib/prometheus/node-exporter"
# Of a profile that the inventory wants, the answer to what is not in its list: one more syscall let through, each time.
DRIFTS = "/etc/docker/seccomp/bulkhead-default.json"
DRIFT = f"sed -i '0,/SCMP_ACT_ERRNO/s//SCMP_ACT_LOG/' {DRIFTS}"
# What a clone of the project holds and a host needs; a fleet's repository has its own inventory beside it.
PACKED = ("ansible.cfg", "playbooks", "roles", "collections/ansible_collections/bulkhead/docker")
# All that is the agent's on a host.
LEFT = (
    "ls -d /etc/bulkhead/pull-agent* /etc/systemd/system/*bulkhead-pull* /usr/local/libexec/bulkhead/* /var/lib/bulkhead/pull"
    f" /var/lib/bulkhead/pull-agent* {METRICS}/bulkhead* 2>/dev/null"
)


def at_origin(host: Host, command: str) -> str:
    return host.check_output(f"cd {FLEET} && {command}")


def make_origin(host: Host, inventory: str) -> None:
    """The project, with an inventory that names this host, in a repository on the host that has no commit yet."""
    with open(inventory, encoding="utf-8") as handle:
        ((name, reach),) = yaml.safe_load(handle)["all"]["children"]["docker_hosts"]["hosts"].items()
    host.check_output(f"rm -rf {FLEET} && mkdir -p {FLEET}/inventory")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKED], cwd=REPOSITORY, capture_output=True, check=True
    )
    packed = subprocess.run(["tar", "-cz", "--null", "-T", "-"], cwd=REPOSITORY, input=listed.stdout, capture_output=True, check=True)
    ssh = [
        "ssh",
        *str(reach["ansible_ssh_common_args"]).split(),
        "-i",
        reach["ansible_ssh_private_key_file"],
        "-p",
        str(reach["ansible_port"]),
    ]
    subprocess.run([*ssh, f"root@{reach['ansible_host']}", f"tar -xz -C {FLEET}"], input=packed.stdout, check=True)
    hosts = yaml.safe_dump({"docker_hosts": {"hosts": {name: {}}}})
    at_origin(host, f"cat > inventory/hosts.yml <<'END'\n{hosts}END\ngit init -q -b main")


def commit(host: Host, message: str, *settings: str) -> str:
    """Sign and commit all of it with these settings of git; gives the commit's hash."""
    options = " ".join(f"-c {setting}" for setting in ("user.name=x", "user.email=x@example.com", *settings))
    return at_origin(host, f"git add -A && git {options} commit -q -S -a --allow-empty -m '{message}' && git rev-parse HEAD")


def wish(**settings: str) -> str:
    """Variables of the role, as one extra variable of a playbook."""
    named = {f"pull_agent_{name}": value for name, value in settings.items()}
    return yaml.safe_dump(named, default_flow_style=True, width=10_000).strip()


def metrics(host: Host) -> dict[str, str]:
    """Sample → value of all that node_exporter would show."""
    text = host.run(f"cat {METRICS}/*.prom").stdout
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def ok(found: dict[str, Any]) -> str:
    """Why the last try went wrong, and whether it went well."""
    (name,) = [name for name in found if name.startswith("bulkhead_pull_ok")]
    return f"{name.partition('reason=')[2]} {found[name]}"
