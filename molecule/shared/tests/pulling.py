# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers for tests of hosts that pull their own configuration: a repository on the host, and the metrics of the agent."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml
from conftest import REPOSITORY
from testinfra.host import Host

FLEET = "/srv/fleet"
METRICS = "/var/lib/prometheus/node-exporter"
# A profile of the desired state. MAKE_DRIFT allows one more system call each time: it changes the action for those that no list contains.
DRIFTED_FILE = "/etc/docker/seccomp/bulkhead-default.json"
MAKE_DRIFT = f"sed -i '0,/SCMP_ACT_ERRNO/s//SCMP_ACT_LOG/' {DRIFTED_FILE}"
# The part of a clone that a host needs. A fleet's repository adds its own inventory.
PACKED = ("ansible.cfg", "playbooks", "roles", "collections/ansible_collections/bulkhead/docker")
# Lists all files of the agent on a host.
LIST_AGENT_FILES = (
    "ls -d /etc/bulkhead/pull-agent* /etc/systemd/system/*bulkhead-pull* /usr/local/libexec/bulkhead/* /var/lib/bulkhead/pull"
    f" /var/lib/bulkhead/pull-agent* {METRICS}/bulkhead* 2>/dev/null"
)


def run_at_origin(host: Host, command: str) -> str:
    return host.check_output(f"cd {FLEET} && {command}")


def make_origin(host: Host, inventory: str) -> None:
    """Create a repository without commits on the host. It contains the project and an inventory with this host."""
    with open(inventory, encoding="utf-8") as handle:
        ((name, connection),) = yaml.safe_load(handle)["all"]["children"]["docker_hosts"]["hosts"].items()
    host.check_output(f"rm -rf {FLEET} && mkdir -p {FLEET}/inventory")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKED], cwd=REPOSITORY, capture_output=True, check=True
    )
    packed = subprocess.run(["tar", "-cz", "--null", "-T", "-"], cwd=REPOSITORY, input=listed.stdout, capture_output=True, check=True)
    ssh = [
        "ssh",
        *str(connection["ansible_ssh_common_args"]).split(),
        "-i",
        connection["ansible_ssh_private_key_file"],
        "-p",
        str(connection["ansible_port"]),
    ]
    subprocess.run([*ssh, f"root@{connection['ansible_host']}", f"tar -xz -C {FLEET}"], input=packed.stdout, check=True)
    hosts = yaml.safe_dump({"docker_hosts": {"hosts": {name: {}}}})
    run_at_origin(host, f"cat > inventory/hosts.yml <<'END'\n{hosts}END\ngit init -q -b main")


def commit_all(host: Host, message: str, *settings: str) -> str:
    """Sign and commit all files with these settings of git; return the commit's hash."""
    options = " ".join(f"-c {setting}" for setting in ("user.name=x", "user.email=x@example.com", *settings))
    return run_at_origin(host, f"git add -A && git {options} commit -q -S -a --allow-empty -m '{message}' && git rev-parse HEAD")


def render_variables(**settings: str) -> str:
    """Return variables of the role as one argument of -e."""
    named = {f"pull_agent_{name}": value for name, value in settings.items()}
    return yaml.safe_dump(named, default_flow_style=True, width=10_000).strip()


def read_metrics(host: Host) -> dict[str, str]:
    """Return every sample that node_exporter would read, with its value."""
    text = host.run(f"cat {METRICS}/*.prom").stdout
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def format_result(found: dict[str, Any]) -> str:
    """Return the reason of the last run's failure, and 1 if it succeeded."""
    (name,) = [name for name in found if name.startswith("bulkhead_pull_ok")]
    return f"{name.partition('reason=')[2]} {found[name]}"
