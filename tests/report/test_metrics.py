# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics, read by the parser of Prometheus' own client library; the example alerts ask for metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.pull import agent
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import prometheus, publish
from ansible_collections.bulkhead.docker.tests.unit.plugins.plugin_utils.report import samples
from prometheus_client.parser import text_string_to_metric_families

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"


def test_prometheus_reads_the_metrics_hostile_names_too(tmp_path: Path) -> None:
    without = samples.container("p", opted_out=["userns"])
    played = samples.attack("a", {"bpf": {"none": "succeeded", "host": "succeeded"}}, unmet=["bpf is stopped by 0 layers"])
    samples.lay(tmp_path, samples.verify("a", containers=[without]), samples.verify(samples.HOSTILE), samples.unreachable('b\\"c'), played)
    samples.lay(tmp_path, samples.verify("d", drift=[]), samples.denials("d", samples.denial(samples.HOSTILE)))
    publish.publish(tmp_path, None, samples.NOW, samples.DAY, "1", "0")
    families = {family.name: family for family in text_string_to_metric_families((tmp_path / publish.METRICS).read_text())}
    assert set(families) == set(prometheus.METRICS)
    assert {family.type for family in families.values()} == {"gauge"}
    hosts = {sample.labels["host"] for sample in families["bulkhead_host_verified"].samples}
    assert len(hosts) == 4
    assert 'b\\"c' in hosts
    assert families["bulkhead_report_timestamp_seconds"].samples[0].value == samples.NOW


def test_the_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        named = set(re.findall(r"\bbulkhead_\w+", rule["expr"]))
        assert named
        assert named <= {*prometheus.METRICS, *agent.METRICS}, rule["alert"]
        ours = {"host", "layer", "status", "condition", "container"} if named <= set(prometheus.METRICS) else {"instance", "reason"}
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= ours
