# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the controls of one host, control by control, as docker-bench-security and Bulkhead judge them.

    scripts/compare-benchmarks LOG REPORT     LOG: docker-bench-security.log.json; REPORT: verify-HOST.json

It reads two files and runs nothing. The output calls docker-bench-security `bench`, which counts as 1.6.0 does. Exit code 1: both judge a control and disagree.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.docker.plugins.plugin_utils.controls.catalog import load_controls

AGREE, STRICTER, MILDER, ONLY_BENCH, ONLY_BULKHEAD, NEITHER = (
    "agree",
    "Bulkhead fails, bench passes",
    "bench warns, Bulkhead passes",
    "only bench judges",
    "only Bulkhead judges",
    "neither judges",
)
DISAGREE = (STRICTER, MILDER)
# NOTE and INFO ask a person, or say that there is nothing to check.
_BENCH_PASSES = {"PASS": True, "WARN": False}
_BULKHEAD_PASSES = {"pass": True, "fail": False}


@dataclass(frozen=True)
class ComparedControl:
    """One control. number: of 1.8.0; empty if only docker-bench-security has it. bench, bulkhead: the results as written; empty without one."""

    number: str
    bench_number: str
    bench: str
    bulkhead: str
    result: str
    reason: str


def read_bench(content: Mapping[str, Any]) -> dict[str, str]:
    """Return number -> result of the log. Raises KeyError for another file."""
    return {result["id"]: result["result"] for section in content["tests"] for result in section["results"] if "result" in result}


def compare(bench: Mapping[str, str], controls: Mapping[str, Mapping[str, Any]]) -> Iterator[ComparedControl]:
    """Yield a row per control of the catalog, then one per check of sections 1 to 7 that the catalog does not have."""
    known = set()
    for identifier, control in load_controls().items():
        known.add(control.number_160)
        own = controls.get(identifier, {})
        result, status = bench.get(control.number_160, ""), str(own.get("status", ""))
        yield ComparedControl(control.number, control.number_160, result, status, _judge(result, status), str(own.get("reason", "")))
    for number, result in bench.items():
        if number not in known and number[0] in "1234567":
            yield ComparedControl("", number, result, "", _judge(result, ""), "")


def _judge(bench: str, bulkhead: str) -> str:
    left, right = _BENCH_PASSES.get(bench), _BULKHEAD_PASSES.get(bulkhead)
    if left is None or right is None:
        return NEITHER if left is None and right is None else ONLY_BULKHEAD if left is None else ONLY_BENCH
    return AGREE if left == right else STRICTER if left else MILDER


def render(rows: list[ComparedControl]) -> str:
    """Return a table, and the number of each result."""
    lines = [
        f"{row.number or '-':<7} {row.bench_number or '-':<7} {row.bench or '-':<5} {row.bulkhead or '-':<15} {row.result:<28} {row.reason[:90]}"
        for row in rows
    ]
    counts = Counter(row.result for row in rows)
    return "\n".join(
        ["1.8.0   1.6.0   bench Bulkhead        result", *lines, "", *(f"{number:>4} {result}" for result, number in counts.most_common())]
    )


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="docker-bench-security.log.json")
    parser.add_argument("report", type=Path, help="verify-HOST.json of the same host")
    options = parser.parse_args()
    try:
        bench = read_bench(json.loads(options.log.read_text(encoding="utf-8")))
        found = json.loads(options.report.read_text(encoding="utf-8"))["verification"]["controls"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"a file cannot be read, or is not a log and a report with controls: {error!r}")
    rows = list(compare(bench, {control["control"]: control for control in found}))
    print(render(rows))
    return 1 if any(row.result in DISAGREE for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
