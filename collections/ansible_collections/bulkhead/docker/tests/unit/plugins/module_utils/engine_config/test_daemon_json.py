# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json: unmanaged text stays unchanged, and invalid text gets a helpful message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.content import read_content
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.daemon_json import (
    DaemonJsonError,
    parse_daemon_json,
)
from ansible_collections.bulkhead.docker.plugins.module_utils.engine_config.daemon_merge import (
    build_pointer,
    mask_passwords,
    merge_keys,
    parse_pointer,
)

PATH = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{ }\n",
        "",
        "\n  \n",
        '{"icc": false}',
        '{"icc":false}\n',
        '{\n  "icc": false\n}\n',
        '{\n    "log-opts": {"max-size": "10m"},\n    "debug": true }',
        '{\r\n\t"hosts": [ "fd://" ],\r\n\t"mtu" : 1450\r\n}\r\n',
        '\n{"a/b": {"c": [1, 2.50, 1e3]}, "é": "ü\\u00e9"}\n\n',
    ],
)
def test_unchanged_text_stays_the_same(text: str) -> None:
    document = parse_daemon_json(text)
    assert read_content(text) == document.content()
    if document.members:
        assert document.text() == text
        assert document.content() == json.loads(text)
    assert merge_keys(document, {}, {}).text == text


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('\ufeff{"icc": false}', "line 1, column 1", "byte order mark"),
        ('{\x00"\x00', "line 1, column 1", "not UTF-8"),
        ('{\n  // comment\n  "icc": false\n}', "line 2, column 3", "JSON has no comments"),
        ('# comment\n{"icc": false}', "line 1, column 1", "JSON has no comments"),
        ('{"icc": false, # no\n "debug": true}', "line 1, column 16", "JSON has no comments"),
        ('{\n  "icc": false,\n  "debug": true,\n  "icc": true\n}', "line 4, column 3", '"icc" is there twice (first in line 2)'),
        ('{"log-opts": {"a": "1", "a": "2"}}', "line 1, column 14", '"a" is twice'),
        ('{\n  "icc": false,\n}', "line 3, column 1", "comma after the last member"),
        # Python 3.13 reports the place of the comma, earlier versions that of the bracket (json.decoder, JSONArray).
        ('{"dns": ["1.1.1.1",]}', "line 1", "comma before the closing bracket"),
        ('{\n  "icc": false\n  "debug": true\n}', "line 3, column 3", 'a comma or the closing brace is missing after the value of "icc"'),
        ('{\n  "icc": fal', "line 2", "this is not JSON"),
        ('{\n  "icc": false,\n', "line 3", "the file ends in the middle"),
        ('{\n  "icc": ', "line 2", "the file ends in the middle"),
        ('{"icc": "fal', "line 1, column 9", "no closing quote"),
        ('{"icc": False}', "line 1, column 9", "small letters"),
        ("{'icc': false}", "line 1, column 2", "a key in double quotes is missing here"),
        ("{\"icc\": 'no'}", "line 1, column 9", "double quotes, not single"),
        ("{icc: false}", "line 1, column 2", "a key in double quotes is missing here"),
        ('{"icc" false}', "line 1, column 8", "a colon is missing between"),
        ('["icc"]', "line 1, column 1", "is a list, not an object"),
        ('"icc"', "line 1, column 1", "is a text, not an object"),
        ("icc=false", "line 1, column 1", "must be one JSON object"),
        ('{"icc": false} {"debug": true}', "line 1, column 16", "nothing after it"),
        ('{"mtu": NaN}', "line 1", "NaN is not a JSON number"),
    ],
)
def test_invalid_text_is_reported_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(DaemonJsonError) as caught:
        parse_daemon_json(text, PATH)
    assert str(caught.value).startswith(f"{PATH}: {place}")
    assert message in str(caught.value)
    with pytest.raises(ValueError):
        read_content(text)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a": ' + "[" * 200_000])
def test_deeply_nested_text_is_an_error(text: str) -> None:
    with pytest.raises(DaemonJsonError, match="line 1, column"):
        parse_daemon_json(text)
    with pytest.raises(ValueError):
        read_content(text)


@pytest.mark.parametrize(
    ("text", "desired", "after"),
    [
        (None, {"icc": False}, '{\n  "icc": false\n}\n'),
        ("{}\n", {"icc": False}, '{\n  "icc": false\n}\n'),
        ('{"debug": true}', {"icc": False}, '{"debug": true, "icc": false}'),
        ('{ "debug": true }\n', {"icc": False}, '{ "debug": true, "icc": false }\n'),
        ('{\n\t"debug" : true\n}\n', {"icc": False}, '{\n\t"debug" : true,\n\t"icc": false\n}\n'),
        ('{\n    "icc": true,\n    "mtu":   1450\n}', {"icc": False}, '{\n    "icc": false,\n    "mtu":   1450\n}'),
        (
            '{\n    "dns": [ "1.1.1.1",\n             "9.9.9.9" ]\n}\n',
            {"log-opts": {"max-size": "10m"}},
            '{\n    "dns": [ "1.1.1.1",\n             "9.9.9.9" ],\n    "log-opts": {\n        "max-size": "10m"\n    }\n}\n',
        ),
        (
            '{"log-opts": {"tag": "x", "max-size": "1m"}}',
            {"log-opts": {"max-size": "10m"}},
            '{"log-opts": {"tag": "x", "max-size": "10m"}}',
        ),
        ('{"log-opts": "odd"}', {"log-opts": {"max-size": "10m"}}, '{"log-opts": {"max-size": "10m"}}'),
        ('{"icc": 0}', {"icc": False}, '{"icc": false}'),
    ],
)
def test_managed_keys_are_set_and_others_stay(text: str | None, desired: dict[str, Any], after: str) -> None:
    merged = merge_keys(parse_daemon_json(text), desired, {}, created=text is None)
    assert merged.text == after
    again = merge_keys(parse_daemon_json(merged.text), desired, merged.record)
    assert (again.text, again.record) == (after, merged.record)


UNMANAGED = '{\n  "debug": true,\n  "icc": true,\n  "log-opts": {"tag": "x"}\n}\n'


def _applied() -> tuple[str, dict[str, dict[str, Any]]]:
    merged = merge_keys(parse_daemon_json(UNMANAGED), {"icc": False, "live-restore": True, "log-opts": {"max-size": "10m"}}, {})
    assert merged.text is not None
    return merged.text, merged.record


def test_memory_has_the_previous_values() -> None:
    _text, record = _applied()
    assert record == {
        "/icc": {"value": False, "before": True},
        "/live-restore": {"value": True},
        "/log-opts/max-size": {"value": "10m"},
    }


def test_removing_all_keys_restores_the_old_content() -> None:
    text, record = _applied()
    merged = merge_keys(parse_daemon_json(text), {}, record)
    assert json.loads(merged.text or "") == json.loads(UNMANAGED)
    assert merged.record == {}
    assert any("icc is restored to true" in notice for notice in merged.notices)


def test_removing_one_key_keeps_the_others() -> None:
    text, record = _applied()
    merged = merge_keys(parse_daemon_json(text), {"icc": False}, record)
    assert merged.after == {"debug": True, "icc": False, "log-opts": {"tag": "x"}}
    assert merged.record == {"/icc": {"value": False, "before": True}}


def test_removed_key_that_was_edited_stays() -> None:
    text, record = _applied()
    merged = merge_keys(parse_daemon_json(text.replace('"live-restore": true', '"live-restore": false')), {}, record)
    assert merged.after["live-restore"] is False
    assert any("live-restore" in notice and "changed by others" in notice for notice in merged.notices)


def test_desired_key_that_was_edited_is_set_again() -> None:
    text, record = _applied()
    merged = merge_keys(parse_daemon_json(text.replace('"icc": false', '"icc": "odd"')), {"icc": False}, record)
    assert merged.after["icc"] is False
    assert merged.record["/icc"] == {"value": False, "before": "odd"}


def test_removed_key_that_is_missing_is_forgotten() -> None:
    text, record = _applied()
    content = json.loads(text)
    del content["live-restore"]
    merged = merge_keys(parse_daemon_json(json.dumps(content)), {"icc": False}, record)
    assert "live-restore" not in merged.after
    assert merged.record.keys() == {"/icc"}


def test_new_managed_value_keeps_the_previous_one() -> None:
    merged = merge_keys(parse_daemon_json('{"log-opts": {"max-size": "1m"}}'), {"log-opts": {"max-size": "10m"}}, {})
    merged = merge_keys(parse_daemon_json(merged.text), {"log-opts": {"max-size": "20m"}}, merged.record)
    assert merged.record == {"/log-opts/max-size": {"value": "20m", "before": "1m"}}
    assert merge_keys(parse_daemon_json(merged.text), {}, merged.record).after == {"log-opts": {"max-size": "1m"}}


def test_kept_keys_stay_in_file_and_memory() -> None:
    text, record = _applied()
    merged = merge_keys(parse_daemon_json(text), {"icc": False}, record, keep=frozenset({"live-restore", "log-opts"}))
    assert merged.text == text
    assert merged.record == record


def test_unmanaged_key_with_the_same_value_stays() -> None:
    merged = merge_keys(parse_daemon_json('{"icc": false}'), {"icc": False}, {})
    assert merge_keys(parse_daemon_json(merged.text), {}, merged.record).text == '{"icc": false}'


@pytest.mark.parametrize(("created", "text"), [(True, None), (False, "{}\n")])
def test_created_file_is_removed_with_its_last_key(created: bool, text: str | None) -> None:
    merged = merge_keys(parse_daemon_json(None), {"icc": False}, {}, created=True)
    assert merge_keys(parse_daemon_json(merged.text), {}, merged.record, created=created).text == text


def test_no_file_is_created_without_keys() -> None:
    assert merge_keys(parse_daemon_json(None), {}, {}, created=True).text is None


@pytest.mark.parametrize("parts", [("icc",), ("log-opts", "max-size"), ("runtimes", "a/b~c")])
def test_pointers_are_reversible(parts: tuple[str, ...]) -> None:
    assert parse_pointer(build_pointer(*parts)) == list(parts)


def test_passwords_in_urls_are_masked() -> None:
    assert mask_passwords('"http-proxy": "http://me:secret@proxy:3128"') == '"http-proxy": "http://me:***@proxy:3128"'


@pytest.mark.parametrize(
    ("desired", "changed", "needs_restart", "switches_root"),
    [
        ({}, [], False, False),
        ({"debug": True}, ["debug"], False, False),
        ({"icc": False, "debug": True}, ["debug", "icc"], True, False),
        ({"userns-remap": "default"}, ["userns-remap"], True, True),
    ],
)
def test_properties_of_a_merge(desired: dict[str, Any], changed: list[str], needs_restart: bool, switches_root: bool) -> None:
    merge = merge_keys(parse_daemon_json("{}"), desired, {})
    assert (merge.changed, merge.needs_restart, merge.switches_root) == (changed, needs_restart, switches_root)
