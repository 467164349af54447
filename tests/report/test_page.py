# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in a real browser, made of real reports. verifications/ contains reports of verify.yml on VMs of the lab (Debian 13, docker.io
26.1.5): a hardened host, one with containers that opted out, one with layers disabled by hand, and one with a stopped engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import JUDGED
from ansible_collections.bulkhead.docker.plugins.plugin_utils.report import fleet, publish
from ansible_collections.bulkhead.docker.tests.unit.plugins.plugin_utils.report import samples
from browser import Browser

REPORTS = Path(__file__).parent / "verifications"
NOW = samples.NOW
VISIBLE = "Array.from(document.querySelectorAll('#heat tbody tr')).filter(row => !row.hidden)"
SHOWN = f"{VISIBLE}.map(row => row.cells[0].textContent)"
CELL = "document.querySelector('#heat tbody tr[data-n=\"{row}\"]').cells[{cell}]"
DIALOG = "document.getElementById('details')"


def load_report(name: str, host: str = "") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((REPORTS / f"verify-{name}.json").read_text())
    return {**report, "host": host or name, "written": datetime.fromtimestamp(NOW - 300, UTC).isoformat()}


def write_page(folder: Path, *reports: dict[str, Any], expected: tuple[str, ...] = ()) -> Path:
    groups = {report["host"]: {"validation" if report["host"] == "web1" else "fleet"} for report in reports}
    publish.publish_report(
        samples.write_reports(folder, *reports), fleet.InventoryHosts(groups, expected), NOW, 2 * samples.DAY, "test", "0.0.0"
    )
    return folder / publish.PAGE


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture
def small(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """Open a page with the four hosts, one that was never verified, an unreachable one, and an attack matrix."""
    attacked = samples.make_attack("web1", {"bpf": {"none": "succeeded", "seccomp": "blocked", "host": "blocked"}})
    browser.errors.clear()
    denied = samples.make_denials(
        "web1", samples.make_denial("shop", count=41), gaps=[("serials", "7 of the kernel's audit messages are in no log")]
    )
    browser.open(
        write_page(
            tmp_path, *(load_report(f"web{n}") for n in range(1, 5)), samples.make_unreachable("away"), attacked, denied, expected=("web5",)
        )
    )
    yield browser
    assert browser.errors == []


def set_value(browser: Browser, element: str, value: str) -> None:
    event = "new Event('input', {bubbles: true})"
    browser.run(f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent({event}); }})(document.getElementById('{element}'))")


def test_the_page_loads_nothing_else(small: Browser) -> None:
    assert small.run("location.protocol") == "file:"
    assert small.run("performance.getEntriesByType('resource').length") == 0
    assert "1 of 6 hosts verified" not in small.run("document.title")
    assert small.run("document.title").startswith("Bulkhead: 2 of 6 hosts verified")
    assert small.run(SHOWN) == ["web3", "web4", "away", "web5", "web1", "web2"]


def test_a_click_on_a_heading_sorts(small: Browser) -> None:
    head = "document.querySelector('#heat thead button[data-key=\"{}\"]')"
    small.click(head.format("host"))
    assert small.run(SHOWN) == ["away", "web1", "web2", "web3", "web4", "web5"]
    small.click(head.format("host"))
    assert small.run(SHOWN) == ["web5", "web4", "web3", "web2", "web1", "away"]
    assert small.run(head.format("host") + ".parentElement.getAttribute('aria-sort')") == "descending"
    assert small.run("document.querySelectorAll('#heat thead [aria-sort=none]').length") == len(JUDGED) + 4
    small.click(head.format("2"))  # seccomp: absent first, then unknown
    assert small.run(SHOWN) == ["web3", "away", "web4", "web5", "web1", "web2"]
    small.click(head.format("out"))
    small.click(head.format("out"))
    assert small.run(SHOWN)[0] == "web2"


def test_the_filters_select_hosts(small: Browser) -> None:
    small.run("document.getElementById('terms').focus()")
    small.type("seccomp:absent")
    assert small.run(SHOWN) == ["web3"]
    assert small.run("document.getElementById('shown').textContent") == "1 of 6 hosts shown."
    for words, hosts in (("validation", ["web1"]), ("no-seccomp", ["web2"]), ("seccomp.unfiltered fleet", ["web3"]), ("zzz", [])):
        set_value(small, "terms", words)
        assert small.run(SHOWN) == hosts, words
    small.click("document.querySelector('.tools button[type=reset]')")
    assert small.wait_for(f"{SHOWN}.length === 6")
    set_value(small, "condition", "!")
    assert small.run(SHOWN) == ["web3", "web4", "away", "web5"]
    set_value(small, "layer", "4")
    set_value(small, "status", "degraded")
    assert small.run(SHOWN) == ["web3"]


def test_a_cell_opens_its_evidence_and_commands(small: Browser) -> None:
    small.click(CELL.format(row=0, cell=7))  # userns of web3
    text = small.run(f"{DIALOG}.open && {DIALOG}.innerText")
    for words in ("web3: User namespaces", "degraded, required", "/proc/2097/uid_map", "0 231072 65536", "overlaps /etc/subuid:2",
                  "give one of them another range", "2.10", "cat /proc/$pid/uid_map", "bulkhead.docker.verify --limit web3"):  # fmt: skip
        assert words in text
    assert "Container everything: absent, opted out" in text
    small.press("Escape")
    assert small.run(f"{DIALOG}.open") is False
    assert small.wait_for(f"document.activeElement === {CELL.format(row=0, cell=7)}")  # the event `close` follows later
    small.click(CELL.format(row=5, cell=0))
    text = small.run(f"{DIALOG}.innerText")
    for words in ("6.12.", "docker.io", "no-apparmor (testimage", "opted out of apparmor", "/var/run/docker.sock mounted"):
        assert words in text


def test_denials_and_log_gaps_are_shown(small: Browser) -> None:
    text = small.run("document.getElementById('denials').innerText")
    for words in (
        "denial counters of 1 host",
        "shop",
        "the process runs there",
        "open name=/proc/kcore",
        "41",
        "web1: 7 of the kernel's audit messages",
    ):
        assert words in text
    assert "Denials (1)" in small.run("document.querySelector('nav').innerText")


def test_the_page_works_with_the_keyboard_alone(small: Browser) -> None:
    small.run("document.querySelector('#heat thead tr').lastElementChild.firstElementChild.focus()")
    small.press("Tab")
    assert small.run("document.activeElement.textContent") == "web3"
    small.press("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp", "End", "Home", "ArrowRight", "Enter")
    assert small.run(f"{DIALOG}.open") is True
    assert "web3: Default PIDs limit" in small.run(f"{DIALOG}.innerText")
    # The page's own listener of this event, which returns the focus, runs before this one.
    small.run(f"{DIALOG}.addEventListener('close', () => {{ window.dialogIsClosed = true; }})")
    small.press("Escape")
    assert small.wait_for("window.dialogIsClosed === true")
    small.press("Tab")
    assert small.run("document.activeElement.closest('#heat tbody')") is None, "the table is one tab stop, not one per cell"


def test_hosts_without_a_verification_give_a_reason(small: Browser) -> None:
    small.click(CELL.format(row=2, cell=5))
    assert "No evidence: last tried < 2 min ago: no route" in small.run(f"{DIALOG}.innerText")


def test_every_status_has_a_sign_and_a_name(small: Browser) -> None:
    cells = small.run("Array.from(document.querySelectorAll('#heat td.s')).map(cell => [cell.classList[2], cell.textContent])")
    signs = {"enforced": "+ enforced", "degraded": "! degraded", "absent": "x absent", "unknown": "? unknown", "not_applicable": "- n/a"}
    assert len(cells) == 6 * len(JUDGED)
    assert {status for status, unused in cells} == set(signs)
    for status, text in cells:
        assert text == signs[status]


def compute_luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)` as WCAG 2 defines it."""
    linear = []
    for number in re.findall(r"\d+", colour)[:3]:
        part = int(number) / 255
        linear.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_contrast_and_worse_statuses_are_darker(small: Browser) -> None:
    style = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.querySelector('#heat .s.{}')))"
    backgrounds = {}
    for status in ("enforced", "degraded", "absent", "not_applicable"):
        text, background = (compute_luminance(colour) for colour in small.run(style.format(status)))
        assert (max(text, background) + 0.05) / (min(text, background) + 0.05) >= 4.5, status
        backgrounds[status] = background
    assert backgrounds["enforced"] > backgrounds["degraded"] > backgrounds["absent"]


def test_print_has_no_tools_and_cuts_no_row(small: Browser) -> None:
    small.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert small.run("getComputedStyle(document.querySelector('.tools')).display") == "none"
        assert small.run("(s => s.scrollHeight <= s.clientHeight + 1)(document.querySelector('.scroll'))") is True
    finally:
        small.call("Emulation.setEmulatedMedia", media="")
    pdf = small.pdf()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000


def test_a_cell_of_the_attack_matrix_opens(small: Browser) -> None:
    small.click("document.querySelector('#matrix tbody td:nth-child(4)')")
    text = small.run(f"{DIALOG}.innerText")
    assert "bpf: seccomp" in text
    assert "blocked, with EPERM, at call" in text
    assert "web1" in text


def test_a_real_matrix(browser: Browser, tmp_path: Path) -> None:
    """attack-web1.json is a report of attack.yml on a hardened VM, with fewer attacks."""
    attacked: dict[str, Any] = json.loads((Path(samples.__file__).parents[1] / "fixtures" / "attack-web1.json").read_text())
    browser.errors.clear()
    browser.open(write_page(tmp_path, load_report("web1"), {**attacked, "written": samples.format_time()}))
    assert browser.run("document.querySelectorAll('#matrix tbody tr').length") == len(attacked["matrix"]["attacks"])
    assert browser.run("document.querySelectorAll('#matrix thead th').length") == 1 + len(attacked["matrix"]["configurations"])
    assert browser.run("document.querySelector('#heat tbody td').textContent") == "failing", "a requirement is not met"
    browser.click(
        "Array.from(document.querySelectorAll('#matrix tbody th')).find(head => head.textContent.startsWith('host_disk')).nextElementSibling"
    )
    assert "host_disk: no layer (the baseline)" in browser.run(f"{DIALOG}.innerText")
    assert browser.errors == []


def test_hostile_input_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    odd = samples.make_finding("seccomp.off", samples.HOSTILE, "absent", samples.HOSTILE)
    own = samples.make_layer("seccomp", "absent", findings=[odd], evidence=[{"source": samples.HOSTILE, "value": samples.HOSTILE}])
    box = samples.make_container(samples.HOSTILE, image=samples.HOSTILE, opted_out=["seccomp"], findings=[odd], layers=[own])
    browser.errors.clear()
    browser.open(write_page(tmp_path, samples.make_verification(samples.HOSTILE, own, containers=[box])))
    browser.click(CELL.format(row=0, cell=5))
    text = browser.run(f"{DIALOG}.innerText")
    assert "</script><img src=x onerror=alert(1)>" in text
    assert "\\u202etxt.exe" in text
    browser.press("Escape")
    browser.click(CELL.format(row=0, cell=0))
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.scripts.length") == 3  # the data of the hosts, the data of layers and controls, the script
    assert browser.errors == []


def test_the_policy_blocks_an_injected_script(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, samples.make_verification("a"))
    path.write_text(path.read_text().replace("<main>", "<main><script>window.ran = true</script><img src=x onerror='window.ran = true'>"))
    browser.open(path)
    assert browser.run("window.ran") is None
    assert any("Content Security Policy" in error for error in browser.errors)
    browser.errors.clear()


def test_a_thousand_hosts(browser: Browser, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """The bounds are generous, because CI's machines are slow. docs/report.md has measured values."""
    kinds = [load_report(f"web{n}") for n in (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)]
    path = write_page(tmp_path, *({**kinds[n % 10], "host": f"docker-{n}.example.com"} for n in range(1000)))
    seconds = browser.open(path)
    record_property("bytes", path.stat().st_size)
    record_property("load_seconds", seconds)
    assert path.stat().st_size < 15_000_000
    assert seconds < 60
    assert browser.run(f"{VISIBLE}.length") == 1000
    set_value(browser, "terms", "seccomp:absent")
    assert browser.run(f"{VISIBLE}.length") == 100
    browser.click(f"{VISIBLE}[99].cells[5]")
    assert "seccomp.unfiltered" in browser.run(f"{DIALOG}.innerText")
    assert browser.errors == []


def test_the_controls_are_filtered(browser: Browser, tmp_path: Path) -> None:
    statuses = {"CIS-2.2": ("pass", 1), "CIS-2.13": ("fail", 2), "CIS-5.2": ("fail", 1), "CIS-7.1": ("not_applicable", 1)}
    report = load_report("web1")
    report["verification"]["controls"] = [samples.make_control(name, status, level=level) for name, (status, level) in statuses.items()]
    browser.errors.clear()
    browser.open(write_page(tmp_path, report))
    rows = "Array.from(document.querySelectorAll('#control-table tbody tr')).filter(row => !row.hidden)"
    names = f"{rows}.map(row => row.cells[0].firstChild.textContent.trim())"
    assert browser.run(names) == list(statuses)
    for field, value, left in (("section", "2", ["CIS-2.2", "CIS-2.13"]), ("status", "fail", ["CIS-2.13"]), ("level", "1", [])):
        choose(browser, field, value)
        assert browser.run(names) == left
    assert browser.run("document.getElementById('controls-shown').textContent") == "0 of 4 controls shown."
    browser.click("document.querySelector('#control-filter button[type=reset]')")
    assert browser.wait_for(f"{names}.length === 4")
    assert browser.errors == []


def choose(browser: Browser, field: str, value: str) -> None:
    element = f"document.getElementById('control-filter').elements['{field}']"
    browser.run(f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('input', {{bubbles: true}})); }})({element})")
