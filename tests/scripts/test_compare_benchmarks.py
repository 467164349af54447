# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import compare_benchmarks
import pytest

# In the form of a log of docker-bench-security (ff26d67), with some checks and one that only it has.
LOG: dict[str, Any] = {
    "dockerbenchsecurity": "1.6.0",
    "tests": [
        {
            "id": "2",
            "desc": "",
            "results": [
                {"id": "2.2", "desc": "", "result": "WARN"},
                {"id": "2.6", "desc": "", "result": "PASS"},
                {"id": "2.7", "desc": "", "result": "INFO", "details": "Docker daemon not listening on TCP"},
                {"id": "2.9", "desc": "", "result": "WARN"},
                {"id": "2.13", "desc": "", "result": "PASS"},
            ],
        },
        {"id": "3", "desc": "", "results": [{"id": "3.99", "desc": "", "result": "PASS"}]},
        {"id": "99", "desc": "", "results": [{"id": "C.5.3.1", "desc": "", "result": "PASS"}]},
    ],
}


def build_report(**status: str) -> dict[str, Any]:
    controls = [{"control": f"CIS-2.{number[1:]}", "status": value, "reason": "why"} for number, value in status.items()]
    return {"verification": {"controls": controls}}


def test_results_are_compared_by_the_numbers_of_each_version() -> None:
    found = {
        control["control"]: control
        for control in build_report(_2="fail", _6="pass", _8="fail", _10="pass", _14="fail")["verification"]["controls"]
    }
    rows = list(compare_benchmarks.compare(compare_benchmarks.read_bench(LOG), found))
    results = {row.number or f"their {row.bench_number}": row.result for row in rows}
    assert {number: results[number] for number in ("2.2", "2.6", "2.7", "2.8", "2.10", "2.14", "their 3.99")} == {
        "2.2": "agree",
        "2.6": "agree",
        "2.7": "neither judges",
        "2.8": "only Bulkhead judges",
        "2.10": "bench warns, Bulkhead passes",
        "2.14": "Bulkhead fails, bench passes",
        "their 3.99": "only bench judges",
    }
    assert "their C.5.3.1" not in results


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: Any, report: Any) -> int:
    for name, content in (("log", log), ("report", report)):
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "log"), str(tmp_path / "report")])
    return compare_benchmarks.main()


def test_the_exit_code_is_that_of_differences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path, LOG, build_report(_2="fail")) == 0
    assert run(monkeypatch, tmp_path, LOG, build_report(_2="pass")) == 1
    assert "   1 bench warns, Bulkhead passes" in capsys.readouterr().out


def test_another_file_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, {}, build_report())
    assert "is not a log and a report with controls" in capsys.readouterr().err
