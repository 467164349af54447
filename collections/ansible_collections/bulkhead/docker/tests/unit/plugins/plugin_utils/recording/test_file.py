# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings as files: stable, readable in a diff, equal after reading, and strict about mistakes."""

from __future__ import annotations

import difflib
import random

import pytest
import yaml
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.file import read_recording, write_recording
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.merge import merge
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import Recording, RecordingError

from .recorded_hosts import make_access, make_call, make_gap, make_instance, make_random_history, make_recorded

PATH = "recordings/web.yml"


def make_recording(**values: object) -> Recording:
    instance = make_instance(
        calls=[make_call("read", 10), make_call("socket", argument=2), make_call("clone"), make_call("999")],
        denied_calls=[{**make_call("clone3"), "errno": 38}],
        access=[make_access("/etc/passwd"), make_access("/data/x y: #1", "w", owner=True), make_access("/run/\\*", "w", denied=True)],
        written=["/var/lib/app"],
        **values,
    )
    recorded = make_recorded(instance)
    recorded["gaps"] = [make_gap("lost_calls", 0, 1, lost=3), make_gap("unconfined", None, None, text="no: [seccomp]")]
    return merge(None, "web", "web1", recorded)


HOST = 'engine: 26.1.5, runtime: "runc 1.1.15", libseccomp: 2.6.0, apparmor_parser: 4.1.0'
EXPECTED = """\
# What service web does: recorded by playbooks/record.yml, which adds to it with every collection.
# Read it before you commit it. It contains names of hosts, images, networks, files and folders.
# To forget something, remove its line here and in `recorders`. What happens again is recorded again.
format: 1
service: web
calls:
  "999": {abis: {x86_64: 2026-11-20}}
  clone: {abis: {x86_64: 2026-11-20}, arguments: {any: 2026-11-20}}
  read: {abis: {x86_64: 2026-11-20}}
  socket: {abis: {x86_64: 2026-11-20}, arguments: {2: 2026-11-20}}
denied_calls:
  clone3: {abis: {x86_64: 2026-11-20}, errnos: {38: 2026-11-20}}
access:
  - {class: file, mask: w, owner: true, path: "/data/x y: #1", first: 2026-11-20}
  - {class: file, mask: r, path: /etc/passwd, first: 2026-11-20}
  - {class: file, mask: w, path: "/run/\\\\*", denied: true, first: 2026-11-20}
written:
  - /var/lib/app
peaks:
  memory: 1000000
  pids: 5
configurations:
  NAME:
    image: nginx:1
    image_id: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    user: ""
    seccomp: builtin
    apparmor: docker-default
    userns: remap
    no_new_privileges: true
    read_only: false
    capabilities: [cap_chown]
    networks: [front]
    ports: [8080:80/tcp]
    mounts:
      - {destination: /data, type: volume, source: data}
recorders:
  web1/0000000a:
    since: 2026-11-20T00:00:00Z
    at: 2026-11-21T00:00:00Z
    environments:
      - {first: 2026-11-21, last: 2026-11-21, machine: x86_64, kernel: 6.12.118+deb13-amd64, HOST}
    sources:
      access: {status: off, reason: "it is switched off"}
      calls: {status: recording}
    gaps:
      - {kind: unconfined, source: calls, text: "no: [seccomp]"}
      - {kind: lost_calls, source: calls, text: "a gap: lost_calls", begin: 2026-11-20, end: 2026-11-21, lost: 3}
    instances: ["111111111111"]
    days: [2026-11-20 to 2026-11-21]
    running: [NAME]
    configurations:
      NAME: {first: 2026-11-20, last: 2026-11-21, instances: 1, starts: 1, starts_seen: 1}
    calls:
      "999": {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
      clone: {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
      read: {count: 10, instances: 1, by: "111111111111", last: 2026-11-20}
      socket: {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
    denied_calls:
      clone3: {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
    access:
      "file mask=w owner path=\\"/data/x y: #1\\"": {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
      "file mask=r path=/etc/passwd": {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
      "denied file mask=w path=/run/\\\\*": {count: 1, instances: 1, by: "111111111111", last: 2026-11-20}
"""


def get_text() -> str:
    return write_recording(make_recording())


def edit(before: str, after: str) -> str:
    """Return the text of a recording with a change by hand."""
    text = get_text()
    assert before in text, before
    return text.replace(before, after, 1)


def test_the_text_is_readable() -> None:
    name = next(iter(make_recording().configurations))
    assert get_text() == EXPECTED.replace("HOST", HOST).replace("off,", '"off",').replace(
        "NAME", name if not name.isdigit() else f'"{name}"'
    )


def test_other_programs_can_read_the_text() -> None:
    content = yaml.safe_load(get_text())
    assert content["calls"]["socket"]["arguments"][2].isoformat() == "2026-11-20"
    assert content["access"][0]["path"] == "/data/x y: #1"


def test_reading_what_was_written_gives_the_same() -> None:
    assert read_recording(get_text(), PATH) == make_recording()


@pytest.mark.parametrize("seed", range(40))
def test_random_recordings_survive_the_file(seed: int) -> None:
    source = random.Random(seed)
    recording: Recording | None = None
    for host in ("a", "b"):
        for name, recorded in make_random_history(source, host):
            recording = merge(recording, "web", name, recorded)
            assert read_recording(write_recording(recording), PATH) == recording
    assert recording


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "1.5",
        "0x10",
        "12:30",
        "2026-11-20",
        "a: b",
        "- a",
        "#x",
        "",
        " ",
        "null",
        "~",
        "\u00e9\x85\u2028\x7f",
        "\\\U0001f600",
        "\\ud83d\\ude00",
        "{a}",
        "a,b",
        "@x",
        "'",
        '"',
        "1e3",
        "9a:",
    ],
)
def test_any_text_survives_the_file(value: str) -> None:
    recording = make_recording(user=value, networks=[value], image=value)
    assert read_recording(write_recording(recording), PATH) == recording


def test_half_a_sign_is_replaced() -> None:
    text = write_recording(make_recording(user="a\udc80"))
    assert read_recording(text, PATH).user == "a?"


def test_an_empty_recording_survives_the_file() -> None:
    assert read_recording(write_recording(Recording("web")), PATH) == Recording("web")


def test_a_newer_collection_changes_few_lines() -> None:
    instance = make_instance(
        calls=[make_call("read", 11, 0, 2), make_call("socket", argument=2), make_call("clone"), make_call("999"), make_call("bind", day=2)]
    )
    newer = merge(make_recording(), "web", "web1", make_recorded(instance))
    diff = [
        line
        for line in difflib.unified_diff(get_text().splitlines(), write_recording(newer).splitlines(), n=0, lineterm="")
        if line.startswith(("+ ", "- "))
    ]
    assert "+  bind: {abis: {x86_64: 2026-11-22}}" in diff
    assert [line for line in diff if line.startswith(("+  ", "-  ")) and line[3] != " "] == ["+  bind: {abis: {x86_64: 2026-11-22}}"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "format: 1",
            "format: 2",
            "4: format: '2' is not a format that this release reads; write 1, or use the release that wrote the file",
        ),
        ("format: 1\n", "", "4: the key format is missing; add it, or restore the file from your repository"),
        ("service: web", "service: db", "5: service: 'db' is not the name of the file; write web, or rename the file to db.yml"),
        (
            "service: web",
            "service: W e",
            "5: service: 'W e' is not the name of a service; write small letters, digits, '.', '_' and '-', at most 60",
        ),
        ("service: web", "service: 12", "5: service: '12' is read as a number, and not as a text; put it in quotes"),
        ("  read:", "  raed:", "9: calls.raed: 'raed' is not a system call; write read"),
        ("  read:", "  clone:", "9: calls: the key 'clone' is also on line 8; write it once"),
        ("written:", "writen:", "17: writen: 'writen' is an unknown key; write written, or remove the line"),
        ("  - /var/lib/app", "  /var/lib/app", "18: written: '/var/lib/app' is not a list; write [] for none, or each entry after a dash"),
        ("memory: 1000000", "memory: much", "20: peaks.memory: 'much' is not a number; write digits, such as 12"),
        ("memory: 1000000", "memory: 0", "20: peaks.memory: 0 is too low; write a number from 1, or remove what was not seen"),
        ("abis: {x86_64: 2026-11-20}}", "abis: {x8664: 2026-11-20}}", "7: calls.999.abis.x8664: 'x8664' is not an ABI; write x86_64"),
        (
            "x86_64: 2026-11-20}}",
            "x86_64: 2026-11-31}}",
            "7: calls.999.abis.x86_64: '2026-11-31' is not a day; write YYYY-MM-DD, such as 2026-11-28",
        ),
        ("class: file, mask: r,", "class: fil, mask: r,", "15: access[1].class: 'fil' is not a class of accesses; write file"),
        ("mask: r, path", "mask: rz, path", "15: access[1].mask: 'rz' is not a mask of a file; write it as letters of r, w, m, k, l and x"),
        ("mask: r, path: /etc/passwd", "mask: r", "15: access[1]: the key path is missing; add it, or remove the entry"),
        ("no_new_privileges: true", "no_new_privileges: 1", "no_new_privileges: '1' is not a boolean; write true or false"),
        (
            "at: 2026-11-21T00:00:00Z",
            "at: 2026-11-21",
            "at: '2026-11-21' is not a time; write YYYY-MM-DDTHH:MM:SSZ, such as 2026-11-28T21:30:00Z",
        ),
        (
            "2026-11-20 to 2026-11-21",
            "2026-11-22 to 2026-11-21",
            "'2026-11-22 to 2026-11-21' is not a day or a range of days; write it as 2026-11-20 to",
        ),
        ("web1/0000000a:", "web1:", "recorders.web1: 'web1' is not a recorder; write it as HOST/ID, such as web1/3f2a9c01"),
        ("kind: unconfined", "kind: unconfind", "'unconfind' is not a kind of gap; write unconfined"),
        (
            "      read: {",
            "      bind: {",
            "recorders.web1/0000000a.calls.bind: 'bind' is not in calls; remove the line, or restore it in calls",
        ),
        (
            "  read: {abis: {x86_64: 2026-11-20}}\n",
            "",
            "recorders.web1/0000000a.calls.read: 'read' is not in calls; remove the line, or restore it in calls",
        ),
        (
            "mask: r, path: /etc/passwd",
            "mask: r, path: /etc/group",
            "15: access[1]: 'file mask=r path=/etc/group' is not in recorders.*.access; remove the entry",
        ),
        (
            "first: 2026-11-20, last: 2026-11-21, instances",
            "first: 2026-11-22, last: 2026-11-21, instances",
            "first 2026-11-22 is after last 2026-11-21",
        ),
        ("service: web", "service: [web]", "5: service: a list is not a text; write one text"),
        ("service: web", "service: web: db", "5: mapping values are not allowed"),
        ("service: web", "service: \x07", "not allowed"),
        ("peaks:", "peaks: &x", ""),
    ],
)
def test_a_mistake_is_one_message_with_its_line(before: str, after: str, message: str) -> None:
    if not message:
        assert read_recording(edit(before, after), PATH) == make_recording()
        return
    with pytest.raises(RecordingError) as error:
        read_recording(edit(before, after), PATH)
    lines = str(error.value).splitlines()
    assert len([line for line in lines if message in line]) == 1, lines
    assert lines[0].startswith(f"{PATH}:")
    assert len(lines) <= 2, lines


def test_many_mistakes_are_limited() -> None:
    with pytest.raises(RecordingError) as error:
        read_recording(get_text().replace("2026-11-20", "2026-20-11"), PATH)
    lines = str(error.value).splitlines()
    assert len(lines) == 11
    assert lines[-1].endswith("more mistakes")


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "text", "12", "a: 1\n---\nb: 2\n", "? [a]\n: b\n", "&a [*a]"])
def test_what_is_not_a_recording_is_rejected(text: str) -> None:
    with pytest.raises(RecordingError):
        read_recording(text, PATH)
