# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns recorded accesses to files into few rules that are the same for all replicas. Pure.

Mounts and folders of read-only programs and data become rules for the whole folder. Other files stay as they are, or become `FOLDER/*` after three
siblings with one mask, and `FOLDER/**` after three folders. Nothing becomes /, /etc/**, /proc/** or /sys/**.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...module_utils.recorder.paths import escape
from .model import ContainerMount, SeenAccess

MANY = 3
MANY_PROGRAMS = 12
# Read-only content of images: below these, reading and mapping as code is allowed for the whole folder.
_CONTENT = (
    "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec", "/usr/share", "/usr/local/lib", "/usr/local/lib64", "/usr/local/share",
    "/usr/local/libexec", "/lib", "/lib32", "/lib64", "/libx32",
)  # fmt: skip
# Read-only programs that images add: the folder below the first name.
_ADDED = ("/opt/", "/app/", "/srv/")
# Only single names are replaced there, and only for reading.
_EXACT = ("/etc/", "@{PROC}/", "/proc/", "/sys/", "/dev/")
_PRIVATE = ("/tmp/", "/var/tmp/", "/home/", "@{PROC}/@{pid}/")
# Folders of programs, whose other files are not offered by a rule for the folder.
_PROGRAMS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
# In the order of man 5 apparmor.d.
_LETTERS = {"r": "r", "w": "w", "l": "l", "k": "k", "m": "m", "x": "ix"}


@dataclass(frozen=True)
class FileRule:
    """A rule for files. mask: letters of `rwlkmx`. sources: the recorded paths. hosts, first: where and since when they were recorded."""

    path: str
    mask: frozenset[str]
    owner: bool
    sources: tuple[str, ...]
    hosts: tuple[str, ...]
    first: str

    @property
    def text(self) -> str:
        """The rule, without a comma at its end."""
        path = f'"{self.path}"' if " " in self.path else self.path
        letters = "".join(text for letter, text in _LETTERS.items() if letter in self.mask)
        return f"{'owner ' if self.owner else ''}{path} {letters}"


def generalise_paths(accesses: Sequence[SeenAccess], mounts: Sequence[ContainerMount]) -> list[FileRule]:
    """Return the rules for accesses to files, by path. The paths have passed recorder/paths.py, so they are patterns."""
    rules = _merge(_build_rule(each, mounts) for each in accesses)
    rules = _fold_siblings(rules)
    rules = _fold_folders(rules)
    return _drop_covered(rules)


def _build_rule(access: SeenAccess, mounts: Sequence[ContainerMount]) -> FileRule:
    path, mask = str(access.access["path"]), frozenset(access.access["mask"])
    owner = bool(access.access.get("owner")) and "w" in mask and path.startswith(_PRIVATE)
    return FileRule(_choose_pattern(path, mask, mounts), mask, owner, (path,), tuple(access.hosts), access.first)


def _choose_pattern(path: str, mask: frozenset[str], mounts: Sequence[ContainerMount]) -> str:
    """Return the folder's pattern for a path in a mount or in read-only content, else the path."""
    if "x" in mask:
        return path
    inside = [folder for folder in (escape(mount.destination) for mount in mounts) if _is_below(path, folder)]
    if inside and not path.startswith(_EXACT):
        return f"{max(inside, key=len).rstrip('/')}/{{,**}}"
    if mask <= {"r", "m"}:
        content = next((folder for folder in _CONTENT if _is_below(path, folder)), None)
        if content:
            return f"{content}/{{,**}}"
        added = next((folder for folder in _ADDED if path.startswith(folder)), None)
        name = path.removeprefix(added).partition("/") if added else ("", "", "")
        if added and name[1] and not set(name[0]) & set("*?["):
            return f"{added}{name[0]}/{{,**}}"
    return path


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/") and folder != "/"


def _merge(rules: Iterable[FileRule]) -> list[FileRule]:
    """Return one rule per path and program bit, with the masks of all. A rule has `owner` only if all have it."""
    found: dict[str, list[FileRule]] = {}
    for rule in rules:
        found.setdefault(rule.path, []).append(rule)
    return [_join(path, found[path]) for path in sorted(found)]


def _join(path: str, rules: Sequence[FileRule]) -> FileRule:
    return FileRule(
        path,
        frozenset().union(*(rule.mask for rule in rules)),
        all(rule.owner for rule in rules),
        tuple(sorted({source for rule in rules for source in rule.sources})),
        tuple(sorted({host for rule in rules for host in rule.hosts})),
        min(rule.first for rule in rules),
    )


def _fold_siblings(rules: Sequence[FileRule]) -> list[FileRule]:
    """Return the rules with FOLDER/* for files of one folder and one mask, where there are MANY."""
    groups: dict[tuple[str, frozenset[str]], list[FileRule]] = {}
    for rule in rules:
        folder, unused, name = rule.path.rpartition("/")
        if name and not rule.path.endswith("**}"):
            groups.setdefault((folder, rule.mask), []).append(rule)
    folded: list[FileRule] = []
    gone: set[str] = set()
    for (folder, mask), members in groups.items():
        if len(members) >= (MANY_PROGRAMS if "x" in mask else MANY) and _may_fold(folder, mask):
            folded.append(_join(f"{folder}/*", members))
            gone |= {rule.path for rule in members}
    return _merge([*folded, *(rule for rule in rules if rule.path not in gone)])


def _may_fold(folder: str, mask: frozenset[str]) -> bool:
    if "x" in mask:
        return folder in _PROGRAMS
    if folder.count("/") < 1 or folder in ("", "/etc", "/proc", "/sys", "/dev", "@{PROC}") or folder in _PROGRAMS:
        return False
    if f"{folder}/".startswith(_EXACT):
        return mask == {"r"} and folder.count("/") >= (1 if folder.startswith("@") else 2)
    return True


def _fold_folders(rules: Sequence[FileRule]) -> list[FileRule]:
    """Return the rules with FOLDER/** where MANY folders of one folder have rules that differ in nothing else; the deepest folders first."""
    current = list(rules)
    for depth in range(max((rule.path.count("/") for rule in current), default=0), 2, -1):
        groups: dict[tuple[str, frozenset[str]], dict[str, list[FileRule]]] = {}
        for rule in current:
            names = rule.path.split("/")
            if len(names) > depth and "x" not in rule.mask and not rule.path.startswith(_EXACT):
                groups.setdefault(("/".join(names[: depth - 1]), rule.mask), {}).setdefault(names[depth - 1], []).append(rule)
        for (folder, unused), members in groups.items():
            if len(members) >= MANY and folder.count("/") >= 2:
                inner = [rule for own in members.values() for rule in own]
                gone = {rule.path for rule in inner}
                current = _merge([_join(f"{folder}/**", inner), *(rule for rule in current if rule.path not in gone)])
    return current


def _drop_covered(rules: Sequence[FileRule]) -> list[FileRule]:
    """Return the rules without those that a rule for a whole folder contains."""
    whole = [(rule.path.removesuffix("{,**}").removesuffix("**"), rule) for rule in rules if rule.path.endswith(("**", "**}"))]
    return [
        rule
        for rule in rules
        if not any(
            other is not rule and rule.path.startswith(folder) and rule.mask <= other.mask and (rule.owner or not other.owner)
            for folder, other in whole
        )
    ]
