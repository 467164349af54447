# SPDX-License-Identifier: GPL-3.0-or-later
"""Cause faults in egress rules: nft is missing, the power is cut while the rules change, and attacks over the network are killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from conftest import MAKE_IMAGE, run_playbook
from egress_layer import DISABLED, REQUIRED, TABLE, EgressLayer, layer, loaded, read_table
from reboot import wait_for_boot
from testinfra.host import Host

__all__ = ["layer", "loaded"]  # fixtures

RULES = "/var/lib/bulkhead/egress.nft"
ATTACKS_BOOK = """
- hosts: docker_hosts
  gather_facts: false
  become: true
  tasks:
    - bulkhead.docker.network_attacks: {configurations: []}
"""
# The power is cut when nft has removed the table: its input then has no chain. The mount does not outlive that.
CUT_REMOVAL = """
set -e
nft=$(command -v nft)
cp $nft /root/nft.real
cat > /root/nft <<'EOF'
#!/bin/sh
[ "$*" = "-f -" ] || exec /root/nft.real "$@"
text=$(cat)
printf '%s\\n' "$text" | /root/nft.real -f - || exit
case $text in *chain*) ;; *) echo b > /proc/sysrq-trigger ;; esac
EOF
chmod +x /root/nft
mount --bind /root/nft $nft
"""
# With pipelining, the module's process has no name of its own. The record of its containers names it.
KILLER = """
for _ in $(seq 600); do
  if [ -n "$(docker ps -q -f name=bulkhead-network-.*-none$)" ]; then
    ip -br link show bulkhead-n0 > /root/killed
    kill -KILL $(grep -ho '"owner": "[0-9]*' /var/lib/bulkhead/temporary/*.json | tr -dc 0-9)
    exit
  fi
  sleep 0.2
done
"""
OWN = "nft list tables; ls /sys/class/net; ip route; ls /run/netns; docker ps -aq | sort; docker images -q | sort; docker network ls -q | sort"


def test_without_nft_nothing_is_touched(host: Host, layer: EgressLayer, loaded: list[list[str]]) -> None:
    nft, before = host.check_output("command -v nft"), host.check_output(f"stat -c %Y {RULES}")
    host.check_output(f"mv {nft} {nft}.away")
    try:
        layer.apply({**REQUIRED, "container_egress_presets": ["metadata", "host"]})
        assert layer.code and layer.output.count("nft is not installed; install the package nftables") == 1, layer.output
        assert host.check_output(f"stat -c %Y {RULES}") == before
    finally:
        host.check_output(f"mv {nft}.away {nft}")
    assert read_table(host) == loaded


def cut_power(host: Host, act: Callable[[], object]) -> None:
    """Return after the machine was cut off by `act` and has booted."""
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    host.check_output("sync")  # the file system of the lab has no journal
    with suppress(RuntimeError, AssertionError):
        act()
    wait_for_boot(host, boot, "docker version >/dev/null")


def test_a_power_cut_before_the_kernel_has_the_new_rules(host: Host, layer: EgressLayer, loaded: list[list[str]]) -> None:
    assert "denied_host" not in str(loaded)
    cut = "/run/systemd/system/bulkhead-egress.service.d"
    # What the module starts after it has written the files. The folder is in memory, so the next boot does not have it.
    host.check_output(
        f"mkdir -p {cut} && printf '[Service]\\nExecStartPre=/bin/sh -c \"echo b > /proc/sysrq-trigger\"\\n' > {cut}/cut.conf"
    )
    cut_power(host, lambda: layer.apply({**REQUIRED, "container_egress_presets": ["metadata", "host"]}))
    assert layer.code, layer.output
    assert "denied_host" in host.check_output(TABLE), "the boot loads the file"


def test_a_power_cut_before_the_file_is_removed(host: Host, layer: EgressLayer, loaded: list[list[str]]) -> None:
    """The module ends the start at boot and removes the table, and then the files."""
    host.check_output(CUT_REMOVAL)
    cut_power(host, lambda: layer.apply(DISABLED))
    assert layer.code, layer.output
    assert host.run(TABLE).rc != 0 and host.file(RULES).exists
    assert layer.apply(DISABLED)["changes"] == [], layer.output
    assert not host.file(RULES).exists


def test_the_next_attacks_remove_what_killed_ones_left(host: Host, inventory: str, tmp_path: Path) -> None:
    host.check_output(MAKE_IMAGE)
    book = tmp_path / "book.yml"
    book.write_text(ATTACKS_BOOK)
    before = host.check_output(OWN)
    host.check_output("nohup bash -c %s >/dev/null 2>&1 &", KILLER)
    killed = run_playbook(inventory, book)
    assert killed.returncode and "bulkhead-n0" in host.check_output("cat /root/killed"), killed.stdout
    # Devices and routes end with the process. The engine's objects are left.
    assert "bulkhead-n0" not in host.check_output("ip link; ip route")
    assert "bulkhead-network-" in host.check_output("docker ps -a && docker network ls && docker images")
    assert "bulkhead_attack" in host.check_output("nft list tables")
    done = run_playbook(inventory, book)
    assert done.returncode == 0, done.stdout
    assert host.check_output(OWN) == before
    assert not host.file("/var/lib/bulkhead/temporary").exists
