# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent with real repositories and signatures, and a fake ansible-pull."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.pull import agent, rendering

pytestmark = pytest.mark.skipif(not shutil.which("git") or not shutil.which("ssh-keygen"), reason="git and ssh-keygen are needed")

PULL = """#!/bin/sh
printf '%s\\n' "$@" > {told}
[ -f {fail} ] && {{ cat {fail}; exit 2; }}
echo 'bulkhead_host_verified 1' > {fresh}
"""


class Place:
    """A host's root, an origin, and two people who sign."""

    def __init__(self, folder: Path) -> None:
        self.root, self.origin, self.told, self.fail = folder / "host", folder / "origin", folder / "told", folder / "fail"
        self.metrics = self.root / "metrics"
        for name in ("ops", "eve"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
        self.folder = folder
        program = folder / "ansible-pull"
        program.write_text(PULL.format(told=self.told, fail=self.fail, fresh=self.root / "var/lib/bulkhead/pull/fresh.prom"))
        program.chmod(0o755)
        signers = folder / "signers"
        signers.write_text(f"ops@example.com {(folder / 'ops.pub').read_text()}")
        self.git("init", "--quiet", "--initial-branch=main", str(self.origin), where=None)
        (self.root / "etc/bulkhead").mkdir(parents=True)
        config = rendering.render_git_config(True, False).replace(rendering.SIGNERS, str(signers))
        (self.root / "etc/bulkhead/pull-agent.gitconfig").write_text(config)
        self.configure()

    def configure(self, **change: Any) -> None:
        config = {
            "url": str(self.origin), "branch": "main", "revision": "", "signed": True, "mode": "check", "host": "web1", "rewind": False, "since": "24h",
            "inventory": "inventory/hosts.yml", "playbook": "playbooks/watch.yml", "metrics_dir": "/metrics", "program": str(self.folder / "ansible-pull"),
        }  # fmt: skip
        (self.root / "etc/bulkhead/pull-agent.json").write_text(json.dumps({**config, **change}))

    def git(self, *arguments: str, where: Path | None) -> str:
        environment = {
            **os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com", "GIT_COMMITTER_NAME": "x",
            "GIT_COMMITTER_EMAIL": "x@example.com",
        }  # fmt: skip
        return subprocess.run(["git", *arguments], cwd=where, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, text: str, signer: str | None = "ops") -> str:
        (self.origin / "file").write_text(text)
        self.git("add", "file", where=self.origin)
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.folder / signer}"] if signer else []
        self.git(*sign, "commit", "--quiet", *(["-S"] if signer else []), "-m", text, where=self.origin)
        return self.git("rev-parse", "HEAD", where=self.origin)

    def run(self, verb: str = "run") -> int:
        self.told.unlink(missing_ok=True)
        one = agent.Agent(str(self.root))
        return one.record_end() if verb == "ended" else one.run()

    def own(self) -> str:
        return (self.metrics / agent.OWN_METRICS).read_text()

    def shown(self) -> bool:
        return (self.metrics / agent.HOST_METRICS).exists()


def mark(place: Place, **values: Any) -> None:
    one = agent.Agent(str(place.root))
    with one.lock():
        one.save_state(**values)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_commit_with_a_valid_signature_runs(place: Place) -> None:
    commit = place.commit("one")
    assert place.run() == 0
    told = place.told.read_text().splitlines()
    assert told[told.index("--checkout") + 1] == commit
    assert told[-1] == "playbooks/watch.yml" and "--verify-commit" in told
    assert json.loads(told[told.index("--extra-vars") + 1])["ansible_connection"] == "local"
    assert 'bulkhead_pull_ok{reason=""} 1' in place.own()
    assert f'bulkhead_pull_revision_info{{revision="{commit}",mode="check"}} 1' in place.own()
    assert place.shown()
    clone = place.folder / "clone"
    place.git("clone", "--quiet", str(place.root / "var/lib/bulkhead/pull/origin.git"), str(clone), where=None)
    assert (clone / "file").read_text() == "one"


@pytest.mark.parametrize("signer", ["eve", None])
def test_invalid_signature_runs_nothing_and_removes_metrics(place: Place, signer: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    good = place.commit("one")
    assert place.run() == 0 and place.shown()
    place.commit("two", signer)
    assert place.run() == 1
    assert not place.told.exists() and not place.shown()
    assert 'bulkhead_pull_ok{reason="signature"} 0' in place.own()
    assert good in place.own(), "the revision that was last run"
    assert "bulkhead_pull_last_success_timestamp_seconds" in place.own()
    assert "is not signed by a signer that this host trusts" in capfd.readouterr().err
    verified = place.git("rev-parse", "verified", where=place.root / "var/lib/bulkhead/pull/origin.git")
    assert verified == good, "only what was verified can be cloned"


def test_unreachable_origin(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.commit("one")
    assert place.run() == 0
    place.origin.rename(place.folder / "away")
    assert place.run() == 1
    assert not place.told.exists() and not place.shown()
    assert 'bulkhead_pull_ok{reason="unreachable"} 0' in place.own()
    assert f"unreachable: the origin {place.origin} cannot be fetched" in capfd.readouterr().err


def test_older_commit_with_a_valid_signature_does_not_run(place: Place) -> None:
    old = place.commit("one")
    new = place.commit("two")
    assert place.run() == 0
    place.git("reset", "--quiet", "--hard", old, where=place.origin)
    assert place.run() == 1
    assert not place.told.exists()
    assert 'reason="rewind"' in place.own() and new in place.own()
    place.configure(rewind=True)
    assert place.run() == 0


def test_fetched_pinned_commit_needs_no_signature_or_origin(place: Place) -> None:
    pin = place.commit("one", None)
    place.commit("two", None)
    place.configure(signed=False, revision=pin)
    assert place.run() == 0
    told = place.told.read_text().splitlines()
    assert told[told.index("--checkout") + 1] == pin and "--verify-commit" not in told
    place.origin.rename(place.folder / "away")
    assert place.run() == 0
    place.configure(signed=False, revision="1" * 40)
    assert place.run() == 1
    assert 'reason="unreachable"' in place.own()
    (place.folder / "away").rename(place.origin)
    assert place.run() == 1
    assert 'reason="revision"' in place.own()


def test_neither_pin_nor_signers_is_an_error(place: Place) -> None:
    place.commit("one")
    place.configure(signed=False)
    assert place.run() == 1 and not place.told.exists()


def test_pinned_commit_with_signers_must_be_signed(place: Place) -> None:
    pin = place.commit("one", "eve")
    place.configure(revision=pin)
    assert place.run() == 1 and not place.told.exists()
    assert 'reason="signature"' in place.own()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("failed: [web1]: web1 has drifted\n\nPLAY RECAP\n", "failed: [web1]: web1 has drifted"),
        (
            "fatal: [web1]: FAILED! =>\n    changed: false\n    msg: web1 has drifted\n    msg: no\n",
            "fatal: [web1]: FAILED! msg: web1 has drifted\n",
        ),
        ("", "see its output above"),
    ],
)
def test_failed_playbook_publishes_no_old_metrics(place: Place, capfd: pytest.CaptureFixture[str], output: str, words: str) -> None:
    place.commit("one")
    assert place.run() == 0
    place.fail.write_text(output)
    assert place.run() == 1
    assert 'reason="run"' in place.own() and not place.shown()
    assert f"failed (exit code 2): {words}" in capfd.readouterr().err


def test_killed_run_is_recorded(place: Place) -> None:
    place.commit("one")
    assert place.run() == 0
    assert place.run("ended") == 0, "nothing to say of a run that came to its end"
    mark(place, running=True)
    assert place.run("ended") == 1
    assert 'reason="ended"' in place.own() and not place.shown()


def test_missing_configuration_and_damaged_state(place: Place) -> None:
    place.commit("one")
    (place.root / "var/lib/bulkhead/pull").mkdir(parents=True)
    (place.root / "var/lib/bulkhead/pull/state.json").write_text("{half")
    assert place.run() == 0
    (place.root / "etc/bulkhead/pull-agent.json").write_text("{}")
    assert place.run() == 1


def test_second_run_is_rejected(place: Place) -> None:
    import fcntl

    place.commit("one")
    assert place.run() == 0
    mark(place, running=True)
    with open(place.root / "var/lib/bulkhead/pull/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert place.run() == 1
        assert place.run("ended") == 0, "what was ended is the second one"
    assert 'bulkhead_pull_ok{reason=""} 1' in place.own() and place.shown(), "the result of the first run is kept"
    assert json.loads((place.root / "var/lib/bulkhead/pull/state.json").read_text())["running"] is True


def test_links_in_the_metrics_folder_are_replaced(place: Place) -> None:
    place.commit("one")
    place.metrics.mkdir()
    victim = place.folder / "victim"
    victim.write_text("root's")
    victim.chmod(0o600)
    for name in (agent.OWN_METRICS, f".{agent.OWN_METRICS}.{os.getpid()}", agent.HOST_METRICS, f".{agent.HOST_METRICS}.{os.getpid()}"):
        (place.metrics / name).symlink_to(victim)
    assert place.run() == 0
    assert victim.read_text() == "root's" and victim.stat().st_mode & 0o777 == 0o600
    for name in (agent.OWN_METRICS, agent.HOST_METRICS):
        assert not (place.metrics / name).is_symlink() and (place.metrics / name).stat().st_mode & 0o777 == 0o644
