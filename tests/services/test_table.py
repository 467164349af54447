# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of services: its files are valid, its entries are accepted by the collection, and every check of a trial can fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import data, guest, image, page, trial

SERVICES = data.load_services()
MINIMAL = {"title": "T", "kind": "k", "packages": ["p"], "command": ["c"], "probes": [{"tcp": 1, "expect": ["x"]}], "needs_root": "yes"}


def test_the_table_covers_what_the_issue_names() -> None:
    assert len(SERVICES) >= 30
    assert len([service for service in SERVICES.values() if service.sample]) >= 10
    kinds = " ".join(service.kind for service in SERVICES.values())
    for kind in ("web server", "proxy", "database", "queue", "cache", "mail", "DNS", "LDAP", "JVM", "PHP", "Ruby", "Node", "Python", "Go"):
        assert kind in kinds


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.stacked])
def test_every_entry_is_accepted_by_the_collection(name: str) -> None:
    entry = data.complete_entry(data.build_entry(SERVICES[name]))
    assert entry["read_only"] is True and entry["user"].split(":")[0] not in ("0", "root")
    compose = yaml.safe_load(data.render_compose(SERVICES[name]))["services"][f"service-{name}"]
    assert compose["cap_drop"] == ["ALL"] and compose["pids_limit"] and "no-new-privileges=true" in compose["security_opt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probs": []}, "probs: is not a key"),
        ({"command": None}, "command: is missing"),
        ({"probes": [{"tcp": 1, "http": "1/", "expect": ["x"]}]}, "probes"),
        ({"probes": [{"tcp": 1, "expect": []}]}, "no probe expects an answer"),
        ({"stacked": {"user": "1:1"}}, "stacked, needs_root"),
        ({"needs_root": ""}, "stacked, needs_root"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {key: value for key, value in {**MINIMAL, **change}.items() if value is not None}
    (tmp_path / "one.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(data.DataError, match=message):
        data.load_services(tmp_path)


def test_two_services_cannot_differ_about_a_file() -> None:
    one, two = (data.TableService(n, n, "k", ["p"], ["c"], [], files={"/etc/x": n}) for n in ("one", "two"))
    with pytest.raises(Exception, match="/etc/x: another service has another text"):
        image.merge_files([one, two])


def test_settings_differ_in_what_the_kernel_must_show() -> None:
    nginx = SERVICES["nginx"]
    expected = {setting: data.build_expectations(nginx, setting) for setting in data.SETTINGS}
    assert expected["baseline"] == {"Seccomp": "2", "NoNewPrivs": "0", "mapped": False}
    assert expected["hardened"] == expected["rootless"] == {"Seccomp": "2", "NoNewPrivs": "1", "mapped": True, "pids_max": 512}
    assert expected["stacked"]["pids_max"] == 100 and expected["stacked"]["capabilities"] == 0 and expected["stacked"]["root"] is False


@pytest.fixture
def server() -> Iterator[int]:
    """A server that greets, answers one line, and serves only its first two clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for number in range(9):
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.sendall(b"220 ready\r\n" if number < 2 else b"421 too many\r\n")
                clients.append(client)

        clients = list[socket.socket]()
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        for client in clients:
            client.close()


@pytest.mark.parametrize(("expect", "mismatch"), [(["^220 ready$"], ""), (["^220 ready$", "^250"], "does not match '^250'")])
def test_an_answer_must_match_every_pattern(server: int, expect: list[str], mismatch: str) -> None:
    found = guest.find_mismatch({"offset": 0}, {"tcp": server, "expect": expect})
    assert mismatch in found and bool(found) == bool(mismatch)


def test_no_answer_is_a_mismatch() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert guest.find_mismatch({"offset": 0}, {"tcp": port, "expect": ["x"]}).startswith("no answer")


def test_clients_that_are_turned_away_are_not_served(server: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", server)) for _ in range(4)]
    assert guest.count_served(clients, {"answer": "^220"}) == 2
    for client in clients:
        client.close()


def answer_docker(**answers: str) -> Any:
    """Return a stand-in for guest.run_docker: the first word of the command -> its output."""

    def run(*arguments: str) -> Any:
        return type("Done", (), {"stdout": answers.get(arguments[0], ""), "stderr": "", "returncode": 0})()

    return run


@pytest.mark.parametrize(("code", "problem"), [("0", ""), ("137", "exit code 137"), ("1", "exit code 1")])
def test_a_killed_service_did_not_stop(monkeypatch: pytest.MonkeyPatch, code: str, problem: str) -> None:
    monkeypatch.setattr(guest, "run_docker", answer_docker(inspect=code))
    job = {"container": "c", "exit_codes": [0]}
    if not problem:
        assert guest.stop_service(job)["exit_code"] == 0
        return
    with pytest.raises(guest.TrialError, match=problem):
        guest.stop_service(job)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("Seccomp:\t2\nNoNewPrivs:\t1\nUid:\t33\t33\nCapBnd:\t0000000000000000\n", ""),
        ("Seccomp:\t0\nNoNewPrivs:\t1\nUid:\t33\t33\nCapBnd:\t0000000000000000\n", "Seccomp is 0"),
        ("Seccomp:\t2\nNoNewPrivs:\t0\nUid:\t33\t33\nCapBnd:\t0000000000000000\n", "NoNewPrivs is 0"),
        ("Seccomp:\t2\nNoNewPrivs:\t1\nUid:\t0\t0\nCapBnd:\t0000000000000000\n", "runs as root"),
        ("Seccomp:\t2\nNoNewPrivs:\t1\nUid:\t33\t33\nCapBnd:\t00000000a80425fb\n", "expected 0 capabilities"),
        ("", "Seccomp is None"),
    ],
)
def test_exec_must_see_the_setting(monkeypatch: pytest.MonkeyPatch, status: str, problem: str) -> None:
    monkeypatch.setattr(guest, "run_docker", answer_docker(exec=status))
    job = {"container": "c", "expect": data.build_expectations(SERVICES["nginx"], data.STACKED)}
    if not problem:
        guest.check_exec(job)
        return
    with pytest.raises(guest.TrialError, match=problem):
        guest.check_exec(job)


def test_a_service_without_a_result_is_a_problem() -> None:
    services = [SERVICES["nginx"], SERVICES["redis"]]
    assert trial.find_problems(services, {"nginx": {"ok": True}}) == {"redis": "there is no result"}
    assert "down" in trial.find_problems(services[:1], {"nginx": {"ok": False, "problem": "down"}})["nginx"]


def test_the_page_shows_untested_and_failed_settings() -> None:
    entry = {"ok": True, "problem": "", "version": "1", "idle": 3, "pids.peak": 9}
    results = {"baseline": {"nginx": entry}, "hardened": {"nginx": {"ok": False, "problem": "no | answer", "version": "1"}}}
    text = page.render_table({"nginx": SERVICES["nginx"]}, results)
    assert "| nginx | 1 | works | fails | untested | untested | 3 | 9 |" in text and "no \\| answer" in text


def test_the_examples_on_the_page_are_those_of_the_files() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.replace_part(text, page.EXAMPLES, page.render_examples(SERVICES)) == text
