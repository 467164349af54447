# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of the language: each rule finds what it should, and leaves what is nearly the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import check_language
import pytest
import yaml

WORDS = [
    ("It proves the layers.", "It improves the layers."),
    ("A proof of each layer", "A tamper-proof archive"),
    ("by the kernel's word", "by the kernel's wording"),
    ("what the kernel says", "what the kernel enforces"),
    ("The canary does not start.", "The canary group does not start."),
    ("Remove the canary container", "Harden the hosts of group canary"),
    ("Show the refusals", "Show the blockers"),
    ("what knocks at it", "a knack for it"),
    ("Whoever runs this", "The user who runs this"),
    ("nobody's file", "nobody:nogroup"),
    ("what he sets", "what the shell sets"),
    ("It is carried over.", "It is carried to the next byte."),
    ("'many' is no integer", "there is no integer"),
    ("These are no layers.", "They are no longer layers."),
    ("one module run a host", "a module run per host"),
    ("one line a layer", "one line in a layer"),
    ("where it stands", "RTNETLINK stands for a protocol"),
    ("The file comes back.", "The file comes in the backup."),
    ("Hosts that are spared", "Hosts that are sparse"),
    ("It tells the truth.", "It reads /proc."),
    ("The folder lies there.", "The list relies on it."),
    ("a calm output", "a calmodulin"),
    ("Play the attacks", "Run the play of attacks"),
    ("Plays an intruder", "The play starts an intruder"),
    ("in one container a configuration", "one container per configuration"),
    ("what containers feel", "what containers fee"),
    ("a run that died", "a run that ended"),
]


def find_words(text: str, banned: list[check_language.Banned]) -> list[check_language.LanguageFinding]:
    return list(check_language.check_words(text, banned))


@pytest.mark.parametrize(("hit", "near_miss"), WORDS)
def test_words(hit: str, near_miss: str) -> None:
    """A word with one meaning is found in all text."""
    assert len(find_words(hit, check_language.EVERYWHERE)) == 1
    assert find_words(near_miss, check_language.EVERYWHERE) == []


@pytest.mark.parametrize(
    ("hit", "near_miss"),
    [
        ("The plan is refused.", "dockerd: connection refused (ECONNREFUSED)"),
        ("the wish of the inventory", "a wishbone"),
        ("a foreign file", "the range of systemd for foreign images"),
        ("what was heard", "what was hard"),
        ("the wall that it hit", "the wall clock"),
        ("the host's fate", "the host's state"),
        ("what a container demands", "loaded on demand"),
        ("The data are carried.", "the carrier"),
        ("the wanted value", "an unwanted value"),
        ("a file of ours", "two hours"),
        ("the engines beside it", "the engine besides"),
    ],
)
def test_words_of_prose(hit: str, near_miss: str) -> None:
    """A word that means something else in code is found in prose only."""
    assert len(find_words(hit, check_language.IN_PROSE)) == 1
    assert find_words(hit, check_language.EVERYWHERE) == []
    assert find_words(near_miss, check_language.IN_PROSE) == []


@pytest.mark.parametrize(
    ("name", "near_miss"),
    [
        ("room", "mushroom"),
        ("list_rooms", "list_roots"),
        ("ProofOfLayer", "TamperProofing"),
        ("_wish", "wishbone"),
        ("is_wanted", "WANTED_BY"),
        ("build_refusal", "refuse_all"),
        ("OURS", "HOURS"),
        ("is_theirs", "is_other"),
        ("spared_hosts", "spare_hosts"),
    ],
)
def test_names_in_code(name: str, near_miss: str) -> None:
    """A name is read in parts, which underscores and capital letters separate."""
    (finding,) = check_language.check_name(name)
    assert finding.rule == "name" and f" in {name}; use: " in finding.text
    assert list(check_language.check_name(near_miss)) == []


@pytest.mark.parametrize("code", ["`proof`", "``proof``", "O(proof)", "RV(proof)", "{{ proof }}", "{% if proof %}"])
def test_names_in_text_are_not_words(code: str) -> None:
    assert find_words(f"the former {code}", check_language.IN_PROSE) == []
    assert find_words("the former proof", check_language.IN_PROSE) != []


def test_a_word_has_its_line() -> None:
    found = find_words("`two\nlines`\nIt proves.", check_language.EVERYWHERE)
    assert [finding.line for finding in found] == [2]
    assert found[0].text == "'proves'; use: verify, verification, verified"


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("Install the profiles", True),
        ("Plan, where the plan is missing", True),
        ("{{ step }}", True),
        ("The profiles", False),
        ("Installed profiles", False),
        ("install the profiles", False),
        ("", False),
    ],
)
def test_task_names(name: str, is_good: bool) -> None:
    assert (list(check_language.check_task_name(name)) == []) == is_good


@pytest.mark.parametrize(("name", "is_good"), [("test_" + "x" * 55, True), ("test_" + "x" * 56, False), ("helper" + "x" * 60, True)])
def test_test_names(name: str, is_good: bool) -> None:
    assert (list(check_language.check_test_name(name)) == []) == is_good


@pytest.mark.parametrize(
    ("paragraph", "line"),
    [
        ("a " * 35 + "end.", 0),
        ("a " * 34 + "end.", None),
        ("a " * 20 + "end. " + "a " * 20 + "end.", None),
        ("A short one.\n" + "a " * 36 + "end.", 1),
        ("a " * 20 + "e.g. " + "a " * 20, 0),
        ("a " * 30 + "`one two three four five six`", None),
        ("a " * 34 + "[end](https://example.org/a) - *", None),
        ("a " * 34 + "[the end](https://example.org/a)", 0),
        ("a " * 20 + "(end.) " + "a " * 20, None),
    ],
)
def test_sentences(paragraph: str, line: int | None) -> None:
    assert [finding.line for finding in check_language.check_sentences(paragraph)] == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("line", "is_good"),
    [
        ("x" * 100, True),
        ("x" * 101, False),
        ("[title](https://example.org/" + "x" * 100 + ")", True),
        ("* ![picture](" + "x" * 100 + ")", True),
        ("[name]: https://example.org/" + "x" * 100, True),
        ("See [title](https://example.org/" + "x" * 100 + ")", False),
    ],
)
def test_width(line: str, is_good: bool) -> None:
    assert (list(check_language.check_width(line)) == []) == is_good


MARKDOWN = """# Title
Prose
continues.

```console
$ code
```

| a | table |
|---|---|

    indented code

* item

    of the item
* another
<!-- made -->
generated
<!-- made -->
<!-- a comment -->
Last.
"""


def test_markdown_without_code_tables_and_generated_blocks() -> None:
    lines = list(check_language.read_prose_lines(MARKDOWN))
    assert [number for number, line in lines] == list(range(1, len(MARKDOWN.splitlines()) + 1))
    assert [line for _number, line in lines if line] == [
        "# Title",
        "Prose",
        "continues.",
        "* item",
        "    of the item",
        "* another",
        "Last.",
    ]


def test_paragraphs_of_markdown() -> None:
    assert list(check_language.read_paragraphs(check_language.read_prose_lines(MARKDOWN))) == [
        (1, "# Title"),
        (2, "Prose\ncontinues."),
        (14, "item"),
        (16, "    of the item"),
        (17, "another"),
        (22, "Last."),
    ]


YAML = """
- name: Harden
  hosts: all
  tasks:
    - name: Try it
      block:
        - name: Run a container
          docker_container: {name: web server, labels: [{name: x}]}
      rescue:
        - name: Fail
          fail:
            msg: It failed
"""


def test_names_of_tasks_and_plays() -> None:
    """The parameter `name` of a module is not the name of a task."""
    names = list(check_language.read_tasks(yaml.compose(YAML)))
    assert names == [(2, "Harden"), (5, "Try it"), (7, "Run a container"), (10, "Fail")]


def test_text_of_yaml() -> None:
    texts = [text for _line, text in check_language.read_yaml_texts(yaml.compose(YAML), is_fragment=False)]
    assert texts == ["Harden", "Try it", "Run a container", "web server", "x", "Fail", "It failed"]
    fragment = yaml.compose("major_changes:\n  - It is new.\n")
    assert list(check_language.read_yaml_texts(fragment, is_fragment=False)) == []
    assert list(check_language.read_yaml_texts(fragment, is_fragment=True)) == [(2, "It is new.")]


PYTHON = '''"""The module's docstring."""
import re
PATTERN = re.compile("a pattern")
KEY = "key"
MESSAGE = "a message"
def work(name):
    """The function's docstring."""
    # A comment
    # of two lines.
    return f"{name} is made of {KEY}"
'''


def test_messages_of_python() -> None:
    """Docstrings, regular expressions and strings without a space are not messages."""
    assert list(check_language.read_messages(ast.parse(PYTHON))) == [(10, "{} is made of {}"), (5, "a message")]


def test_names_that_python_defines() -> None:
    """Names that are only used have their finding where they are defined."""
    source = "import a as b\nclass C:\n    def d(self, e=f, *g, **h):\n        self.i = j = k.l(m=n)\n        for o in p: pass\n"
    assert {name for _line, name in check_language.read_names(ast.parse(source))} == {"b", "C", "d", "self", "e", "g", "h", "i", "j", "o"}


def test_task_names_of_examples() -> None:
    source = 'NOTES = """\n- name: other\n"""\nEXAMPLES = r"""\n- name: Run it\n  block:\n    - name: It runs\n"""\n'
    assert list(check_language.read_examples(ast.parse(source))) == [(5, "Run it"), (7, "It runs")]


def test_docstrings_and_comments_of_python() -> None:
    docstrings = [node.value for node in check_language.read_docstrings(ast.parse(PYTHON))]
    assert docstrings == ["The module's docstring.", "The function's docstring."]
    assert list(check_language.read_comments(PYTHON)) == [(8, "A comment\nof two lines.")]


@pytest.mark.parametrize(
    ("name", "source", "findings"),
    [
        ("a.md", "Fine.\n\nIt proves.\n", ["3: vocabulary"]),
        ("CHANGELOG.md", "It proves.\n", []),
        ("a.yml", "- name: Prove it\n", ["1: task name", "1: vocabulary"]),
        ("a.yml", "key: 1  # It proves.\n", ["1: vocabulary"]),
        ("fragments/a.yml", "bugfixes:\n  - It proves.\n", ["2: vocabulary"]),
        ("a.py", 'x = 1\ny = "It proves."\n', ["2: vocabulary"]),
        ("a.py", '"""Fine.\n\nIt proves."""\n', ["3: vocabulary"]),
        ("tests/a.py", 'y = "It proves."  # fine\n', []),
        ("tests/a.py", "y = 1  # It proves.\n", ["1: vocabulary"]),
        ("tests/a.py", f"def test_{'x' * 60}(): ...\n", ["1: test name"]),
        ("tests/a.py", "import judge as room\n", ["1: name"]),
        ("a.py", 'EXAMPLES = """\n- name: The example\n"""\n', ["2: task name"]),
        ("a.py", "# The plan is refused.\n", ["1: vocabulary"]),
        ("a.md", "The plan is refused.\n", ["1: vocabulary"]),
        ("scripts/a", "# The plan is refused.\n", []),
        ("scripts/a", "# It proves.\n", ["1: vocabulary"]),
        ("a.html", "the wanted value\n", ["1: vocabulary"]),
        ("a.cfg", "the wanted value\n", []),
        ("a.bin", "It proves.\n", []),
        ("absent.md", None, []),
    ],
)
def test_files(name: str, source: str | None, findings: list[str], tmp_path: Path) -> None:
    """Each kind of file is read in its own way."""
    file = tmp_path / name
    if source is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    found = sorted(check_language.check_file(file.relative_to(tmp_path) if source is None else file))
    assert [f"{finding.line}: {finding.rule}" for finding in found] == findings


def test_the_exit_code_and_the_output(tmp_path: Path) -> None:
    program = str(Path(check_language.__file__))
    file = tmp_path / "a.md"
    file.write_text("It proves.\n")
    done = subprocess.run([sys.executable, program, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == f"{file}:1: vocabulary: 'proves'; use: verify, verification, verified\n"
    broken = tmp_path / "a.py"
    broken.write_text("def\n")
    done = subprocess.run([sys.executable, program, str(broken)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, f"{broken}:1: syntax: invalid syntax (<unknown>, line 1)\n")
    file.write_text("Fine.\n")
    assert subprocess.run([sys.executable, program, str(file)], check=False).returncode == 0
