# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser of Prometheus' own client library reads the metrics. The example alerts use only existing metrics."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.bulkhead.docker.plugins.module_utils.pull import agent
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import prometheus, publish
from ansible_collections.bulkhead.docker.tests.unit.plugins.plugin_utils.report import samples
from prometheus_client.parser import text_string_to_metric_families

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"


def test_prometheus_reads_metrics_with_hostile_names(tmp_path: Path) -> None:
    usage = {"pids": {"source": "/sys/fs/cgroup/a", "limit_hits": 3}, "memory": {"source": "memory.events", "oom_kills": 0}}
    opted_out = samples.make_container(samples.HOSTILE, opted_out=["userns"], usage=usage)
    attacked = samples.make_attack("a", {"bpf": {"none": "succeeded", "host": "succeeded"}}, unmet=["bpf is stopped by 0 layers"])
    samples.write_reports(
        tmp_path,
        samples.make_verification("a", containers=[opted_out], controls=[samples.make_control()]),
        samples.make_verification(
            samples.HOSTILE,
            samples.make_layer("userns", "degraded", findings=[samples.make_finding("userns.off", status="degraded")]),
            containers=[samples.make_exposed(samples.HOSTILE)],
            policy=samples.make_policy(samples.make_waiver("userns.off"), samples.make_waiver(host=samples.HOSTILE)),
        ),
        samples.make_unreachable('b\\"c'),
        attacked,
    )
    samples.write_reports(
        tmp_path, samples.make_verification("d", drift=[]), samples.make_denials("d", samples.make_denial(samples.HOSTILE, new=True))
    )
    samples.write_recordings(tmp_path, samples.make_recorded_service(samples.HOSTILE))
    publish.publish_report(tmp_path, None, samples.NOW, samples.DAY, "1", "0")
    families = {family.name: family for family in text_string_to_metric_families((tmp_path / publish.METRICS).read_text())}
    # The parser removes the end of a counter's name.
    kinds = {name.removesuffix("_total"): "counter" if name.endswith("_total") else "gauge" for name in prometheus.METRICS}
    assert {name: family.type for name, family in families.items()} == kinds
    hosts = {sample.labels["host"] for sample in families["bulkhead_host_verified"].samples}
    assert len(hosts) == 4
    assert 'b\\"c' in hosts
    assert families["bulkhead_report_timestamp_seconds"].samples[0].value == samples.NOW


def test_alerts_use_only_existing_metrics_and_labels() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        named = set(re.findall(r"\bbulkhead_\w+", rule["expr"]))
        assert named
        assert named <= {*prometheus.METRICS, *agent.METRICS}, rule["alert"]
        known = (
            {"host", "layer", "status", "condition", "container", "finding", "service"}
            if named <= set(prometheus.METRICS)
            else {"instance", "reason"}
        )
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= known
