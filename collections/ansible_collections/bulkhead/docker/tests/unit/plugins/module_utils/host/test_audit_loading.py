# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.host import audit_loading
from ansible_collections.bulkhead.docker.plugins.module_utils.host.audit_loading import (
    AuditLoading,
    Watch,
    apply_rules,
    build_rule,
    list_managed,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.host.audit_rules import FOLDERS, RULES, observe_rules
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host

from ...builders import write_files
from ..layers.audit_host import pack_rule, watch

TEXTS = ("-w /a\n", "d /run/a\n")


class Kernel:
    """A kernel that keeps rules. rejected: paths that it does not accept."""

    def __init__(self, *rules: bytes) -> None:
        self.rules, self.rejected = list(rules), set[str]()

    def read(self) -> bytes:
        messages = [(1000, b"\0" * 32), *((1013, self.clear(rule)) for rule in self.rules), (3, b"")]
        return b"".join(struct.pack("=IHHII", 16 + len(d), k, 0, 1, 0) + d + b"\0" * (-len(d) % 4) for k, d in messages)

    def clear(self, rule: bytes) -> bytes:
        """Return a rule as the kernel lists it: without classes of system calls."""
        return rule[: 12 + 63 * 4] + struct.pack("=I", 0xFFFF) + rule[12 + 64 * 4 :]

    def send(self, loading: AuditLoading, kind: int, rule: Watch, data: bytes) -> bool:
        if rule[0] in self.rejected:
            loading.failed[rule] = "Operation not permitted"
            return False
        if kind == 1011:
            self.rules.append(data)
        else:
            self.rules = [each for each in self.rules if self.clear(each) != self.clear(data)]
        return True


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel(watch("/a"), build_rule("/b", False), build_rule("/c", True))
    monkeypatch.setattr(audit_loading, "read_kernel", found.read)
    monkeypatch.setattr(audit_loading, "_send", found.send)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc/audit/rules.d").mkdir(parents=True)
    return Host(tmp_path)


def test_the_kernel_gets_and_loses_single_rules(host: Host, kernel: Kernel) -> None:
    loading = apply_rules(host, [("/a", False), ("/b", False)], TEXTS, True, False)
    assert (loading.added, loading.removed, loading.changed) == ([("/a", False)], [("/c", True)], True)
    assert kernel.rules == [watch("/a"), build_rule("/b", False), build_rule("/a", False)]
    assert [host.read(path) for path in (RULES, FOLDERS)] == list(TEXTS)
    assert (host.path(RULES).stat().st_mode & 0o777, host.path(FOLDERS).stat().st_mode & 0o777) == (0o640, 0o644)
    assert not apply_rules(host, [("/a", False), ("/b", False)], TEXTS, True, False).changed


def test_a_file_is_no_folder(host: Host, kernel: Kernel) -> None:
    loading = apply_rules(host, [("/b", True), ("/c", True)], TEXTS, True, False)
    assert (loading.added, loading.removed) == ([("/b", True)], [("/b", False)])


def test_nothing_listed_restores_the_host(host: Host, kernel: Kernel) -> None:
    other = host.path("/etc/audit/rules.d/mine.rules")
    other.write_text("-w /a\n")
    apply_rules(host, [("/b", False)], TEXTS, True, False)
    apply_rules(host, [], ("", ""), True, False)
    assert kernel.rules == [watch("/a")]
    assert (host.read(RULES), host.read(FOLDERS), other.read_text()) == (None, None, "-w /a\n")


def test_check_mode_changes_nothing(host: Host, kernel: Kernel) -> None:
    before = list(kernel.rules)
    loading = apply_rules(host, [("/a", False)], TEXTS, True, True)
    assert (loading.added, loading.changed) == ([("/a", False)], True)
    assert (kernel.rules, host.read(RULES), host.path("/var").exists()) == (before, None, False)


def test_an_immutable_kernel_is_not_changed(host: Host, kernel: Kernel) -> None:
    before = list(kernel.rules)
    loading = apply_rules(host, [("/a", False)], TEXTS, False, False)
    assert (loading.added, loading.removed, loading.changed, kernel.rules) == ([], [], True, before)


def test_one_rejected_rule_does_not_stop_the_others(host: Host, kernel: Kernel) -> None:
    kernel.rejected = {"/a"}
    loading = apply_rules(host, [("/a", False), ("/d", False)], TEXTS, True, False)
    assert (loading.added, loading.failed) == ([("/d", False)], {("/a", False): "Operation not permitted"})


@pytest.mark.parametrize(
    "rule",
    [
        watch("/a"),
        pack_rule([(105, 2), (106, 10)], b"/a"),
        pack_rule([(105, 2), (106, 2), (210, 15)], b"/abulkhead-docker"),
        pack_rule([(105, 2), (106, 10), (210, 15), (9, 0)], b"/abulkhead-docker"),
        pack_rule([(105, 2), (106, 10), (210, 15)], b"/abulkhead-docker", action=0),
        pack_rule([(105, 2), (106, 10), (210, 15)], b"/abulkhead-docker", mask=1),
        pack_rule([(1, 2), (106, 10), (210, 15)], b"bulkhead-docker"),
    ],
)
def test_a_rule_of_another_form_is_not_managed(rule: bytes) -> None:
    assert list_managed(Kernel(rule, build_rule("/b", True)).read()) == [(("/b", True), Kernel().clear(build_rule("/b", True)))]


def test_an_error_of_the_kernel_is_raised() -> None:
    with pytest.raises(OSError, match="Operation not permitted"):
        list_managed(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1))


def test_what_is_observed(host: Host) -> None:
    write_files(host, dict.fromkeys(("/usr/bin/containerd", "/sbin/auditctl", "/opt/data/x"), ""))
    host.path("/usr/bin/runc").symlink_to("containerd")
    host.path(RULES).write_text("text")
    found = observe_rules(host, dockerd="/usr/sbin/dockerd", data_root="/opt/data")
    assert (found["installed"], found["texts"]) == (True, ["text", None])
    assert found["places"]["data_root"] == ("/opt/data", "/opt/data")
    assert found["places"]["dockerd"] == ("/usr/sbin/dockerd", None)
    assert found["places"]["/usr/bin/runc"] == ("/usr/bin/runc", "/usr/bin/containerd")
    host.path("/sbin/auditctl").unlink()
    assert not observe_rules(host)["installed"]
