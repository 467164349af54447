# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel counts what it denies to containers, by layer. Nothing is left of it after a removal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MAKE_IMAGE, build_wait
from testinfra.host import Host

Playbook = Callable[..., subprocess.CompletedProcess[str]]
RUNNING, REMOVED, IGNORED, TIMES = "counted-and-runs", "counted-and-removed", "counted-setuid", 30
PINS, UNIT = "/sys/fs/bpf/bulkhead/denials", "/etc/systemd/system/bulkhead-denials.service"
# The shell makes these calls itself. The PIDs limit is reached by the loop's children.
SCRIPT = "true > /x; true > /proc/sysrq-trigger; true < /proc/kcore; n=0; while [ $n -lt 30 ]; do true > /bin/x; n=$((n+1)); done"


@pytest.fixture(scope="module")
def counting(host: Host, playbook: Playbook) -> Iterator[None]:
    host.check_output(MAKE_IMAGE)
    host.check_output("mkdir -p /var/lib/bulkhead; ls /etc/systemd/system /sys/fs/bpf /var/lib/bulkhead > /root/before-counting")
    checked = playbook("count_denials", "--check")
    assert "changed=1" in checked.stdout, checked.stdout + checked.stderr
    assert not host.file(UNIT).exists
    for changed in ("changed=1", "changed=0"):
        done = playbook("count_denials")
        assert changed in done.stdout, done.stdout + done.stderr
    yield
    # The kernel reports how many messages it dropped when it logs the next one. Other tests count what is dropped later.
    host.run(f"sleep 6; docker exec {RUNNING} sh -c 'true > /bin/x'; sleep 1")
    host.run(f"docker rm -f {RUNNING} {REMOVED} {IGNORED}; rm -f /root/before-counting")


@pytest.mark.usefixtures("counting")
def test_denials_are_counted_with_container_and_layer(host: Host, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory) -> None:
    since = float(host.check_output("date +%s.%N"))
    run = "docker run --network none --name {} --security-opt apparmor={} {} testimage sh -c '{}'"
    options = "--read-only --cap-drop ALL --user 65534:65534"
    host.check_output(run.format(REMOVED, "docker-default", options, "true < /etc/shadow; true > /x; exit 0"))
    host.check_output(f"docker rm -f {REMOVED}")
    # A program of root with the setuid bit, executed by another user.
    own = "--network none --user 65534:65534 --security-opt no-new-privileges=true testimage id"
    host.check_output(f"docker create --name {IGNORED} {own}; tar -C /usr/bin -c --mode 4755 id | docker cp - {IGNORED}:/bin")
    assert "uid=65534" in host.check_output(f"docker start -a {IGNORED}")
    host.check_output(run.format(RUNNING, "bulkhead-web", "--detach", f"{SCRIPT}; echo all; sleep infinity"))
    host.check_output(build_wait(f"docker logs {RUNNING} | grep -q all", 60))
    folder = tmp_path_factory.mktemp("reports")
    done = playbook("denials", "-e", f"bulkhead_since={since}", "-e", f"bulkhead_report_dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("denials-*.json")
    report: dict[str, Any] = json.loads(path.read_text())["denials_info"]
    counted = [entry for entry in report["denials"] if entry["by"] == "counters"]
    layers = {(entry["container"]["name"], entry["layer"]) for entry in counted}
    assert (REMOVED, "read_only_root") in layers
    (ignored,) = [e for e in counted if e["layer"] == "no_new_privileges"]
    assert (ignored["container"]["name"], ignored["operation"], ignored["detail"]) == (IGNORED, "execve", "setuid ignored")
    assert ignored["count"] == 1
    assert (RUNNING, "masked_paths") in layers or (RUNNING, "apparmor") in layers
    # AppArmor's log has a part of its denials, with their path. Each counts once, whichever the log dropped.
    own = [e for e in report["denials"] if e["layer"] == "apparmor" and (e["container"] or {}).get("name") == RUNNING]
    written = sum(entry["count"] for entry in own if entry["operation"] in ("mknod", "openat"))
    assert TIMES <= written <= TIMES + 3, own
    assert not [gap for gap in report["gaps"] if gap["source"] == "counters"]


@pytest.mark.usefixtures("counting")
def test_nothing_is_left_after_the_removal(host: Host, playbook: Playbook) -> None:
    assert host.file(UNIT).exists and host.file(PINS).is_directory
    done = playbook("count_denials", "-e", "denial_counters_state=absent")
    assert done.returncode == 0, done.stdout + done.stderr
    after = host.check_output("ls /etc/systemd/system /sys/fs/bpf /var/lib/bulkhead")
    assert after == host.check_output("cat /root/before-counting")
