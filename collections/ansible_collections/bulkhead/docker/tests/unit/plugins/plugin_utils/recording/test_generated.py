# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of generated entries: its text with reasons, its changes, and the messages for files with faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.bulkhead.docker.plugins.lookup.recorded import LookupModule
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.container import generate_container_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generated import (
    APPARMOR,
    CONTAINERS,
    SECCOMP,
    GeneratedFileError,
    describe_changes,
    format_generated,
    read_generated,
)
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generation import ENFORCE, LOG, Generated
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp import generate_seccomp_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.seccomp_base import get_engine_default

from ...builders import write_files
from .samples import make_call, make_nginx, make_recording

GOOD = "service: x\nstage: log\nseccomp_profiles_list:\n  - {name: a}\napparmor_profiles_list: []\nhardened_container_list: []\n"


def generate(recording: Any, stage: str = ENFORCE) -> str:
    seccomp = generate_seccomp_entry(recording, get_engine_default(), stage)
    return format_generated("shop-web", stage, {SECCOMP: seccomp, CONTAINERS: generate_container_entry(recording)})


@pytest.mark.parametrize("stage", [LOG, ENFORCE])
def test_text_contains_the_entries_and_a_reason_per_call(stage: str) -> None:
    recording = make_nginx()
    text = generate(recording, stage)
    entries = read_generated(text, "x")
    assert entries[SECCOMP] == [generate_seccomp_entry(recording, get_engine_default(), stage).entry]
    assert entries[CONTAINERS] == [generate_container_entry(recording).entry] and entries[APPARMOR] == []
    assert "      - accept4  # recorded on web1 since 2026-11-20" in text.splitlines()
    assert "value: 10, op: SCMP_CMP_EQ}]}  # recorded on web1 since 2026-11-20" in text
    assert "    read_only: true  # what it writes is in tmpfs and volumes" in text
    assert "\n  # not in it: command and environment are not recorded" in text
    assert yaml.safe_load(text)["stage"] == stage


def test_stage_record_has_no_entries() -> None:
    assert read_generated(format_generated("x", "record", {}), "x") == {SECCOMP: [], APPARMOR: [], CONTAINERS: []}


def test_comments_cannot_end_a_line() -> None:
    text = format_generated("x", LOG, {APPARMOR: Generated({"name": "a", "rules": ["/x r"]}, [("/x r", "seen\nrules: [\u2028]")])})
    assert read_generated(text, "x")[APPARMOR] == [{"name": "a", "rules": ["/x r"]}]


def test_changes_are_lines_with_their_reason() -> None:
    before = generate(make_recording([make_call("write"), make_call("accept4")]))
    after = generate(make_recording([make_call("write"), make_call("listen")]))
    assert describe_changes(before, after) == [
        "-       - accept4  # recorded on web1 since 2026-11-20",
        "+       - listen  # recorded on web1 since 2026-11-20",
    ]


def test_a_new_reason_alone_is_not_a_change() -> None:
    text = generate(make_nginx())
    assert describe_changes(text, text.replace("web1", "web2")) == [] == describe_changes(text, text)
    assert len(describe_changes(None, text)) > 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yml: is not valid YAML ("),
        ("", "f.yml: contains nothing, not a mapping with service, stage, seccomp_profiles_list"),
        (GOOD + "more: 1\n", "f.yml: more: is not a key of this file; known are service,"),
        (GOOD.replace("service: x\n", ""), "f.yml: service: is missing; correct it, or generate it again with playbooks/record.yml"),
        (GOOD.replace("service: x", "service: 3"), "f.yml: service: 3 is not the name of a service"),
        (GOOD.replace("log", "later"), "f.yml: stage: 'later' is not a stage; known are record, log, enforce"),
        (GOOD.replace("apparmor_profiles_list: []", "apparmor_profiles_list: x"), "f.yml: apparmor_profiles_list: 'x' is not a list"),
        (GOOD.replace("{name: a}", "a"), "f.yml: seccomp_profiles_list[0]: 'a' is not an entry with a name"),
        (GOOD.replace("{name: a}", "{name: 1}"), "f.yml: seccomp_profiles_list[0]: {'name': 1} is not an entry with a name"),
    ],
)
def test_faults_of_a_file_are_one_message(text: str, message: str) -> None:
    with pytest.raises(GeneratedFileError) as caught:
        read_generated(text, "f.yml")
    assert str(caught.value).startswith(message)


def look_up(base: Path, *terms: Any, folder: str = "recordings") -> Any:
    """Run the lookup of a playbook in a folder. Only Ansible's own loader of plugins reads their options."""
    loader = DataLoader()
    loader.set_basedir(str(base))
    module = LookupModule(loader=loader)
    module.set_options = lambda **unused: module._options.update(folder=folder)
    return module.run(list(terms), {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"b.generated.yml": GOOD.replace("name: a", "name: b"), "a.generated.yml": GOOD, "a.yml": "not read"}
    write_files(tmp_path / "recordings", texts)
    return tmp_path


def test_lookup_returns_the_entries_of_all_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_up(folder, SECCOMP) == [[{"name": "a"}, {"name": "b"}]]
    assert look_up(folder, CONTAINERS, folder=str(folder / "recordings")) == [[]]
    monkeypatch.chdir(folder)
    assert look_up(folder / "elsewhere", SECCOMP) == [[{"name": "a"}, {"name": "b"}]]


@pytest.mark.parametrize("terms", [(), ("seccomp_profiles",), (SECCOMP, APPARMOR)])
def test_lookup_of_another_list_is_an_error(folder: Path, terms: tuple[str, ...]) -> None:
    with pytest.raises(AnsibleError, match="is not the name of a list; write one of seccomp_profiles_list, apparmor_profiles_list, hard"):
        look_up(folder, *terms)


def test_lookup_names_a_missing_folder_and_a_faulty_file(folder: Path) -> None:
    with pytest.raises(AnsibleError, match=r"folder 'none' does not exist \(.*/none\); run playbooks/record.yml, create it, or write its"):
        look_up(folder, SECCOMP, folder="none")
    (folder / "recordings" / "b.generated.yml").write_text(GOOD)
    with pytest.raises(AnsibleError, match=r"b.generated.yml: seccomp_profiles_list has an entry 'a', which .*/a.generated.yml has too"):
        look_up(folder, SECCOMP)
    (folder / "recordings" / "b.generated.yml").write_bytes(b"\xff")
    with pytest.raises(AnsibleError, match=r"b.generated.yml: is not UTF-8 text; generate it again with playbooks/record.yml"):
        look_up(folder, SECCOMP)
