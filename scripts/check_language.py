# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the language of the repository: vocabulary, names in Python, of tasks and of tests, length of sentences, width of Markdown.

    check_language.py [path …]     check these files, or every file that git knows

The rules are in CONTRIBUTING.md and the vocabulary is in docs/glossary.md. There is no list of exceptions. What is code
is not read: names in backquotes, Ansible's markup such as C(name), Jinja, fenced blocks, regular expressions.
Output is one line per finding, ``path:line: rule: text``. The exit code is 1 if there are findings.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

LONGEST_SENTENCE = 35
WIDEST_LINE = 100
LONGEST_TEST_NAME = 60
GENERATED_NAME = "CHANGELOG.md"

# The first word of a task's or play's name.
VERBS = set(
    """
    Accept Add Adopt Allocate Allow Apply Assemble Assert Assign Attack Attach Bake Boot Build Change Check Clean Clear
    Collect Commit Compare Compose Compute Configure Confirm Connect Converge Convert Copy Count Create Decide Defer Define
    Delete Deliver Deny Deploy Describe Destroy Detach Determine Disable Download Drain Enable End Enforce Ensure Evaluate
    Expect Export Extend Fail Fetch Filter Finalize Finish Flush Format Gather Generate Grant Group Harden Ignore Import
    Include Inspect Install Invalidate Keep Kill Label Launch Limit Link List Load Lock Log Make Mark Measure Merge
    Migrate Mount Move Observe Open Parse Pause Plan Prepare Preserve Print Probe Propose Provide Publish Pull Purge
    Push Query Read Rebuild Reboot Receive Record Recover Reduce Refresh Refuse Register Reject Release Reload Remember
    Remove Rename Render Repair Replace Replay Report Request Require Reserve Reset Resolve Restart Restore Resume Retry Return
    Revert Revoke Roll Rotate Run Save Scan Schedule Select Send Set Show Skip Snapshot Sort Start Stop Store Summarize
    Switch Synchronize Template Test Touch Trace Turn Uninstall Unload Unlock Unmount Update Upgrade Use Validate
    Verify Wait Warn Watch Weaken Write
    """.split()
)


class Banned(NamedTuple):
    """Words that are not in the vocabulary, and what replaces them."""

    pattern: re.Pattern[str]
    instead: str


class LanguageFinding(NamedTuple):
    """One place that breaks a rule."""

    line: int
    rule: str
    text: str


class Text(NamedTuple):
    """A piece of text, and the line where it begins."""

    line: int
    text: str


# Words with one meaning: searched for in all text, comments and docstrings too.
EVERYWHERE = [
    Banned(re.compile(r"(?<!-)\b(prov(e|es|ed|en|ing)|proofs?)\b", re.I), "verify, verification, verified"),
    Banned(re.compile(r"\b(kernel|engine|daemon)'s (own )?words?\b", re.I), "evidence; reported by the engine"),
    Banned(re.compile(r"\bwhat the (kernel|engine|daemon) says\b", re.I), "evidence; reported by the engine"),
    Banned(
        re.compile(r"\bcanary (container|image)s?\b|\b(a|the|its|each|every) canary\b(?! (group|hosts?|batch))", re.I), "probe container"
    ),
    Banned(re.compile(r"\brefusals?\b", re.I), "blocker (of a plan), denial (by the kernel)"),
    Banned(re.compile(r"\bknock(s|ed|ing)?\b", re.I), "denial, denied"),
    Banned(re.compile(r"\b(whoever|whosoever|somebody|nobody's)\b", re.I), "name who it is: the operator, another program"),
    Banned(re.compile(r"\b(he|she|his|him|her)\b", re.I), "they, their"),
    Banned(re.compile(r"\bcarr(y|ies|ied|ying) (it |them )?over\b|\bold roots?\b", re.I), "migrate; migrated data root"),
    Banned(re.compile(r"(?<!there )\b(is|are) no (?!longer\b|more\b|less\b)\w+", re.I), "is not a …"),
    Banned(
        re.compile(
            r"\b(a|one|two|three|\d+) ((module )?(runs?|visits?|rows?|lines?|processes|containers?) )?a (host|machine|layer|configuration)\b",
            re.I,
        ),
        "per host",
    ),
    Banned(re.compile(r"\b(stands|stood)\b(?! for\b)", re.I), "exists, is set, contains"),
    Banned(re.compile(r"\b(come|comes|came|coming) back\b", re.I), "is restored, returns"),
    Banned(re.compile(r"\b(spare|spares|spared)\b", re.I), "skipped, not selected"),
    Banned(re.compile(r"\b(truth|truthful|lies|liars?)\b", re.I), "verifier accuracy, mismatch"),
    Banned(re.compile(r"\bcalm\b", re.I), "compact"),
    Banned(
        re.compile(r"\bplay(s|ed|ing)? (the |an |each |every |all |its |these )?(attacks?|moves?|intruders?|attackers?)\b", re.I),
        "run an attack",
    ),
    Banned(re.compile(r"\b(feels?|felt)\b", re.I), "effect on running containers, disruption"),
    Banned(re.compile(r"\brun that died\b|\bstates? that (nobody|somebody) wanted\b", re.I), "interrupted run, recover"),
]
# Words that have other meanings in code: searched for in prose, that is in Markdown, comments, docstrings and messages.
IN_PROSE = [
    *EVERYWHERE,
    Banned(re.compile(r"(?<!onnection )\brefused\b", re.I), "rejected, denied; blocker"),
    Banned(re.compile(r"\b(wish|wishes|wished)\b", re.I), "desired"),
    Banned(re.compile(r"\bforeign(?! (images?|keys?)\b)", re.I), "unmanaged"),
    Banned(re.compile(r"\b(heard|hears)\b", re.I), "denials"),
    Banned(re.compile(r"\bwalls?\b(?![- ](clock|time)\b)", re.I), "denial"),
    Banned(re.compile(r"\bfates?\b", re.I), "decision"),
    Banned(re.compile(r"\b(demands|demanded)\b", re.I), "settings; requires"),
    Banned(re.compile(r"\bcarried\b", re.I), "migrated"),
    Banned(re.compile(r"\bwanted\b", re.I), "desired"),
    Banned(re.compile(r"\b(ours|theirs)\b", re.I), "managed, unmanaged"),
    Banned(re.compile(r"\bbeside\b", re.I), "other engines; next to"),
]
# Parts of names in Python, which are separated by underscores or capital letters.
IN_NAMES = [
    Banned(re.compile(r"\brooms?\b"), "package, module, file"),
    Banned(re.compile(r"\b(prove[sdn]?|proofs?)\b"), "verify, verification, verified"),
    Banned(re.compile(r"\b(wish(es|ed)?|wanted(?! by\b))\b"), "desired"),  # WantedBy: man 5 systemd.unit
    Banned(re.compile(r"\brefusals?\b"), "blocker (of a plan), denial (by the kernel)"),
    Banned(re.compile(r"\b(ours|theirs)\b"), "managed, unmanaged"),
    Banned(re.compile(r"\bcarried\b"), "migrated"),
    Banned(re.compile(r"\bspared\b"), "skipped, not selected"),
    Banned(re.compile(r"\b(knock(s|ed)?|heard)\b"), "denial, denied"),
    Banned(re.compile(r"\bfates?\b"), "decision"),
    Banned(re.compile(r"\b(truth|liars?)\b"), "verifier accuracy, mismatch"),
]

# What is a name or code inside text: `name`, ``name``, C(name), O(option), {{ variable }}, …
CODE = re.compile(r"``.+?``|`[^`]+`|\b(?:[CVOBIMPLU]|RV|HORIZONTALLINE)\([^()]*\)|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
COMMENT_LINE = re.compile(r"\s*<!--.*-->\s*$")
ITEM = re.compile(r"\s*([-*+]|\d+[.)])\s+")
LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)")
LINK_ONLY = re.compile(r"\s*(([-*+]|\d+[.)])\s+)?(!?\[.*\]\(\S+\)\S*|\[[^]]+\]:\s+\S+|<?https?://\S+)\s*$")
SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)[.!?][)\"'*_]*(?=\s|$)")
TEXT_KEYS = {"name", "msg", "fail_msg", "success_msg", "description", "short_description", "title", "notes"}
TASK_LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")


# --- rules -----------------------------------------------------------------------------------------------------------


def check_words(text: str, banned: Iterable[Banned]) -> Iterator[LanguageFinding]:
    """Yield a finding for each word of the text that is not in the vocabulary; the text begins on line 0."""
    plain = CODE.sub(lambda found: " ` " + "\n" * found[0].count("\n"), text)
    for pattern, instead in banned:
        for found in pattern.finditer(plain):
            yield LanguageFinding(plain.count("\n", 0, found.start()), "vocabulary", f"{' '.join(found[0].split())!r}; use: {instead}")


def check_task_name(name: str) -> Iterator[LanguageFinding]:
    """Yield a finding if the name does not begin with a verb. A name that begins with a variable says nothing of itself."""
    first = name.split()[0].rstrip(",:") if name.strip() else ""
    if first not in VERBS and not first.startswith("{{"):
        yield LanguageFinding(0, "task name", f"{name!r} does not begin with a verb")


def check_test_name(name: str) -> Iterator[LanguageFinding]:
    """Yield a finding if a test's name is too long."""
    if name.startswith("test_") and len(name) > LONGEST_TEST_NAME:
        yield LanguageFinding(0, "test name", f"{name} has {len(name)} characters, {LONGEST_TEST_NAME} at most")


def check_name(name: str) -> Iterator[LanguageFinding]:
    """Yield a finding for each part of a name in code that is not in the vocabulary."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()
    for pattern, instead in IN_NAMES:
        for found in pattern.finditer(parts):
            yield LanguageFinding(0, "name", f"{found[0]!r} in {name}; use: {instead}")


def check_sentences(paragraph: str) -> Iterator[LanguageFinding]:
    """Yield a finding for each sentence that is too long. A link counts as its text, code counts as one word."""
    plain = CODE.sub("code", LINK.sub(r"\1", paragraph))
    begin = 0
    for end in [*(found.end() for found in SENTENCE_END.finditer(plain)), len(plain)]:
        words = [word for word in plain[begin:end].split() if re.search(r"\w", word)]
        if len(words) > LONGEST_SENTENCE:
            start = len(plain[:end]) - len(plain[begin:end].lstrip())
            line = plain.count("\n", 0, start)
            yield LanguageFinding(line, "sentence", f"{len(words)} words, {LONGEST_SENTENCE} at most: {' '.join(words[:8])} …")
        begin = end


def check_width(line: str) -> Iterator[LanguageFinding]:
    """Yield a finding if a line of prose is too wide; a line that is only a link cannot be wrapped."""
    if len(line) > WIDEST_LINE and not LINK_ONLY.match(line):
        yield LanguageFinding(0, "width", f"{len(line)} columns, {WIDEST_LINE} at most")


# --- what is text in a file ------------------------------------------------------------------------------------------


def read_prose_lines(markdown: str) -> Iterator[Text]:
    """Yield every line; those of code, tables and generated blocks are empty. A block begins and ends with the same comment line."""
    fence = block = ""
    in_list = in_code = False
    lines = markdown.splitlines()
    for number, line in enumerate(lines, 1):
        opening = FENCE.match(line)
        is_indented = line.startswith("    ")
        in_code = not in_list and is_indented and (in_code or number == 1 or not lines[number - 2].strip())
        if fence:
            fence = "" if opening and opening[1].startswith(fence) else fence
        elif block:
            block = "" if line.strip() == block else block
        elif opening:
            fence = opening[1]
        elif COMMENT_LINE.match(line):
            block = line.strip() if line.strip() in (later.strip() for later in lines[number:]) else ""
        elif not in_code and not line.lstrip().startswith("|"):
            in_list = bool(ITEM.match(line)) or (in_list and (not line.strip() or line.startswith(" ")))
            yield Text(number, line)
            continue
        yield Text(number, "")


def read_paragraphs(lines: Iterable[Text]) -> Iterator[Text]:
    """Yield paragraphs, headings and list items, each as one text."""
    begin, collected = 0, list[str]()
    for number, line in [*lines, Text(0, "")]:
        if collected and (not line.strip() or ITEM.match(line) or line.startswith("#")):
            yield Text(begin, "\n".join(collected))
            collected = []
        if line.strip():
            begin = begin if collected else number
            match = ITEM.match(line)
            collected.append(line[match.end() :] if match else line)
            if line.startswith("#"):
                yield Text(number, collected.pop())


def read_tasks(node: yaml.Node | None) -> Iterator[Text]:
    """Yield the names of the tasks and plays in a list of them."""
    if not isinstance(node, yaml.SequenceNode):
        return
    for task in node.value:
        if isinstance(task, yaml.MappingNode):
            for key, value in task.value:
                if key.value == "name" and isinstance(value, yaml.ScalarNode):
                    yield Text(value.start_mark.line + 1, value.value)
                elif key.value in TASK_LISTS:
                    yield from read_tasks(value)


def read_yaml_texts(node: yaml.Node | None, is_fragment: bool, is_text: bool = False) -> Iterator[Text]:
    """Yield what people read in a YAML document: values of ``name``, ``msg``, ``description`` and others; all of a fragment."""
    if isinstance(node, yaml.ScalarNode) and (is_fragment or is_text):
        yield Text(node.start_mark.line + 1, node.value)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from read_yaml_texts(child, is_fragment, is_text)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from read_yaml_texts(value, is_fragment, key.value in TEXT_KEYS)


def read_docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of a module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                yield first.value


def read_messages(tree: ast.Module) -> Iterator[Text]:
    """Yield the strings that contain a space and are neither docstrings nor arguments of a function of ``re``."""
    skipped: set[ast.AST] = set(read_docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "re":
            skipped.update(child for argument in node.args for child in ast.walk(argument))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            if node not in skipped and " " in "".join(parts):
                yield Text(node.lineno, "".join(parts))
            skipped.update(part for part in node.values if isinstance(part, ast.Constant))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and node not in skipped:
            yield Text(node.lineno, node.value)


def read_names(tree: ast.Module) -> Iterator[Text]:
    """Yield the names that the source defines: of functions, classes, arguments, variables, attributes and import aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield Text(node.lineno, node.name)
        elif isinstance(node, ast.arg):
            yield Text(node.lineno, node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield Text(node.lineno, node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield Text(node.lineno, node.attr)
        elif isinstance(node, ast.alias) and node.asname:
            yield Text(node.lineno, node.asname)


def read_examples(tree: ast.Module) -> Iterator[Text]:
    """Yield the names of the tasks in the examples of a module or plugin."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and ast.unparse(node.targets[0]) == "EXAMPLES":
            for document in yaml.compose_all(str(node.value.value), yaml.SafeLoader):
                for line, name in read_tasks(document):
                    yield Text(node.lineno + line - 1, name)


def read_comments(source: str) -> Iterator[Text]:
    """Yield the comments of Python source; lines that follow each other are one text."""
    begin, collected = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if collected and token.start[0] != begin + len(collected):
                yield Text(begin, "\n".join(collected))
                collected = []
            begin = begin if collected else token.start[0]
            collected.append(token.string.lstrip("# "))
    if collected:
        yield Text(begin, "\n".join(collected))


# --- files -----------------------------------------------------------------------------------------------------------


def shift(findings: Iterable[LanguageFinding], line: int) -> Iterator[LanguageFinding]:
    """Yield findings in a text that begins on the given line with their line in the file."""
    for finding in findings:
        yield finding._replace(line=finding.line + line)


def check_markdown(source: str) -> Iterator[LanguageFinding]:
    """Yield the findings in a Markdown file."""
    lines = list(read_prose_lines(source))
    for number, line in lines:
        yield from shift(check_width(line), number)
    for begin, paragraph in read_paragraphs(lines):
        yield from shift(check_sentences(paragraph), begin)
        yield from shift(check_words(paragraph, IN_PROSE), begin)


def check_yaml(source: str, is_fragment: bool) -> Iterator[LanguageFinding]:
    """Yield the findings in a YAML file. Every value of a changelog fragment is text."""
    for document in yaml.compose_all(source, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        for line, name in read_tasks(document):
            yield from shift(check_task_name(name), line)
        for line, text in read_yaml_texts(document, is_fragment):
            yield from shift(check_words(text, IN_PROSE), line)
    for number, content in enumerate(source.splitlines(), 1):
        comment = re.search(r"(?:^|\s)# (.*)", content)
        if comment:
            yield from shift(check_words(comment[1], IN_PROSE), number)


def check_python(source: str, is_test: bool) -> Iterator[LanguageFinding]:
    """Yield the findings in a Python file. The strings of tests are not messages."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if is_test and isinstance(node, ast.FunctionDef):
            yield from shift(check_test_name(node.name), node.lineno)
    for docstring in read_docstrings(tree):
        yield from shift(check_words(str(docstring.value), IN_PROSE), docstring.lineno)
    for line, text in read_comments(source):
        yield from shift(check_words(text, IN_PROSE), line)
    for line, name in read_names(tree):
        yield from shift(check_name(name), line)
    for line, name in read_examples(tree):
        yield from shift(check_task_name(name), line)
    if not is_test:
        for line, text in read_messages(tree):
            yield from shift(check_words(text, IN_PROSE), line)


def check_lines(source: str, banned: Iterable[Banned]) -> Iterator[LanguageFinding]:
    """Yield the findings in a file of another language, line by line."""
    for number, line in enumerate(source.splitlines(), 1):
        yield from shift(check_words(line, banned), number)


def check_file(path: Path) -> Iterator[LanguageFinding]:
    """Yield the findings in a file of a known kind."""
    if path.name == GENERATED_NAME or not path.is_file():
        return
    is_script = not path.suffix and path.parent.name in ("scripts", ".ci")
    if path.suffix == ".md":
        yield from check_markdown(path.read_text(encoding="utf-8"))
    elif path.suffix in (".yml", ".yaml"):
        yield from check_yaml(path.read_text(encoding="utf-8"), path.parent.name == "fragments")
    elif path.suffix == ".py":
        yield from check_python(path.read_text(encoding="utf-8"), "tests" in path.parts)
    elif path.suffix in (".j2", ".js", ".html"):
        yield from check_lines(path.read_text(encoding="utf-8"), IN_PROSE)
    elif path.suffix in (".sh", ".css", ".toml", ".ini", ".cfg", ".txt") or path.name == "Makefile" or is_script:
        yield from check_lines(path.read_text(encoding="utf-8"), EVERYWHERE)


def main(arguments: list[str]) -> int:
    """Print the findings; the exit code says whether there are any."""
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True, text=True
    )
    paths = [Path(name) for name in arguments or sorted(known.stdout.split("\0")) if name]
    count = 0
    for path in paths:
        try:
            findings = sorted(check_file(path))
        except (SyntaxError, yaml.YAMLError) as error:
            findings = [LanguageFinding(1, "syntax", " ".join(str(error).split()))]
        for finding in findings:
            print(f"{path}:{finding.line}: {finding.rule}: {finding.text}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
