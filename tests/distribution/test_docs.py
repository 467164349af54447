# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's site: it builds without a warning (a link that leads nowhere is one), with a page for each thing that the collection has."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COLLECTION = Path("collections/ansible_collections/bulkhead/docker")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(["scripts/docs", str(folder)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class PageText(HTMLParser):
    """The words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text(page: Path) -> str:
    parser = PageText()
    parser.feed(page.read_text(encoding="utf-8"))
    return " ".join(" ".join(parser.words).split())


def test_a_page_for_each_module_and_role(site: Path) -> None:
    modules = {f"{path.stem}_module" for path in (REPOSITORY / COLLECTION / "plugins/modules").glob("*.py")}
    roles = {f"{path.name}_role" for path in (REPOSITORY / COLLECTION / "roles").iterdir()}
    pages = {path.stem for path in (site / "collection").glob("*.html")}
    assert modules and roles
    assert modules | roles <= pages
    for role in roles:
        assert (site / COLLECTION / "roles" / role.removesuffix("_role") / "README.html").exists()


def test_a_page_says_what_the_source_says(site: Path) -> None:
    page = text(site / "collection" / "verify_layers_module.html")
    assert "Verify from kernel evidence" in page
    assert "bulkhead.docker.verify_layers" in page


def test_no_page_has_an_error_in_it(site: Path) -> None:
    for page in site.rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        assert 'class="system-message"' not in content and "ERROR: Adding a table of contents" not in content, page


def test_each_guide_is_reached_from_the_first_page(site: Path) -> None:
    first = (site / "docs/site/index.html").read_text(encoding="utf-8")
    for guide in (REPOSITORY / "docs").glob("*.md"):
        assert f"../{guide.stem}.html" in first, guide.name


def test_it_needs_no_network_to_be_read(site: Path) -> None:
    for page in (site / "docs/site/index.html", site / "docs/report.html", site / "collection/index.html"):
        assert not re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(?:https?:)?//', page.read_text(encoding="utf-8"))


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 700
